"""Several runs in one figure: the names in its legend say what differs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import drilldown
from drilldown.errors import DrilldownError
from drilldown.notebook.overlay import names_by_difference
from drilldown.notebook.plot import curves
from drilldown.runs.run import Run
from drilldown.settings import Compute, Folders
from drilldown.training.training import Training
from support.cli import world

TORCH = Compute(engine="torch", threads=1)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world(tmp_path_factory.mktemp("plots"), epochs=2, accuracy=50)


@pytest.fixture(scope="module")
def runs(file: Path) -> list[Run]:
    settings = [[], ["recipe.optimizer.lr=0.2"], ["recipe.epochs=3", "budget.accuracy=60"]]
    folders = Folders(runs=file.parent / "runs")
    return [drilldown.perform(drilldown.load(file, each), compute=TORCH, folders=folders) for each in settings]


def trained(file: Path, *overrides: str, seed: int = 0) -> Training:
    return Training(drilldown.load(file, overrides), compute=TORCH, seed=seed)


def test_each_run_is_a_line_in_each_chart_and_a_name_in_one_legend(runs: list[Run]) -> None:
    figure = curves(runs)
    assert [axes.get_title() for axes in figure.axes] == [
        "Accuracy on test images, %", "Cross-entropy on test images", "Learning rate"
    ]  # fmt: skip
    assert all(axes.get_legend() is None for axes in figure.axes)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "lr 0.1, epochs 2",
        "lr 0.2, epochs 2",
        "lr 0.1, epochs 3",
    ]
    for axes in figure.axes:
        lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
        assert [len(line.get_xdata()) for line in lines] == [2, 2, 3]  # type: ignore[arg-type]
    assert {text.get_text() for text in figure.axes[0].texts} == {"bar 50 %", "bar 60 %"}
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_the_lines_are_the_records(runs: list[Run]) -> None:
    losses = curves(runs).axes[1].get_lines()
    for run, line in zip(runs, losses, strict=True):
        assert list(line.get_ydata()) == [epoch.test.loss for epoch in run.epochs]  # type: ignore[arg-type]


def test_every_kind_of_collection_is_drawn(runs: list[Run]) -> None:
    def generated() -> Iterator[Run]:
        yield from runs

    for several in (tuple(runs), generated(), {1: runs[0], 2: runs[1]}.values()):
        assert len(curves(several).legends) == 1
    assert len(curves(drilldown.all_runs(runs[0].path.parents[2])).axes[0].get_lines()) >= 3


def test_a_list_of_one_run_is_drawn_as_this_run(runs: list[Run]) -> None:
    one, listed = curves(runs[0]), curves(runs[:1])
    assert [axes.get_title() for axes in listed.axes] == [axes.get_title() for axes in one.axes]


@pytest.mark.parametrize("several", [[], [3], ["last"], 3, "last", None])
def test_other_objects_are_refused(several: object) -> None:
    with pytest.raises(DrilldownError, match=r"no runs to draw|expected a run, a training, or a list of them"):
        curves(several)  # type: ignore[arg-type]


def test_a_run_without_epochs_is_named(runs: list[Run], file: Path) -> None:
    with pytest.raises(DrilldownError, match=r"no epochs of lr 0\.7 yet"):
        curves([runs[0], trained(file, "recipe.optimizer.lr=0.7")])


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ([], ["recipe.batch_size=16"], ["batch_size 32", "batch_size 16"]),
        ([], ["recipe.augment={}"], ["augment", "no augment"]),
        (["recipe.augment={rotate=5}"], ["recipe.augment={}"], ["rotate 5", "no augment"]),
        ([], ['recipe.optimizer={name="adam", lr=0.01}'], ["optimizer sgd", "optimizer adam"]),
        ([], ["recipe.schedule.warmup=0.5"], ["warmup 0.2", "warmup 0.5"]),
        ([], ["recipe.holdout=50"], ["no holdout", "holdout 50"]),
        ([], ["budget.hold=1"], ["hold 2", "hold 1"]),
        ([], ["recipe.epochs=3", "budget.hold=1"], ["epochs 2", "epochs 3"]),
        ([], ['network.layers=["gap", "linear 10"]'], ["438 parameters", "20 parameters"]),
        ([], [], ["Tiny (1)", "Tiny (2)"]),
    ],
    ids=range(10),
)  # fmt: skip
def test_names_say_what_differs(file: Path, first: list[str], second: list[str], names: list[str]) -> None:
    assert names_by_difference([trained(file, *first), trained(file, *second)]) == names


def test_names_have_the_seed_where_seeds_differ(file: Path) -> None:
    assert names_by_difference([trained(file), trained(file, seed=7)]) == ["seed 0", "seed 7"]
    faster = "recipe.optimizer.lr=0.2"
    several = [trained(file), trained(file, faster), trained(file, faster, seed=1)]
    assert names_by_difference(several) == ["lr 0.1, seed 0", "lr 0.2, seed 0", "lr 0.2, seed 1"]


def test_steps_with_other_layers_have_their_titles() -> None:
    steps = [Training(drilldown.load(f"eva5-s5/{step}", ["recipe.dataset=glyphs"])) for step in ("05", "06")]
    assert names_by_difference(steps) == [step.experiment.title for step in steps]
    assert len({*names_by_difference(steps)}) == 2


def test_names_are_never_equal(file: Path) -> None:
    layers = ['network.layers=["gap", "linear 10"]', 'network.layers=["flatten, linear 10"]']
    runs = [trained(file, *each) for each in ([], layers[:1], layers[:1], layers[1:], [])]
    names = names_by_difference(runs)
    assert len(set(names)) == len(runs)
    assert all(names)
