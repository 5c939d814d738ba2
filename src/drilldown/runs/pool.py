"""Pools train tasks, and queues say which task comes next.

The pool of this module trains one task after another in this process. Those of `drilldown.workers` train several at
once, in other processes and on other machines.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from drilldown.errors import CannotTrainError, DrilldownError, TrainingDivergedError
from drilldown.evaluation.records import EpochRecord
from drilldown.experiment.experiment import Experiment
from drilldown.runs.callback import Callback
from drilldown.runs.folder import DIVERGED, FINISHED, RunBusyError
from drilldown.runs.perform import perform
from drilldown.runs.run import Run
from drilldown.settings import Compute, Folders

POLL_SECONDS = 1.0
"""Seconds between two looks at a run that another process trains, and at the workers of a pool."""


@dataclass(frozen=True, slots=True)
class Task:
    """An experiment to train with a seed."""

    experiment: Experiment
    seed: int
    run: Run
    """The run's place on disk."""

    @property
    def ended(self) -> bool:
        """Whether its run is finished or diverged; a diverged run counts as a failure."""
        return self.run.status in (FINISHED, DIVERGED)

    def __str__(self) -> str:
        return f"{self.experiment.name}, seed {self.seed}"


Ending = Literal["finished", "diverged", "busy", "failed"]
"""`busy`: another process trains the run. `failed`: it cannot be trained, or every worker that tried it ended."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the training of a task ended."""

    task: Task
    ending: Ending
    reason: str = ""
    """Why the run diverged or failed."""
    all_seeds: bool = False
    """Whether its experiment fails with every seed."""

    def __str__(self) -> str:
        return f"{self.task}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker of a pool, and what it does."""

    name: str
    host: str
    task: Task | None = None
    """None while it waits."""
    epoch: EpochRecord | None = None
    """The last finished epoch of its task."""
    started: float = 0.0
    """When its task began, in seconds of `time.monotonic`."""


class PoolCallback(Callback):
    """Is called while a pool trains; a pool in this process also calls the events of each run."""

    def on_workers(self, workers: Sequence[WorkerStatus]) -> None:
        """Called about every second, and when something changes, by a pool of several workers."""


class Pool(Protocol):
    """Trains tasks, one or several at once."""

    slots: int
    """The number of tasks that it trains at once; it may change while workers come and go."""

    def submit(self, task: Task) -> None:
        """Accepts a task; at most `slots` tasks may be submitted and not yet ended."""

    def wait(self, seconds: float) -> list[Outcome]:
        """Waits until a task ends, at most for some seconds; returns the tasks that have ended.

        *Raises* DrilldownError where something is missing or does not fit: no task of the command can be trained.
        """


class Queue(Protocol):
    """The tasks of a command, in their order."""

    def next(self) -> Task | None:
        """The task to start now; None where nothing can start before another task has ended."""

    def end(self, outcome: Outcome) -> None:
        """Called when a task has ended, before the next one starts; it should return quickly."""

    @property
    def left(self) -> bool:
        """Whether a task is left that has not been started."""

    def idle(self) -> None:
        """Called every second while no task of the pool runs, and none can start: other processes train them."""


class InProcessPool:
    """Trains one task after another in this process; see `Pool`."""

    slots = 1

    def __init__(
        self, compute: Compute, folders: Folders, callback: Callback, *, again: bool = False, keep_going: bool = False
    ) -> None:
        self.compute, self.folders, self.callback, self.again = compute, folders, callback, again
        self.keep_going = keep_going
        self._submitted: list[Task] = []

    def submit(self, task: Task) -> None:
        """Keeps the task until `wait`."""
        self._submitted.append(task)

    def wait(self, seconds: float) -> list[Outcome]:  # noqa: ARG002 - it returns when the run has ended
        """Trains the submitted task."""
        return [self._train(self._submitted.pop())]

    def _train(self, task: Task) -> Outcome:
        try:
            perform(
                task.experiment, seed=task.seed, run_dir=task.run.path, compute=self.compute, folders=self.folders,
                again=self.again, callback=self.callback,
            )  # fmt: skip
        except TrainingDivergedError as error:
            return Outcome(task, "diverged", str(error))
        except CannotTrainError as error:
            return Outcome(task, "failed", str(error), all_seeds=True)
        except RunBusyError:  # another process has just begun it
            return Outcome(task, "busy")
        except Exception as error:
            if not self.keep_going:
                raise
            return Outcome(task, "failed", reason_text(error))
        return Outcome(task, "finished")


def reason_text(error: Exception) -> str:
    """The reason why a task failed, in one line; an own module can raise anything."""
    return str(error) if isinstance(error, DrilldownError) else f"{type(error).__name__}: {error}"


def work(queue: Queue, pool: Pool) -> None:
    """Trains the tasks of a queue until nothing is left.

    *Raises* DrilldownError where something is missing or does not fit.
    """
    running = 0
    while True:
        while running < pool.slots and (task := queue.next()) is not None:
            pool.submit(task)
            running += 1
        if running or (queue.left and not pool.slots):  # without slots, it waits for workers
            for outcome in pool.wait(POLL_SECONDS):
                running -= 1
                queue.end(outcome)
        elif queue.left:
            queue.idle()
            time.sleep(POLL_SECONDS)
        else:
            return
