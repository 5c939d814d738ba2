"""Where runs are: also in folders of version 0.1, whose names depend on the budget of that time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drilldown import Compute, Folders, load, perform
from drilldown.analysis.seeds import Seeds
from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.resources import resource_folder
from drilldown.runs.callback import Callback
from drilldown.runs.folder import FINISHED, INTERRUPTED
from drilldown.runs.places import run_place, run_places
from drilldown.runs.run import Run
from support.cli import world

RESULTS = resource_folder("benchmarks").parent / "results"
ALONE = Compute(engine="torch", threads=1)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return load(world(tmp_path))


def earlier_folder(experiment: Experiment, runs: Path, seed: int = 0) -> Path:
    """A run's folder of version 0.1, before its first epoch."""
    study, step = experiment.name.split("/")
    folder = runs / study / f"{step}-{experiment.earlier_fingerprint}" / f"seed-{seed}"
    folder.mkdir(parents=True)
    (folder / "experiment.toml").write_text(experiment.to_toml(), "utf-8")
    return folder


def test_the_kept_runs_of_version_0_1_belong_to_the_files_of_today_with_any_budget(tmp_path: Path) -> None:
    kept = [json.loads(line) for line in (RESULTS / "under-8k" / "runs.jsonl").read_text("utf-8").splitlines()]
    of_flagship = [texts for texts in kept if texts["run"].startswith("01-flagship-") and "without" not in texts["run"]]
    for texts in of_flagship:
        folder = tmp_path / "under-8k" / texts.pop("run")
        folder.mkdir(parents=True)
        for name, text in texts.items():
            (folder / name).write_text(text, "utf-8")
    for overrides in ([], ["budget.accuracy=99.6", "budget.hold=3"]):
        seeds = Seeds.of(load("under-8k", overrides), tmp_path)
        assert len(seeds.finished) == len(of_flagship) == 10
    assert Seeds.of(load("under-8k", ["recipe.epochs=14"]), tmp_path).n == 0


def test_an_interrupted_run_of_version_0_1_is_resumed_where_it_is(experiment: Experiment, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    folder = earlier_folder(experiment, runs)

    class Interrupting(Callback):
        def on_epoch_end(self, epoch: object) -> None:  # noqa: ARG002
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(experiment, folders=Folders(runs=runs), compute=ALONE, callback=Interrupting())
    assert Run(folder).status == INTERRUPTED
    other_bar = load(tmp_path / "tiny.toml", ["budget.accuracy=99.9"])
    run = perform(other_bar, folders=Folders(runs=runs), compute=ALONE)
    assert (run.path, run.status, len(run.epochs)) == (folder, FINISHED, 4)
    assert run.verdict is not None
    assert not run.verdict.passed
    stored = Run(folder).verdict
    assert stored is not None
    assert stored.passed  # by the budget in the folder
    whole = perform(experiment, run_dir=tmp_path / "whole", compute=ALONE)
    assert [(e.train, e.test) for e in run.epochs] == [(e.train, e.test) for e in whole.epochs]


def test_a_new_folder_comes_before_an_earlier_one(experiment: Experiment, tmp_path: Path) -> None:
    earlier = [earlier_folder(experiment, tmp_path, seed) for seed in (0, 2)]
    new = run_place(experiment, 1, tmp_path)
    assert new.parent.name.endswith(experiment.fingerprint)
    assert run_place(experiment, 2, tmp_path) == earlier[1]
    for seed in (0, 1, 10):
        place = new.parent / f"seed-{seed}"
        place.mkdir(parents=True)
        (place / "experiment.toml").write_text(experiment.to_toml(), "utf-8")
    found = run_places(experiment, tmp_path)
    assert found == [new.parent / "seed-0", new.parent / "seed-1", earlier[1], new.parent / "seed-10"]


def test_folders_of_other_experiments_and_damaged_ones_are_no_earlier_folders(
    experiment: Experiment, tmp_path: Path
) -> None:
    other = load(tmp_path / "tiny.toml", ["recipe.epochs=9"])
    foreign = earlier_folder(other, tmp_path)
    foreign.parent.rename(foreign.parent.with_name(f"tiny-{experiment.earlier_fingerprint}"))
    damaged = foreign.parent.with_name("tiny-0123abcd") / "seed-0"
    damaged.mkdir(parents=True)
    (damaged / "experiment.toml").write_text("not TOML")
    assert run_places(experiment, tmp_path) == []
    with pytest.raises(DrilldownError, match="belongs to another run"):
        perform(experiment, run_dir=foreign.parent.with_name(f"tiny-{experiment.earlier_fingerprint}") / "seed-0")
