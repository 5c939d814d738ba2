"""Runs that a crew trains are mirrored by the driver."""

from __future__ import annotations

from pathlib import Path

from support.cli import drilldown
from support.trackers import board_of, points
from workers.conftest import SharedCrew


def test_the_runs_of_a_crew_are_mirrored_whole(lab: Path, shared_crew: SharedCrew) -> None:
    done = drilldown("run", "tiny.toml", "--seeds", "2", *shared_crew.on, "--track", "tensorboard", cwd=lab)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("TensorBoard: ") == 1
    runs = list((lab / "runs").glob("*/tiny-*/seed-*"))
    assert len(runs) == 2
    for run_dir in runs:
        assert [step for step, _ in points(board_of(run_dir))] == [1, 2, 3, 4]
        assert len(points(board_of(run_dir), "final/seconds")) == 1
