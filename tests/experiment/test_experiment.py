"""The tables of an experiment file, and what an experiment knows about itself."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from drilldown.data.transforms import Affine, Augmentation, Jitter
from drilldown.errors import DrilldownError
from drilldown.experiment.budget import Budget
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.holdout import Holdout
from drilldown.experiment.loading import load_experiment, read_experiment
from drilldown.experiment.network import Network
from drilldown.experiment.optimizers import Optimizer
from drilldown.experiment.recipe import Recipe
from drilldown.experiment.reported import Reported
from drilldown.experiment.schedules import Schedule

TABLES: list[type[BaseModel]] = [
    *(Experiment, Network, Recipe, Holdout, Budget, Reported, Augmentation, Affine, Jitter),
    *get_args(get_args(Optimizer)[0]),
    *get_args(get_args(Schedule)[0]),
]
IN_PYTHON = 'title = "A"\n[network]\npython = "model.py:Net"\n'


@pytest.mark.parametrize("table", TABLES)
def test_every_field_has_a_sentence_for_the_reference_documentation(table: type[BaseModel]) -> None:
    for key, field in table.model_fields.items():
        sentence = field.description
        assert sentence, f"{key} has no docstring"
        assert sentence[0].isupper(), key
        assert sentence.endswith("."), key
        assert "\n\n" not in sentence, key


def test_a_located_copy_keeps_what_is_not_given(tmp_path: Path) -> None:
    parent = load_experiment("eva5-s5/05")
    experiment = load_experiment("eva5-s5/06")
    copy = experiment.located(path=tmp_path / "study" / "step.toml", parent=parent)
    assert (copy.path, copy.name, copy.parent) == (tmp_path / "study" / "step.toml", "study/step", parent)
    named = copy.located(name="other/name")
    assert (named.path, named.name, named.parent) == (copy.path, "other/name", parent)
    assert experiment.name == "eva5-s5/06-dropout"
    assert named.fingerprint == experiment.fingerprint
    assert named.layout is experiment.layout


def test_a_network_in_python_is_read_again_in_another_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.py").write_text(f"NAME = '{name}'\n")
        (tmp_path / name / "a.toml").write_text(IN_PYTHON)
    first, second = (read_experiment(tmp_path / name / "a.toml") for name in ("one", "two"))
    assert first.fingerprint != second.fingerprint
    assert first.located(path=second.path).fingerprint == second.fingerprint
    with pytest.raises(DrilldownError, match="no such file"):
        _ = first.located(path=tmp_path / "three" / "a.toml").fingerprint


@pytest.mark.parametrize(
    ("reported", "text", "aside"),
    [
        (Reported(train=99.5, test=99.4), "train 99.50 %, test 99.40 % (best epoch).", ""),
        (Reported(test=99.4, figure="final", note="Log."), "test 99.40 % (last epoch). Log.", " (last epoch)"),
        (Reported(test=99, figure="mean_last"), "test 99.00 % (about, last epochs).", " (about, last epochs)"),
        (Reported(note="A graph only."), "A graph only.", ""),
        (Reported(), "nothing", ""),
    ],
)
def test_reported_accuracies_are_shown_with_their_epochs(reported: Reported, text: str, aside: str) -> None:
    assert (str(reported), reported.aside) == (text, aside)


def test_a_budget_cannot_be_met_with_fewer_epochs_than_it_judges() -> None:
    assert load_experiment("under-8k").out_of_reach is None
    reason = load_experiment("under-8k", ["recipe.epochs=4"]).out_of_reach
    assert reason == "it judges the last 5 epochs, and recipe.epochs is 4"
    assert load_experiment("under-8k", ["recipe.epochs=4", "budget.hold=4"]).out_of_reach is None


def test_a_copy_with_another_network_has_another_layout() -> None:
    experiment = load_experiment("under-8k")
    assert experiment.layout is not None
    assert experiment.fingerprint
    smaller = Network(layers=("conv 3x3 4, relu", "gap", "linear 10"))
    copy = experiment.model_copy(update={"network": smaller})
    assert copy.model_summary.parameters == 36 + 50
    assert copy.fingerprint != experiment.fingerprint
