"""Many runs: which are left, about how long they take, and training them one after another.

A worklist is not stored. The run folders say what is finished. So a command can be stopped at any moment and repeated,
and several processes, on one machine or on a shared folder, can work on one list.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.runs.folder import RUNNING
from drilldown.runs.pool import Outcome, Pool, PoolCallback, Task, work
from drilldown.runs.run import Run
from drilldown.wording import count_text, duration_text


class TasksFailedError(DrilldownError):
    """Tasks of a list failed. Other seeds of an experiment that cannot be trained were left out; all others ended."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        super().__init__(*map(str, outcomes))
        self.outcomes = outcomes


@dataclass(frozen=True, slots=True)
class Estimate:
    """About how long some runs take."""

    seconds: float
    unknown: int
    """Runs that are left out, because nothing similar has been trained here."""

    def __str__(self) -> str:
        if self.unknown and not self.seconds:
            return "time unknown until the first run has finished"
        unknown = f" and {count_text(self.unknown, 'run')} of unknown length" if self.unknown else ""
        return f"about {duration_text(self.seconds)}{unknown}"


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """All tasks of a list, and those that are left."""

    tasks: tuple[Task, ...]
    todo: tuple[Task, ...]
    elsewhere: int
    """Tasks among `todo` that another process is training now."""
    estimate: Estimate
    engine: str = "auto"
    again: bool = False
    """Whether finished tasks are repeated."""

    def __str__(self) -> str:
        finished = f"{len(self.tasks) - len(self.todo)} of {count_text(len(self.tasks), 'run')} finished"
        if not self.todo:
            return f"{finished}, nothing left to train"
        busy = f" ({self.elsewhere} running in another process)" if self.elsewhere else ""
        return f"{finished}, {len(self.todo)} to train{busy}; {self.estimate}"


class WorklistCallback(PoolCallback):
    """Is called while a list of runs is trained, beside the events of each run."""

    def on_plan(self, plan: WorkPlan) -> None:
        """Called before anything is trained."""

    def on_task_start(self, task: Task, left: Sequence[Task], estimate: Estimate) -> None:
        """Called when a task begins; `left`: all tasks that have not begun, and this one."""

    def on_task_end(self, outcome: Outcome) -> None:
        """Called when a task has ended; the other tasks continue, also where it diverged or failed."""

    def on_wait(self, task: Task) -> None:
        """Called when other processes train all that is left, for instance this task."""


class TimeEstimator:
    """Estimates how long tasks take, from those that are finished.

    An epoch is assumed to take as long as one of the same experiment; or else, on the same dataset, in proportion to
    the network's multiply-adds.

    *Arguments*: `engine`: count only runs of that engine; `auto`: of any. `again`: runs start from the beginning.
    """

    def __init__(self, tasks: Iterable[Task] = (), engine: str = "auto", *, again: bool = False) -> None:
        self.engine, self.again = engine, again
        self._epoch_seconds: dict[Path, list[float]] = {}
        self._seconds_per_work: dict[str, list[float]] = {}
        self._trained: dict[Path, int] = {}
        for task in tasks:
            self.add(task)

    def add(self, task: Task) -> None:
        """Counts a task if it is finished."""
        summary = task.run.summary
        if summary and self.engine in ("auto", summary.engine):
            each = summary.seconds / summary.epochs
            self._epoch_seconds.setdefault(task.run.path.parent, []).append(each)
            dataset = task.experiment.recipe.dataset
            self._seconds_per_work.setdefault(dataset, []).append(each / _work(task.experiment))

    def estimate(self, todo: Sequence[Task]) -> Estimate:
        """Estimates the time of tasks that are trained one after another."""
        same_experiment = {folder: statistics.median(each) for folder, each in self._epoch_seconds.items()}
        same_dataset = {dataset: statistics.median(each) for dataset, each in self._seconds_per_work.items()}
        seconds, unknown = 0.0, 0
        for task in todo:
            each = same_experiment.get(task.run.path.parent)
            if each is None:
                per_work = same_dataset.get(task.experiment.recipe.dataset)
                each = None if per_work is None else per_work * _work(task.experiment)
            if each is None:
                unknown += 1
            else:
                seconds += each * (task.experiment.recipe.epochs - self._trained_epochs(task))
        return Estimate(seconds, unknown)

    def _trained_epochs(self, task: Task) -> int:
        """The epochs that were saved before this command; they are read once."""
        if self.again:
            return 0
        if task.run.path not in self._trained:
            self._trained[task.run.path] = len(task.run.epochs)
        return self._trained[task.run.path]


def list_tasks(experiments: Sequence[Experiment], seeds: Iterable[int], runs_dir: Path) -> list[Task]:
    """The tasks of several experiments, seed by seed over all of them.

    In that order, a list that is stopped half-way leaves the same seeds of every experiment, which can be compared in
    pairs, and not all seeds of some experiments and none of the others.
    """
    return [Task(experiment, seed, Run.of(experiment, seed, runs_dir)) for seed in seeds for experiment in experiments]


def plan_work(tasks: Sequence[Task], engine: str = "auto", *, again: bool = False) -> WorkPlan:
    """Divides tasks into those that have ended and those that are left; `again`: all of them are left."""
    todo = [task for task in tasks if again or not task.ended]
    elsewhere = sum(task.run.status == RUNNING for task in todo)
    estimate = TimeEstimator(tasks, engine, again=again).estimate(todo)
    return WorkPlan(tuple(tasks), tuple(todo), elsewhere, estimate, engine, again)


def train_all(plan: WorkPlan, callback: WorklistCallback, pool: Pool) -> None:
    """Trains what is left and returns when nothing is left.

    A run that another process trains is skipped and looked at again at the end: it is waited for, and resumed where
    that process is killed. A run that diverges is reported to the callback, and the others continue.

    *Raises* DrilldownError where something is missing or does not fit; TasksFailedError at the end where tasks failed.
    """
    worklist = _Worklist(plan, callback, pool)
    work(worklist, pool)
    if worklist.failed:
        raise TasksFailedError(worklist.failed)


class _Worklist:
    """The queue of a plan; see `drilldown.runs.pool.Queue`."""

    def __init__(self, plan: WorkPlan, callback: WorklistCallback, pool: Pool) -> None:
        self.callback, self.pool, self.again = callback, pool, plan.again
        self.todo = list(plan.todo)
        self.failed: list[Outcome] = []
        self.estimator = TimeEstimator(plan.tasks, plan.engine, again=plan.again)
        self._reported: Task | None = None

    def next(self) -> Task | None:
        for task in tuple(self.todo):
            if not self.again and task.ended:  # another process has finished it
                self.todo.remove(task)
            elif task.run.status != RUNNING:
                estimate = self.estimator.estimate(self.todo)
                spread = Estimate(estimate.seconds / max(1, self.pool.slots), estimate.unknown)
                self.callback.on_task_start(task, self.todo, spread)
                self.todo.remove(task)
                return task
        return None

    def end(self, outcome: Outcome) -> None:
        if outcome.ending == "busy":
            self.todo.append(outcome.task)
        elif outcome.ending == "finished":
            self.estimator.add(outcome.task)
        elif outcome.ending == "failed":
            self.failed.append(outcome)
            if outcome.all_seeds:
                same = outcome.task.experiment.fingerprint
                self.todo = [task for task in self.todo if task.experiment.fingerprint != same]
        if outcome.ending != "busy":
            self.callback.on_task_end(outcome)

    @property
    def left(self) -> bool:
        return bool(self.todo)

    def idle(self) -> None:
        if self.todo[0] is not self._reported:
            self._reported = self.todo[0]
            self.callback.on_wait(self._reported)


def _work(experiment: Experiment) -> int:
    return max(1, experiment.model_summary.multiply_adds)
