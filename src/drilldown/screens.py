"""What the commands over many runs print: a study, experiments side by side, an experiment without its ingredients."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from drilldown.display import LiveDisplay, mark
from drilldown.errors import TrainingDiverged
from drilldown.report.study import StudyEvidence
from drilldown.report.study.markdown import interval
from drilldown.verdict import PassRate
from drilldown.worklist import Estimate, Plan, Task, Watcher


class WorklistDisplay(LiveDisplay, Watcher):
    """Shows many runs in turn on standard error, each as a run is shown.

    *Arguments*: `name`: of all of it, such as a study's.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.count = 0

    def planned(self, plan: Plan) -> None:
        """One line."""
        self.count = len(plan.todo)
        self.console.print(f"{self.name}: {plan}")

    def begins(self, task: Task, left: Sequence[Task], estimate: Estimate) -> None:  # noqa: ARG002
        """Which of how many, and about how long all of it still takes."""
        number = self.count - len(left) + 1
        self.console.print(f"\nrun {number} of {self.count}; left: {estimate}")

    def diverged(self, task: Task, error: TrainingDiverged) -> None:
        """One line; it counts as a failure."""
        self.stop()
        self.console.print(f"{task.experiment.name}, seed {task.seed}, diverged and counts as failed: {error}")

    def waits(self, task: Task) -> None:
        """One line."""
        self.stop()
        self.console.print(f"waiting for {task.run.path}, which another process is training")


def print_study(target: Console, evidence: StudyEvidence) -> None:
    """The ladder in short."""
    table = _table("step")
    for name in ("parameters", "last epochs %", "budget met", "worth, points"):
        table.add_column(name, justify="right")
    for step in evidence.steps:
        change = step.change.accuracy if step.change else None
        table.add_row(
            step.name, f"{step.experiment.anatomy.parameters:,}", interval(step.seeds.accuracy, 2) or "-",
            _rate(target, step.seeds.rate), change.text(2) if change else "",
        )  # fmt: skip
    target.print(Text(f"Study {evidence.name}", style="bold"))
    target.print(table)
    target.print(
        "means over seeds with 95 % t intervals; worth: against the step that it extends,\npaired by seed"
        if any(step.seeds.n > 1 for step in evidence.steps)
        else "one seed: an anecdote"
    )


def _table(*left: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in left:
        table.add_column(name, overflow="fold")
    return table


def _rate(target: Console, rate: PassRate | None) -> str:
    return f"{mark(target, rate.met)} {rate.passed} of {rate.n}" if rate else ""
