"""Shows runs that several workers train: a live table in a terminal, a line for each finished run everywhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from drilldown.runs.pool import Outcome, Task, WorkerStatus
from drilldown.runs.worklist import Estimate, WorkPlan
from drilldown.terminal.console import make_table, mark, print_rows
from drilldown.terminal.live import WorklistDisplay, clock_text
from drilldown.wording import count_text

if TYPE_CHECKING:
    from drilldown.workers.cluster import Member  # imports Dask, which takes half a second

REFRESHES = 2
"""Per second."""


class WorkersDisplay(WorklistDisplay):
    """Shows a list of runs and the workers that train them, on standard error.

    *Arguments*: `name`: the name of the list, such as the study.
    """

    def __init__(self, name: str, *, as_json: bool = False) -> None:
        super().__init__(name, as_json=as_json)
        self.workers: tuple[WorkerStatus, ...] = ()
        self.ended = 0
        self.left = ""
        self.live: Live | None = None

    def on_plan(self, plan: WorkPlan) -> None:
        """Prints the number of runs that are left."""
        super().on_plan(plan)
        self.left = str(plan.estimate)

    def on_task_start(self, task: Task, left: Sequence[Task], estimate: Estimate) -> None:  # noqa: ARG002
        """Keeps the remaining time for the table."""
        self.left = str(estimate)

    def on_workers(self, workers: Sequence[WorkerStatus]) -> None:
        """Updates the table."""
        if not self.workers and workers:
            self.console.print(f"training with {count_text(len(workers), 'worker')}")
        self.workers = tuple(workers)
        if self.console.is_terminal and self.live is None and self.bar is None:
            self.live = Live(
                console=self.console,
                get_renderable=self._table,
                refresh_per_second=REFRESHES,
                transient=True,
            )
            self.live.start()

    def on_task_end(self, outcome: Outcome) -> None:
        """Prints a line with the result of the run."""
        self.ended += 1
        head = f"{self.ended:>{len(str(self.count))}}/{self.count}  {outcome.task}"
        if outcome.ending != "finished":
            kind = "diverged and counts as failed" if outcome.ending == "diverged" else "failed"
            self.console.print(f"{head}: {kind}: {outcome.reason}")
            return
        run = outcome.task.run.read()
        word = "met" if run.passed else "not met"
        self.console.print(
            f"{head}  {mark(self.console, run.passed)} budget {word} · {run.accuracy(run.hold):.2f} % · "
            f"{run.summary.seconds:.0f} s"
        )

    def on_wait(self, task: Task) -> None:
        """Prints the run that another process trains, above the table."""
        self.console.print(f"waiting for {task.run.path}, which another process is training")

    def stop(self) -> None:
        """Removes the table."""
        super().stop()
        if self.live is not None:
            self.live.stop()
            self.live = None

    def _table(self) -> RenderableType:
        return Group(self._worker_table(), Text(f"{self.ended} of {self.count} runs ended; left: {self.left}"))

    def _worker_table(self) -> Table:
        table = make_table(["worker", "trains"], ["seed", "epoch", "%", "time"])
        for column in table.columns[2:]:
            column.no_wrap = True  # where the table is too wide, names are shortened, and not the figures
        for worker in self.workers:
            if worker.task is None:
                table.add_row(_one_line(_place(worker)), "waits")
                continue
            experiment = worker.task.experiment
            epoch, accuracy = (0, "") if worker.epoch is None else (worker.epoch.epoch, _percent(worker))
            table.add_row(
                _one_line(_place(worker)), _one_line(experiment.name.partition("/")[2]), str(worker.task.seed),
                f"{epoch}/{experiment.recipe.epochs}", accuracy, clock_text(time.monotonic() - worker.started),
            )  # fmt: skip
        return table


def print_members(target: Console, members: Sequence[Member]) -> None:
    """Prints the workers of a crew, what they can train, and what they do."""
    target.print(f"{count_text(len(members), 'worker')}")
    rows = [(member.name, member.host, member.busy or "waits", ", ".join(member.abilities)) for member in members]
    if rows:
        print_rows(target, ("worker", "address", "trains", "has"), rows)


def _one_line(name: str) -> Text:
    return Text(name, no_wrap=True, overflow="ellipsis")


def _place(worker: WorkerStatus) -> str:
    return worker.name if worker.host == "127.0.0.1" else f"{worker.name} ({worker.host})"


def _percent(worker: WorkerStatus) -> str:
    assert worker.epoch is not None
    return f"{float(worker.epoch.test.accuracy):.2f}"
