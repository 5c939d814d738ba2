"""Many runs in turn: what is still to do, about how long it takes, and doing it beside other processes.

Nothing about a worklist is stored. The run folders say what is done, so that a command can be stopped at any moment
and repeated, and several processes, on one machine or on a shared folder, may work on one list.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drilldown import lab
from drilldown.errors import TrainingDiverged
from drilldown.experiment import Experiment
from drilldown.runs import DIVERGED, FINISHED, RUNNING, Busy, Run

POLL_SECONDS = 1.0
"""How often a run that another process trains is looked at."""


@dataclass(frozen=True, slots=True)
class Task:
    """An experiment that is to be trained with a seed."""

    experiment: Experiment
    seed: int
    run: Run
    """Where."""

    @property
    def done(self) -> bool:
        """Whether it came to an end; one that diverged has, and counts as a failure."""
        return self.run.status in (FINISHED, DIVERGED)


@dataclass(frozen=True, slots=True)
class Estimate:
    """About how long something takes."""

    seconds: float
    unknown: int
    """Runs that are not counted in, because nothing like them has been trained here."""

    def __str__(self) -> str:
        if self.unknown and not self.seconds:
            return "how long is not known before the first is trained"
        return f"about {duration(self.seconds)}" + (
            f" and {self.unknown} runs of unknown length" if self.unknown else ""
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is and what is to do."""

    tasks: tuple[Task, ...]
    todo: tuple[Task, ...]
    elsewhere: int
    """Of those to do, how many another process is training right now."""
    estimate: Estimate

    def __str__(self) -> str:
        there = f"{len(self.tasks) - len(self.todo)} of {len(self.tasks)} runs are there"
        if not self.todo:
            return f"{there}, nothing is left to do"
        busy = f" ({self.elsewhere} under way in another process)" if self.elsewhere else ""
        return f"{there}, {len(self.todo)} to do{busy}; {self.estimate}"


class Watcher(lab.Observer):
    """Is told how a worklist goes, beside how each run goes."""

    def planned(self, plan: Plan) -> None:
        """Before anything is trained."""

    def begins(self, task: Task, left: Sequence[Task], estimate: Estimate) -> None:
        """A task is taken up; `left`: what is to do, this one included."""

    def diverged(self, task: Task, error: TrainingDiverged) -> None:
        """A run failed; the others go on."""

    def waits(self, task: Task) -> None:
        """All that is left is in other processes' hands, this for instance."""


def tasks(experiments: Sequence[Experiment], seeds: int, root: Path) -> list[Task]:
    """Seeds 0 … `seeds` − 1 of each experiment, seed by seed over all of them.

    In that order, a list that is stopped half-way leaves the same seeds of every experiment, which can be compared in
    pairs, and not all seeds of some experiments and none of the others.
    """
    return [
        Task(experiment, seed, Run.of(experiment, seed, root)) for seed in range(seeds) for experiment in experiments
    ]


def plan(tasks: Sequence[Task], engine: str = "auto") -> Plan:
    """What there is and what is to do."""
    todo = [task for task in tasks if not task.done]
    elsewhere = sum(task.run.status == RUNNING for task in todo)
    return Plan(tuple(tasks), tuple(todo), elsewhere, estimate(todo, tasks, engine))


def estimate(todo: Sequence[Task], tasks: Sequence[Task], engine: str = "auto") -> Estimate:
    """How long the tasks to do will take, from the finished runs among all `tasks`.

    Each epoch is taken to last as long as one of the same experiment, or else, on the same dataset, in proportion to
    the network's multiply-adds.

    *Arguments*: `engine`: only runs of that engine count; `auto`: those of any.
    """
    epoch_seconds: dict[str, list[float]] = {}
    by_work: dict[str, list[float]] = {}
    for task in tasks:
        said = task.run.summary
        if said and engine in ("auto", said["engine"]):
            each = said["seconds"] / said["epochs"]
            epoch_seconds.setdefault(_folder(task), []).append(each)
            by_work.setdefault(task.experiment.recipe.dataset, []).append(each / _work(task.experiment))
    seconds, unknown = 0.0, 0
    for task in todo:
        known = epoch_seconds.get(_folder(task))
        rates = by_work.get(task.experiment.recipe.dataset)
        if known:
            each = statistics.median(known)
        elif rates:
            each = statistics.median(rates) * _work(task.experiment)
        else:
            unknown += 1
            continue
        seconds += each * (task.experiment.recipe.epochs - len(task.run.epochs))
    return Estimate(seconds, unknown)


def carry_out(
    plan: Plan,
    watcher: Watcher,
    *,
    data_folder: Path | None = None,
    engine: str = "auto",
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Trains what is to do and comes back when nothing is left.

    A run that another process is training is passed over and looked at again at the end: it is waited for, and taken
    over where that process is killed. One that diverges is told to the watcher, and the others go on.

    *Raises* DrilldownError where something is missing or does not fit.
    """
    left = list(plan.todo)
    told: set[Path] = set()
    while left:
        progress = False
        for task in tuple(left):
            status = task.run.status
            if status == RUNNING:
                continue
            if status not in (FINISHED, DIVERGED):
                watcher.begins(task, left, estimate(left, plan.tasks, engine))
                try:
                    lab.perform(
                        task.experiment, seed=task.seed, folder=task.run.path, data_folder=data_folder,
                        engine=engine, device=device, threads=threads, observer=watcher,
                    )  # fmt: skip
                except TrainingDiverged as error:
                    watcher.diverged(task, error)
                except Busy:  # taken by another process in this moment
                    continue
            left.remove(task)
            progress = True
        if left and not progress:
            if left[0].run.path not in told:
                watcher.waits(left[0])
                told.add(left[0].run.path)
            time.sleep(POLL_SECONDS)


def duration(seconds: float) -> str:
    """Seconds as one says them.

    >>> duration(3), duration(250), duration(9000)
    ('3 s', '4 min', '2 h 30 min')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _folder(task: Task) -> str:
    return str(task.run.path.parent)


def _work(experiment: Experiment) -> int:
    return max(1, experiment.anatomy.multiply_adds)
