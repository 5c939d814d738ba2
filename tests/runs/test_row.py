"""A run as a row: of an unfinished run the figures that it has, of a damaged one the problem."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown import Compute, Folders, TrainingDivergedError, load, perform
from drilldown.runs.callback import Callback
from drilldown.runs.folder import RunFolder
from drilldown.runs.places import run_place
from drilldown.runs.row import RUN_COLUMNS, run_row
from support.cli import world

ALONE = Compute(engine="torch", threads=1)


def test_rows_of_finished_interrupted_diverged_and_damaged_runs(tmp_path: Path) -> None:
    folders = Folders(runs=tmp_path / "runs")
    experiment = load(world(tmp_path, epochs=2))
    finished = run_row(perform(experiment, folders=folders, compute=ALONE))
    assert tuple(finished) == RUN_COLUMNS
    assert (finished["status"], finished["epochs"], finished["seed"], finished["budget_met"]) == (
        "finished",
        2,
        0,
        True,
    )
    assert finished["worst_last"] <= finished["mean_last"] <= finished["best"]  # type: ignore[operator]

    class Interrupting(Callback):
        def on_epoch_end(self, epoch: object) -> None:  # noqa: ARG002
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(experiment, seed=1, folders=folders, compute=ALONE, callback=Interrupting())
    stopped = run_row(RunFolder(run_place(experiment, 1, folders.runs)))
    assert (stopped["status"], stopped["epochs"], stopped["budget_met"]) == ("interrupted", 1, None)
    assert stopped["images"] == finished["images"]
    wild = load(tmp_path / "tiny.toml", ["recipe.optimizer.lr=1e30", "recipe.schedule.warmup=0"])
    with pytest.raises(TrainingDivergedError):
        perform(wild, folders=folders, compute=ALONE)
    lost = run_row(RunFolder(run_place(wild, 0, folders.runs)))
    assert (lost["status"], lost["budget_met"]) == ("diverged", False)
    assert "the loss is" in str(lost["problem"])
    summary = run_place(experiment, 0, folders.runs) / "summary.json"
    summary.write_text("{")
    damaged = run_row(RunFolder(summary.parent))
    assert damaged["status"] == "damaged"
    assert "summary.json" in str(damaged["problem"])
