"""An experiment from a dictionary: the same experiment and the same messages as from a file, without file and line."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

import drilldown
from drilldown.errors import DrilldownError
from drilldown.settings import Compute
from support.cli import TINY, world

PLAIN: dict[str, Any] = {
    "title": "Plain",
    "network": {"layers": ["conv 3x3 4, bn, relu", "gap", "linear 10"]},
    "recipe": {"dataset": "glyphs", "epochs": 2},
}


def with_recipe(**recipe: Any) -> dict[str, Any]:
    return {**PLAIN, "recipe": {**PLAIN["recipe"], **recipe}}


def errors(document: Any, *overrides: str, name: str | None = None) -> list[str]:
    with pytest.raises(DrilldownError) as caught:
        drilldown.load(document, overrides, name=name)
    return [str(problem) for problem in caught.value.problems]


def test_a_dictionary_gives_the_experiment_of_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = world(tmp_path)
    monkeypatch.chdir(tmp_path)  # the path of the dataset is relative to the working directory
    loaded, read = drilldown.load(tomllib.loads(file.read_text())), drilldown.load(file)
    assert loaded.to_toml() == read.to_toml()
    assert loaded.fingerprint == read.fingerprint
    assert (loaded.path, loaded.name) == (None, "unnamed/experiment")


@pytest.mark.parametrize(
    "text",
    [
        TINY.format(epochs=0, accuracy=101).replace('"./letters"', '"glyphs"'),
        TINY.format(epochs=1, accuracy=1).replace("conv 3x3 4", "cnov 3x3 4").replace('"./letters"', '"glyphs"'),
        TINY.format(epochs=1, accuracy=1).replace("maxpool 4", "maxpool 40").replace('"./letters"', '"glyphs"'),
        TINY.format(epochs=1, accuracy=1).replace("batch_size", "batchsize").replace('"./letters"', '"glyphs"'),
        TINY.format(epochs=1, accuracy=1).replace('"sgd"', '"sdg"').replace('"./letters"', '"glyhps"'),
        TINY.format(epochs=1, accuracy=1).replace("title =", "tilte ="),
        'title = "A"\nextends = "nothing"\n',
        'title = "A"\nextends = 3\n',
        'title = "A"\n[network]\nlayers = "gap"\npython = 3\n',
        'title = "A"\n[search]\ncandidates = 3\n',
    ],
    ids=range(10),
)  # fmt: skip
def test_the_messages_are_those_of_the_file_without_its_place(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text(text)

    def without_place(problem: str) -> str:
        return problem.partition(": ")[2] if problem.startswith("a.toml") else problem

    of_file = sorted(without_place(problem).replace("search a.toml", "search FILE") for problem in errors("a.toml"))
    assert sorted(errors(tomllib.loads(text))) == of_file


def test_types_of_python_become_those_of_toml() -> None:
    document = MappingProxyType(
        with_recipe(
            epochs=np.int64(3), batch_size=torch.tensor(32), label_smoothing=np.float32(0.5),
            optimizer={"name": "adam", "lr": 0.01, "betas": (0.9, 0.99)},
        )
        | {"network": {"layers": ("conv 3x3 4", "gap", "linear 10")}}
    )  # fmt: skip
    experiment = drilldown.load(document)
    assert (experiment.recipe.epochs, experiment.recipe.batch_size) == (3, 32)
    assert drilldown.load(tomllib.loads(experiment.to_toml())).fingerprint == experiment.fingerprint


def test_the_dictionary_is_copied() -> None:
    document = copy.deepcopy(PLAIN)
    document["extends"] = "under-8k/01-flagship"
    before = copy.deepcopy(document)
    experiment = drilldown.load(document, ["recipe.epochs=9"])
    assert document == before
    document["recipe"]["epochs"] = 7
    assert experiment.recipe.epochs == 9


def test_a_dictionary_extends_a_step_and_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = drilldown.load({"title": "Short", "extends": "eva5-s5/06-dropout", "recipe": {"epochs": 3}})
    assert step.parent is not None
    assert step.parent.name == "eva5-s5/06-dropout"
    assert step.network == step.parent.network
    world(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert drilldown.load({"title": "A", "extends": "tiny.toml"}).recipe == drilldown.load("tiny.toml").recipe


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (PLAIN | {3: 4}, "found the key 3; expected text as a key"),
        (with_recipe(optimizer={1: 2}), "recipe.optimizer: found the key 1"),
        (with_recipe(epochs=2.5), "recipe.epochs: found 2.5; expected a whole number"),
        (with_recipe(epochs=None), "recipe.epochs: found None; expected a whole number"),
        (with_recipe(dataset=Path("nowhere")), 'unknown dataset "nowhere"'),
        (with_recipe(optimizer=torch.optim.SGD), "recipe.optimizer"),
        ({**PLAIN, "network": torch.nn.Linear}, "network: found"),
        ({**PLAIN, "title": 3}, "title: found 3; expected a string"),
        (3, "found an object of the class int; expected a path, study/step, or a dictionary"),
        (drilldown.load(PLAIN), "found an object of the class Experiment"),
    ],
    ids=range(10),
)  # fmt: skip
def test_values_that_no_file_has_are_refused(document: Any, message: str) -> None:
    assert any(message in problem for problem in errors(document))


def test_a_dictionary_in_itself_is_refused() -> None:
    document = copy.deepcopy(PLAIN)
    document["recipe"]["augment"] = document
    assert errors(document) == ["the dictionary is nested too deeply"]


@pytest.mark.parametrize(
    "name", ["", "a", "a/", "/a", "a/b/c", "../a", "a/..", "a/.", "a\\b/c", "a/b\n", " /a", "a/\0", "a/\udcff"]
)
def test_a_name_is_study_and_step(name: str) -> None:
    assert 'expected "study/step"' in errors(PLAIN, name=name)[0]


def test_the_name_is_that_of_the_run_folder_which_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tomllib.loads(world(tmp_path, epochs=1).read_text())
    monkeypatch.chdir(tmp_path)
    experiment = drilldown.load(document, name="mine/01-first")
    run = drilldown.perform(experiment, compute=Compute(engine="torch", threads=1))
    assert run.path.parts[:2] == ("runs", "mine")
    again = drilldown.Run(run.path).experiment
    assert (again.to_toml(), again.name) == (experiment.to_toml(), "mine/01-first")


def test_one_override_may_be_a_string() -> None:
    assert drilldown.load(PLAIN, "recipe.epochs=5").recipe.epochs == 5
    assert drilldown.load("under-8k", "recipe.epochs=5", name="a/b").name == "a/b"
