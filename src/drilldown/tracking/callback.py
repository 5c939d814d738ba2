"""Callbacks that mirror runs in trackers, beside the display that they belong to."""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from drilldown.engines.engine import Progress
from drilldown.errors import DrilldownError
from drilldown.evaluation.records import EpochRecord
from drilldown.runs.callback import Callback
from drilldown.runs.folder import DIVERGED, FINISHED, SUMMARY
from drilldown.runs.pool import Outcome, Task, WorkerStatus
from drilldown.runs.run import Run
from drilldown.runs.worklist import Estimate, WorklistCallback, WorkPlan
from drilldown.tracking.mirror import Mirror, Request
from drilldown.tracking.tracker import check_trackers
from drilldown.training.training import Training


class Tracking(Callback):
    """Mirrors runs in trackers. A tracker that fails or hangs is told once, and never delays or ends a training.

    Everything comes from the run's folder: settings, epochs, summary, verdict. A run that is resumed continues in the
    tracker, and a finished run can be mirrored later with `mirror`.

    *Arguments*: `trackers`: names: `tensorboard`, `mlflow`, `wandb`; each needs the extra of its name. `callback`:
    receives all events, and the notices about trackers.

    *Raises* DrilldownError where a name is unknown.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with drilldown.Tracking("tensorboard") as tracking:
    ...         run = drilldown.perform(experiment, folders=drilldown.Folders(runs=folder), callback=tracking)
    ...     len(list(Path(folder, "tensorboard").glob("*/*/seed-0/events.*")))
    1
    """

    def __init__(self, *trackers: str, callback: Callback | None = None) -> None:
        self.callback = callback or Callback()
        self._mirrors = [Mirror(name) for name in check_trackers(trackers)]
        self._epochs: dict[Path, int] = {}
        """Run folders that are trained, and the number of their saved epochs."""
        self._current: Path | None = None
        self._mirrored: set[Path] = set()
        if self._mirrors:
            atexit.register(self.close)  # in a notebook nobody closes it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self.close(hurry=kind is not None and not issubclass(kind, Exception))

    def mirror(self, run: Run) -> None:
        """Mirrors a run that is not trained now; once, also where it is called twice."""
        self._epochs.pop(run.path.absolute(), None)
        if run.path.absolute() not in self._mirrored:
            self._mirrored.add(run.path.absolute())
            self._look(run.path, None)

    def close(self, *, hurry: bool = False) -> None:
        """Gives the trackers a few seconds to finish; then those that do not answer are given up.

        *Arguments*: `hurry`: wait for a moment only.
        """
        atexit.unregister(self.close)
        for path in tuple(self._epochs):
            self.mirror(Run(path))
        for mirror in self._mirrors:
            mirror.close(hurry=hurry)
        self._tell()

    def on_download(self, file: str, received: int, total: int | None) -> None:
        """Passes the event on."""
        self.callback.on_download(file, received, total)

    def on_notice(self, text: str) -> None:
        """Passes the event on."""
        self.callback.on_notice(text)

    def on_start(self, run: Run, training: Training) -> None:
        """Mirrors the epochs of a run that is resumed."""
        self.callback.on_start(run, training)
        self._current = run.path
        self._mirrored.discard(run.path.absolute())
        self._saved(run.path, len(training.epochs))

    def on_progress(self, progress: Progress) -> None:
        """Passes the event on."""
        self.callback.on_progress(progress)

    def on_epoch_end(self, epoch: EpochRecord) -> None:
        """Mirrors the epoch."""
        self.callback.on_epoch_end(epoch)
        if self._current is not None:
            self._saved(self._current, epoch.epoch)

    def on_finish(self, run: Run) -> None:
        """Mirrors the summary and the verdict."""
        self.callback.on_finish(run)
        self.mirror(run)
        self._tell()

    def _saved(self, run_dir: Path, epochs: int) -> None:
        """Mirrors the saved epochs of a run that is trained now."""
        if epochs != self._epochs.get(run_dir.absolute()):
            self._look(run_dir, epochs)
        self._epochs[run_dir.absolute()] = epochs
        self._tell()

    def _look(self, run_dir: Path, epochs: int | None) -> None:
        for mirror in self._mirrors:
            mirror.look(Request(run_dir.absolute(), epochs))

    def _tell(self) -> None:
        for mirror in self._mirrors:
            for notice in mirror.take_notices():
                self.callback.on_notice(notice)


class WorklistTracking(Tracking, WorklistCallback):
    """Mirrors the runs of a list, also those that finished before, and those that workers train.

    *Arguments*: those of `Tracking`.
    """

    def __init__(self, *trackers: str, callback: WorklistCallback) -> None:
        super().__init__(*trackers, callback=callback)
        self.worklist = callback
        self._tasks: tuple[Task, ...] = ()

    def close(self, *, hurry: bool = False) -> None:
        """Mirrors the runs that other processes finished in the meantime, then closes the trackers."""
        if not hurry:
            self._mirror_ended(self._tasks)
        super().close(hurry=hurry)

    def on_plan(self, plan: WorkPlan) -> None:
        """Mirrors the runs that ended before."""
        self.worklist.on_plan(plan)
        self._tasks = plan.tasks
        if not plan.again:
            self._mirror_ended(plan.tasks)

    def on_task_start(self, task: Task, left: Sequence[Task], estimate: Estimate) -> None:
        """Passes the event on."""
        self.worklist.on_task_start(task, left, estimate)

    def on_workers(self, workers: Sequence[WorkerStatus]) -> None:
        """Mirrors the epochs that workers of this machine have saved; workers elsewhere send their runs at the end."""
        self.worklist.on_workers(workers)
        for worker in workers if self._mirrors else ():
            with contextlib.suppress(DrilldownError):
                # A finished run that is repeated elsewhere has the records of the training before.
                if worker.task is not None and worker.epoch is not None and not worker.task.run.has(SUMMARY):
                    self._saved(worker.task.run.path, worker.epoch.epoch)

    def on_task_end(self, outcome: Outcome) -> None:
        """Mirrors the run that has ended."""
        self.worklist.on_task_end(outcome)
        self._mirror_ended([outcome.task])
        self._tell()

    def on_wait(self, task: Task) -> None:
        """Passes the event on."""
        self.worklist.on_wait(task)

    def _mirror_ended(self, tasks: Sequence[Task]) -> None:
        for task in tasks if self._mirrors else ():
            with contextlib.suppress(DrilldownError):  # a folder that cannot be read: the command says so elsewhere
                if task.run.status in (FINISHED, DIVERGED):
                    self.mirror(task.run)
