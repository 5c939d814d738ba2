"""`--track` of the commands that train: exit codes, results and interruptions are those without it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from drilldown.runs.run import Run
from support.cli import drilldown, only_run, start, world
from support.crews import epochs_saved, wait_until
from support.trackers import board_of, points, write_package


@pytest.mark.parametrize("command", [["run", "tiny.toml"], ["study", "."], ["ablate", "tiny.toml"], ["resume", "last"]])
def test_an_unknown_tracker_is_one_message(command: list[str], tmp_path: Path) -> None:
    world(tmp_path)
    refused = drilldown(*command, "--track", "tensorbord", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr == (
        'drilldown: --track: found "tensorbord"; expected "tensorboard", "mlflow", "wandb"; '
        'did you mean "tensorboard"?\n'
    )


def test_an_interrupted_run_is_resumed_without_double_points(tmp_path: Path) -> None:
    world(tmp_path, epochs=100)
    process = start("run", "tiny.toml", "--track", "tensorboard", cwd=tmp_path)
    wait_until(lambda: epochs_saved(tmp_path) > 4)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - begun < 8
    assert "Traceback" not in err
    (hint,) = [line for line in err.splitlines() if line.startswith("resume with: ")]
    assert hint.endswith(" --track tensorboard")
    resumed = drilldown(*hint.removeprefix("resume with: drilldown ").split(), cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    board = board_of(only_run(tmp_path))
    assert [step for step, _ in points(board)] == list(range(1, 101))
    assert len(points(board, "final/seconds")) == 1


def test_a_package_that_hangs_delays_no_epoch_and_changes_no_exit_code(tmp_path: Path) -> None:
    world(tmp_path, epochs=3)
    package = write_package(tmp_path, "hangs")
    done = drilldown("run", "tiny.toml", "--track", "mlflow", cwd=tmp_path, PYTHONPATH=package)
    assert done.returncode == 0
    assert done.stderr.count("MLflow: ") == 1
    assert "does not answer and was given up" in done.stderr
    assert sum(epoch.train_seconds for epoch in Run(only_run(tmp_path)).epochs) < 5


def test_a_run_that_diverges_keeps_its_exit_code(tmp_path: Path) -> None:
    world(tmp_path)
    package = write_package(tmp_path, "raises")
    failed = drilldown(
        "run", "tiny.toml", "--set", "recipe.optimizer.lr=1e30", "--track", "mlflow", cwd=tmp_path, PYTHONPATH=package
    )
    assert failed.returncode == 4
    assert failed.stderr.count("MLflow: ") == 1


def test_runs_of_workers_are_mirrored_whole(tmp_path: Path) -> None:
    world(tmp_path, epochs=2)
    done = drilldown("run", "tiny.toml", "--seeds", "2", "--workers", "2", "--track", "tensorboard", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("TensorBoard: ") == 1
    runs = list((tmp_path / "runs").glob("*/tiny-*/seed-*"))
    assert len(runs) == 2
    for run_dir in runs:
        assert [step for step, _ in points(board_of(run_dir))] == [1, 2]
        assert len(points(board_of(run_dir), "final/seconds")) == 1
