"""The Tab key completes public names alone, with jedi (Jupyter) and without it (Colab)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import drilldown
from drilldown import plot
from drilldown.experiment.experiment import Experiment
from drilldown.runs.run import Run
from drilldown.training.training import Training
from support.kernel import Notebook

PYDANTIC = {"copy", "dict", "json", "model_dump", "model_fields", "model_copy", "schema", "validate"}


@pytest.fixture(scope="module", params=[True, False], ids=["jedi", "plain"])
def notebook(kernel: Notebook, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    kernel.run_well(
        f"%config Completer.use_jedi = {request.param}\n"
        "run = drilldown.perform(experiment, compute=TORCH)\n"
        "training = drilldown.Training(experiment, compute=TORCH)\n"
        "recipe, optimizer = experiment.recipe, experiment.recipe.optimizer\n"
        "summary, verdict = run.summary, run.verdict\n"
        "predictions, data, comparison = run.predictions(), run.dataset(), drilldown.compare(run, experiment)\n"
        "plot = drilldown.plot"
    )
    yield kernel
    kernel.run_well("%config Completer.use_jedi = True")


def test_the_package_completes_its_public_names(notebook: Notebook) -> None:
    assert sorted(notebook.complete("drilldown.")) == sorted(drilldown.__all__) == sorted(dir(drilldown))


@pytest.mark.parametrize(("name", "kind"), [("experiment", Experiment), ("run", Run), ("training", Training)])
def test_objects_complete_the_names_that_are_for_users(notebook: Notebook, name: str, kind: type) -> None:
    offered = notebook.complete(f"{name}.")
    assert sorted(offered) == sorted(kind._completed)  # type: ignore[attr-defined]
    notebook.run_well(f"for name in {offered}: getattr({name}, name)" if name != "run" else "")


@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("recipe", {"epochs", "batch_size", "optimizer"}),
        ("optimizer", {"lr", "momentum"}),
        ("summary", {"parameters", "seconds"}),
        ("verdict", {"passed", "lines"}),
        ("predictions", {"tally", "misclassified"}),
        ("data", {"train", "test", "classes"}),
        ("comparison", {"subjects"}),
    ],
)
def test_other_objects_complete_their_own_names(notebook: Notebook, name: str, some: set[str]) -> None:
    offered = set(notebook.complete(f"{name}."))
    assert some <= offered
    assert not offered & PYDANTIC
    assert not any(each.startswith("_") for each in offered)


def test_figures_complete_their_functions(notebook: Notebook) -> None:
    offered = set(notebook.complete("plot."))
    assert set(plot.__all__) <= offered
    assert not any(each.startswith("_") for each in dir(plot))


def test_a_beginning_is_completed(notebook: Notebook) -> None:
    assert sorted(notebook.complete("run.pre")) == ["predict", "predictions"]
