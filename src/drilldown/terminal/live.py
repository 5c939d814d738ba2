"""Shows a run while it trains: with a bar and a table in a terminal, as plain lines everywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Protocol

from rich import progress as bars
from rich.console import Console
from rich.text import Text

from drilldown.engines.engine import Progress
from drilldown.evaluation.records import EpochRecord
from drilldown.evaluation.verdict import meets_bar
from drilldown.runs.callback import Callback
from drilldown.runs.pool import Outcome, Task
from drilldown.runs.run import Run
from drilldown.runs.worklist import Estimate, WorklistCallback, WorkPlan
from drilldown.terminal.console import make_console, make_plain_console, mark
from drilldown.terminal.tables import epoch_cells
from drilldown.training.training import Training
from drilldown.wording import count_text, heading


class Bar(Protocol):
    """A progress bar with a label before it and a text behind it."""

    def update(self, completed: float, total: float | None, text: str) -> None:
        """Shows the present state; a bar without a total only shows that something happens."""
        ...

    def stop(self) -> None:
        """Removes the bar."""
        ...


class TerminalBar:
    """A bar in the last line of a terminal."""

    def __init__(self, console: Console, label: str, total: float | None) -> None:
        words = bars.TextColumn("{task.description}"), bars.TextColumn("{task.fields[text]}")
        columns = words[0], bars.BarColumn(bar_width=None), words[1]
        self.progress = bars.Progress(*columns, console=console, transient=True, expand=True)
        self.task = self.progress.add_task(label, total=total, text="")
        self.progress.start()

    def update(self, completed: float, total: float | None, text: str) -> None:
        """Shows the present state."""
        self.progress.update(self.task, completed=completed, total=total, text=text)

    def stop(self) -> None:
        """Removes the bar."""
        self.progress.stop()


class LiveDisplay(Callback):
    """Shows a run on standard error; the table of its epochs on standard output, where that is a file or a pipe.

    *Arguments*: `as_json`: standard output is kept for a document, so the table goes to standard error as well.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.console = make_console(stderr=True)
        self.table = self.console if as_json or sys.stdout.isatty() else make_plain_console(sys.stdout)
        self.bar: Bar | None = None
        self.training: Training | None = None
        self.file = ""
        self.epoch_started = time.monotonic()

    def on_download(self, file: str, received: int, total: int | None) -> None:
        """Shows a bar for each file where there are bars, one line elsewhere."""
        if not self.has_bars:
            if file != self.file:
                self.console.print(f"fetching {file}")
        else:
            if self.bar is None or file != self.file:  # the same file a second time comes from the next mirror
                self.stop()
                self._show_bar(f"fetching {file}", total)
            assert self.bar is not None
            self.bar.update(received, total, f"{received / 1e6:.1f} MB")
            if received == total:
                self.stop()
        self.file = file

    def on_notice(self, text: str) -> None:
        """Prints a line."""
        self.console.print(text)

    def on_start(self, run: Run, training: Training) -> None:  # noqa: ARG002
        """Prints the head of the table."""
        self.stop()
        self.training = training
        experiment, recipe = training.experiment, training.experiment.recipe
        device = training.engine.device.type
        where = f"{device}, {count_text(training.threads, 'thread')}" if device == "cpu" else device
        self._print_line(Text(heading(experiment.title, experiment.name, f"seed {training.seed}"), style="bold"))
        self._print_line(
            f"{experiment.model_summary.parameters:,} parameters · {len(training.dataset.train):,} images of "
            f"{recipe.dataset} · {training.engine.name} on {where}"
        )
        if training.held_out:
            self._print_line(f"judged on {training.split_text}")
        if training.teacher is not None:
            self._print_line(training.teacher.describe(training.teacher_seen, len(training.judged)))
        if experiment.out_of_reach:
            self._print_line(f"the budget cannot be met: {experiment.out_of_reach}")
        if training.epochs:
            self._print_line(f"resumed after epoch {len(training.epochs)}")
        part = "val" if training.held_out else "test"
        self._print_line(
            f"\n{'epoch':>6} {'lr':>9} {'train %':>9} {f'{part} %':>9} {f'{part} loss':>10} {'seconds':>8}"
        )
        for epoch in training.epochs:
            self._print_epoch(epoch)
        self._start_epoch(len(training.epochs) + 1)

    def on_progress(self, progress: Progress) -> None:
        """Updates loss, accuracy, speed and remaining time."""
        if self.bar is None or self.training is None:
            return
        elapsed = time.monotonic() - self.epoch_started
        speed = progress.so_far.total / elapsed
        finished = len(self.training.epochs)
        epochs = self.training.experiment.recipe.epochs
        seconds = [epoch.train_seconds + epoch.test_seconds for epoch in self.training.epochs]
        each = sum(seconds) / len(seconds) if seconds else len(self.training.dataset.train) / speed
        left = each * (epochs - finished - 1) + max(0.0, each - elapsed)
        text = f"loss {progress.so_far.loss:.4f} · {progress.so_far} · {speed:,.0f} img/s · {clock_text(left)} left"
        self.bar.update(progress.step, progress.steps, text)

    def on_epoch_end(self, epoch: EpochRecord) -> None:
        """Prints a line of the table."""
        self.stop()
        self._print_epoch(epoch)
        self._start_epoch(epoch.epoch + 1)

    def on_finish(self, run: Run) -> None:  # noqa: ARG002
        """Removes the bar, so that the table remains."""
        self.stop()

    def stop(self) -> None:
        """Removes the bar."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _print_line(self, line: str | Text) -> None:
        """Prints a line of the table; a training does not end because a full disk cannot take the line."""
        try:
            self.table.print(line)
        except BrokenPipeError:
            raise
        except OSError:
            self.table = self.console
            self.table.print(line)

    def _print_epoch(self, epoch: EpochRecord) -> None:
        assert self.training is not None
        bar = self.training.experiment.budget.accuracy
        met = f" {mark(self.table, True)}" if bar is not None and meets_bar(epoch, bar) else ""
        cells = zip(epoch_cells(epoch), (6, 9, 9, 9, 10, 8), strict=True)
        self._print_line(" ".join(f"{cell:>{width}}" for cell, width in cells) + met)

    def _start_epoch(self, number: int) -> None:
        assert self.training is not None
        epochs = self.training.experiment.recipe.epochs
        self.epoch_started = time.monotonic()
        if self.has_bars:
            if number > epochs:
                self._show_bar("evaluating on the training set", None)
            else:
                self._show_bar(f"{number:>3}/{epochs}", 1)

    def _show_bar(self, label: str, total: int | None) -> None:
        self.bar = self.make_bar(label, total)

    @property
    def has_bars(self) -> bool:
        """Whether progress is shown by bars, not only by lines."""
        return self.console.is_terminal

    def make_bar(self, label: str, total: int | None) -> Bar:
        """Makes a bar and shows it; called where `has_bars`."""
        return TerminalBar(self.console, label, total)


class WorklistDisplay(LiveDisplay, WorklistCallback):
    """Shows a list of runs, each like a single run.

    *Arguments*: `name`: the name of the list, such as the study.
    """

    def __init__(self, name: str, *, as_json: bool = False) -> None:
        super().__init__(as_json=as_json)
        self.name = name
        self.count = 0

    def on_plan(self, plan: WorkPlan) -> None:
        """Prints the number of runs that are left, and the estimated time."""
        self.count = len(plan.todo)
        self.console.print(f"{self.name}: {plan}")

    def on_task_start(self, task: Task, left: Sequence[Task], estimate: Estimate) -> None:  # noqa: ARG002
        """Prints the number of the run and the remaining time."""
        number = self.count - len(left) + 1
        self.console.print(f"\nrun {number} of {self.count}; left: {estimate}")

    def on_start(self, run: Run, training: Training) -> None:
        """Prints the head of the run's table, apart from the table before it."""
        if self.table is not self.console:
            self._print_line("")
        super().on_start(run, training)

    def on_task_end(self, outcome: Outcome) -> None:
        """Prints that the run diverged or failed."""
        self.stop()
        if outcome.ending != "finished":
            kind = "diverged and counts as failed" if outcome.ending == "diverged" else "failed"
            self.console.print(f"{outcome.task}, {kind}: {outcome.reason}")

    def on_wait(self, task: Task) -> None:
        """Prints the run that another process trains."""
        self.stop()
        self.console.print(f"waiting for {task.run.path}, which another process is training")


def clock_text(seconds: float) -> str:
    """Formats a time.

    >>> clock_text(75), clock_text(3675)
    ('1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
