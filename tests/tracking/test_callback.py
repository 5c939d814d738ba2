"""The callback that mirrors runs: one run, lists, workers; the display beside it receives every event."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from drilldown import DrilldownError, Folders, Tracking, load, perform
from drilldown.errors import TrainingDivergedError
from drilldown.evaluation.records import EpochRecord
from drilldown.runs.callback import Callback
from drilldown.runs.pool import InProcessPool, WorkerStatus
from drilldown.runs.run import Run
from drilldown.runs.worklist import WorklistCallback, list_tasks, plan_work, train_all
from drilldown.settings import Compute
from drilldown.tracking.callback import WorklistTracking
from drilldown.training.training import Training
from support.cli import environment, only_run, world
from support.trackers import board_of, points, text_of, write_package


class Heard(WorklistCallback):
    """Remembers the events that it receives."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.notices: list[str] = []

    def on_notice(self, text: str) -> None:
        self.notices.append(text)

    def on_start(self, run: Run, training: Training) -> None:  # noqa: ARG002
        self.events.append("start")

    def on_epoch_end(self, epoch: EpochRecord) -> None:
        self.events.append(f"epoch {epoch.epoch}")

    def on_finish(self, run: Run) -> None:  # noqa: ARG002
        self.events.append("finish")

    def on_task_end(self, outcome: object) -> None:  # noqa: ARG002
        self.events.append("end")


def test_a_run_is_mirrored_beside_its_display(tmp_path: Path) -> None:
    experiment, heard = load(world(tmp_path, epochs=2)), Heard()
    with Tracking("tensorboard", callback=heard) as tracking:
        run = perform(experiment, folders=Folders(runs=tmp_path / "runs"), callback=tracking)
    assert heard.events == ["start", "epoch 1", "epoch 2", "finish"]
    assert [notice.partition(":")[0] for notice in heard.notices].count("TensorBoard") == 1
    assert [step for step, _ in points(board_of(run.path))] == [1, 2]
    assert "| budget | met |" in text_of(board_of(run.path), "verdict")


def test_an_interrupted_run_continues_in_the_tracker(tmp_path: Path) -> None:
    class Interrupts(Callback):
        def on_epoch_end(self, epoch: EpochRecord) -> None:
            if epoch.epoch == 2:
                raise KeyboardInterrupt

    experiment, folders = load(world(tmp_path, epochs=3)), Folders(runs=tmp_path / "runs")
    board = board_of(Run.of(experiment, 0, folders.runs).path)
    with pytest.raises(KeyboardInterrupt), Tracking("tensorboard", callback=Interrupts()) as tracking:
        perform(experiment, folders=folders, callback=tracking)
    assert [step for step, _ in points(board)] == [1, 2]
    with Tracking("tensorboard") as tracking:
        perform(experiment, folders=folders, callback=tracking)
    assert [step for step, _ in points(board)] == [1, 2, 3]


def test_a_diverged_run_is_mirrored(tmp_path: Path) -> None:
    experiment = load(world(tmp_path), ["recipe.optimizer.lr=1e30"])
    folders = Folders(runs=tmp_path / "runs")
    with pytest.raises(TrainingDivergedError), Tracking("tensorboard") as tracking:
        perform(experiment, folders=folders, callback=tracking)
    board = board_of(Run.of(experiment, 0, folders.runs).path)
    assert text_of(board, "verdict").startswith("diverged: ")


def test_a_list_is_mirrored_whole_also_where_runs_were_finished_before(tmp_path: Path) -> None:
    experiment, folders, heard = load(world(tmp_path, epochs=2)), Folders(runs=tmp_path / "runs"), Heard()
    perform(experiment, seed=1, folders=folders)
    tasks = list_tasks([experiment], range(3), folders.runs)
    plan = plan_work(tasks)
    with WorklistTracking("tensorboard", callback=heard) as tracking:
        tracking.on_plan(plan)
        train_all(plan, tracking, InProcessPool(Compute(), folders, tracking))
        perform(experiment, seed=2, folders=folders)
    for task in tasks:
        assert [step for step, _ in points(board_of(task.run.path))] == [1, 2]
        assert len(points(board_of(task.run.path), "final/seconds")) == 1
    assert heard.events == ["start", "epoch 1", "epoch 2", "finish", "end"] * 2
    assert len([notice for notice in heard.notices if notice.startswith("TensorBoard")]) == 1


def test_runs_that_another_process_finished_are_mirrored_at_the_end(tmp_path: Path) -> None:
    experiment, folders = load(world(tmp_path, epochs=2)), Folders(runs=tmp_path / "runs")
    tasks = list_tasks([experiment], [0], folders.runs)
    with WorklistTracking("tensorboard", callback=WorklistCallback()) as tracking:
        tracking.on_plan(plan_work(tasks))
        perform(experiment, folders=folders)
    assert len(points(board_of(tasks[0].run.path))) == 2


def test_epochs_of_workers_are_mirrored_as_far_as_this_disk_has_them(
    running_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[tuple[Path, int | None]] = []
    task = list_tasks([Run(running_dir).experiment], [0], tmp_path)[0]
    task = type(task)(task.experiment, 0, Run(running_dir))
    epochs = task.run.epochs
    with WorklistTracking("tensorboard", callback=WorklistCallback()) as tracking:
        monkeypatch.setattr(tracking, "_look", lambda run_dir, epochs: looks.append((run_dir, epochs)))

        def report(epoch: EpochRecord | None) -> Sequence[WorkerStatus]:
            return [WorkerStatus(name="1", host="here", task=task, epoch=epoch), WorkerStatus(name="2", host="here")]

        for epoch in (None, epochs[0], epochs[0], epochs[2]):
            tracking.on_workers(report(epoch))
    assert looks == [(running_dir, 1), (running_dir, 3), (running_dir, None)]


def test_a_tracker_that_fails_changes_neither_result_nor_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, heard = load(world(tmp_path, epochs=3)), Heard()
    monkeypatch.setenv("PYTHONPATH", write_package(tmp_path, "raises at import"))
    with Tracking("mlflow", "tensorboard", callback=heard) as tracking:
        run = perform(experiment, folders=Folders(runs=tmp_path / "runs"), callback=tracking)
    assert heard.events == ["start", "epoch 1", "epoch 2", "epoch 3", "finish"]
    assert [notice for notice in heard.notices if notice.startswith("MLflow")] == [
        "MLflow: cannot be used: RuntimeError: out of quota; the training continues without it"
    ]
    assert len(points(board_of(run.path))) == 3


def test_an_unknown_tracker_is_refused_at_once() -> None:
    with pytest.raises(DrilldownError, match='did you mean "wandb"'):
        Tracking("wandbb")


def test_a_damaged_finished_run_does_not_stop_a_list(run_dir: Path) -> None:
    (run_dir / "summary.json").write_text("{")
    heard = Heard()
    tracking = Tracking("tensorboard", callback=heard)
    tracking.mirror(Run(run_dir))
    tracking.mirror(Run(run_dir.with_name("seed-1")))
    tracking.close()
    assert any("not mirrored" in notice for notice in heard.notices)
    assert len(points(board_of(run_dir.with_name("seed-1")))) == 3


def test_a_callback_that_nobody_closes_is_closed_with_python(tmp_path: Path) -> None:
    experiment_file = world(tmp_path, epochs=2)
    code = (
        "import drilldown\n"
        f"experiment = drilldown.load({str(experiment_file)!r})\n"
        "drilldown.perform(experiment, callback=drilldown.Tracking('tensorboard'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert len(points(board_of(only_run(tmp_path)), "final/seconds")) == 1
