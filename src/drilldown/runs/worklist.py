"""Many runs: which are left, about how long they take, and training them one after another.

A worklist is not stored. The run folders say what is finished. So a command can be stopped at any moment and repeated,
and several processes, on one machine or on a shared folder, can work on one list.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drilldown.errors import TrainingDivergedError
from drilldown.experiment.experiment import Experiment
from drilldown.runs.callback import Callback
from drilldown.runs.folder import DIVERGED, FINISHED, RUNNING
from drilldown.runs.perform import perform
from drilldown.runs.run import Run, RunBusyError
from drilldown.settings import Compute, Folders
from drilldown.wording import count_text, duration_text

POLL_SECONDS = 1.0
"""Seconds between two looks at a run that another process trains."""


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

    def __str__(self) -> str:
        finished = f"{len(self.tasks) - len(self.todo)} of {count_text(len(self.tasks), 'run')} finished"
        if not self.todo:
            return f"{finished}, nothing left to train"
        busy = f" ({self.elsewhere} running in another process)" if self.elsewhere else ""
        return f"{finished}, {len(self.todo)} to train{busy}; {self.estimate}"


class WorklistCallback(Callback):
    """Is called while a list of runs is trained, beside the events of each run."""

    def on_plan(self, plan: WorkPlan) -> None:
        """Called before anything is trained."""

    def on_task_start(self, task: Task, left: Sequence[Task], estimate: Estimate) -> None:
        """Called when a task begins; `left`: all tasks that are left, this one included."""

    def on_divergence(self, task: Task, error: TrainingDivergedError) -> None:
        """Called when a run has diverged; the other runs continue."""

    def on_wait(self, task: Task) -> None:
        """Called when other processes train all that is left, for instance this task."""


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
    return WorkPlan(tuple(tasks), tuple(todo), elsewhere, estimate_time(todo, tasks, engine, again=again))


def estimate_time(
    todo: Sequence[Task], tasks: Sequence[Task], engine: str = "auto", *, again: bool = False
) -> Estimate:
    """Estimates how long the tasks in `todo` take, from the finished runs among all `tasks`.

    An epoch is assumed to take as long as one of the same experiment; or else, on the same dataset, in proportion to
    the network's multiply-adds.

    *Arguments*: `engine`: count only runs of that engine; `auto`: of any. `again`: runs start from the beginning.
    """
    epoch_seconds: dict[Path, list[float]] = {}
    seconds_per_work: dict[str, list[float]] = {}
    for task in tasks:
        summary = task.run.summary
        if summary and engine in ("auto", summary.engine):
            each = summary.seconds / summary.epochs
            epoch_seconds.setdefault(task.run.path.parent, []).append(each)
            seconds_per_work.setdefault(task.experiment.recipe.dataset, []).append(each / _work(task.experiment))
    seconds, unknown = 0.0, 0
    for task in todo:
        same_experiment = epoch_seconds.get(task.run.path.parent)
        same_dataset = seconds_per_work.get(task.experiment.recipe.dataset)
        if same_experiment:
            each = statistics.median(same_experiment)
        elif same_dataset:
            each = statistics.median(same_dataset) * _work(task.experiment)
        else:
            unknown += 1
            continue
        trained = 0 if again else len(task.run.epochs)
        seconds += each * (task.experiment.recipe.epochs - trained)
    return Estimate(seconds, unknown)


def train_all(
    plan: WorkPlan,
    callback: WorklistCallback,
    *,
    compute: Compute = Compute(),  # noqa: B008 - frozen
    folders: Folders = Folders(),  # noqa: B008 - frozen
    again: bool = False,
) -> None:
    """Trains what is left and returns when nothing is left.

    A run that another process trains is skipped and looked at again at the end: it is waited for, and resumed where
    that process is killed. A run that diverges is reported to the callback, and the others continue.

    *Raises* DrilldownError where something is missing or does not fit.
    """
    left = list(plan.todo)
    reported: set[Path] = set()
    while left:
        advanced = False
        for task in tuple(left):
            if task.run.status == RUNNING:
                continue
            if again or not task.ended:
                callback.on_task_start(task, left, estimate_time(left, plan.tasks, compute.engine, again=again))
                try:
                    perform(
                        task.experiment, seed=task.seed, run_dir=task.run.path, compute=compute, folders=folders,
                        again=again, callback=callback,
                    )  # fmt: skip
                except TrainingDivergedError as error:
                    callback.on_divergence(task, error)
                except RunBusyError:  # another process has just begun it
                    continue
            left.remove(task)
            advanced = True
        if left and not advanced:
            if left[0].run.path not in reported:
                callback.on_wait(left[0])
                reported.add(left[0].run.path)
            time.sleep(POLL_SECONDS)


def _work(experiment: Experiment) -> int:
    return max(1, experiment.model_summary.multiply_adds)
