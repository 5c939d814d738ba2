"""How a run looks while it goes on: a bar and a table in a terminal, plain lines everywhere else."""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from drilldown.anatomy import Anatomy
from drilldown.bench import Benchmark
from drilldown.data import Dataset
from drilldown.engines import Tick
from drilldown.errors import DrilldownError
from drilldown.experiment import Experiment
from drilldown.lab import Observer
from drilldown.records import Epoch
from drilldown.runs import DAMAGED, FINISHED, Run
from drilldown.train import Training
from drilldown.verdict import Verdict, epochs_in_words, meets

if TYPE_CHECKING:
    import torch

_PLAIN: dict[str, Any] = {"highlight": False, "soft_wrap": True, "markup": False, "emoji": False}


def console(*, stderr: bool) -> Console:
    """A console without rich's guesses at what in a text is a number, a path, a tag or an emoji."""
    return Console(stderr=stderr, **_PLAIN)


def text(show: Callable[..., None], *what: Any) -> str:
    """What one of the functions below would print, as text: for `print` in Python.

    >>> print(text(print_verdict, Verdict((), "test")))
    No budget is set, so there is nothing to judge.
    """
    sink = io.StringIO()
    show(Console(file=sink, force_terminal=False, force_jupyter=False, **_PLAIN), *what)
    return sink.getvalue().strip("\n")


def mark(target: Console, met: bool) -> str:
    """A sign for met or missed that the terminal's encoding has; never colour alone."""
    if target.encoding.lower().startswith("utf"):
        return "✓" if met else "✗"
    return "+" if met else "x"


class LiveDisplay(Observer):
    """Shows a run on standard error."""

    def __init__(self) -> None:
        self.console = console(stderr=True)
        self.progress: Progress | None = None
        self.task = TaskID(0)
        self.training: Training | None = None
        self.fetched = ""
        self.epoch_begun = time.monotonic()

    def fetching(self, file: str, received: int, total: int | None) -> None:
        """A bar for each file of a dataset that is fetched; one line where there is no terminal."""
        if not self.console.is_terminal:
            if file != self.fetched:
                self.console.print(f"fetching {file}")
        else:
            if self.progress is None or file != self.fetched:  # the same once more: from the next mirror
                self.stop()
                self._start(f"fetching {file}", total)
            assert self.progress is not None
            self.progress.update(self.task, completed=received, detail=f"{received / 1e6:.1f} MB")
            if received == total:
                self.stop()
        self.fetched = file

    def notice(self, text: str) -> None:
        """A line."""
        self.console.print(text)

    def started(self, run: Run, training: Training) -> None:  # noqa: ARG002
        """The head of the table."""
        self.stop()
        self.training = training
        experiment, recipe = training.experiment, training.experiment.recipe
        device = training.engine.device.type
        where = f"{device}, {_threads(training.threads)}" if device == "cpu" else device
        self.console.print(Text(f"{experiment.title} · {experiment.name} · seed {training.seed}", style="bold"))
        self.console.print(
            f"{experiment.anatomy.parameters:,} parameters · {len(training.dataset.train):,} images of "
            f"{recipe.dataset} · {training.engine.name} on {where}"
        )
        if training.held_out:
            self.console.print(f"judged on {len(training.judged):,} images held out of the training set")
        if experiment.out_of_reach:
            self.console.print(f"the budget cannot be met: {experiment.out_of_reach}")
        if training.epochs:
            self.console.print(f"going on after epoch {len(training.epochs)}; everything before it was saved")
        part = "val" if training.held_out else "test"
        self.console.print(
            f"\n{'epoch':>6} {'lr':>9} {'train %':>9} {f'{part} %':>9} {f'{part} loss':>10} {'seconds':>8}"
        )
        for epoch in training.epochs:
            self._line(epoch)
        self._begin_epoch(len(training.epochs) + 1)

    def tick(self, tick: Tick) -> None:
        """Loss, accuracy, speed and time left."""
        if self.progress is None or self.training is None:
            return
        elapsed = time.monotonic() - self.epoch_begun
        speed = tick.so_far.total / elapsed
        done = len(self.training.epochs)
        epochs = self.training.experiment.recipe.epochs
        seconds = [e.train_seconds + e.test_seconds for e in self.training.epochs]
        each = sum(seconds) / len(seconds) if seconds else len(self.training.dataset.train) / speed
        left = each * (epochs - done - 1) + max(0.0, each - elapsed)
        self.progress.update(
            self.task,
            completed=tick.step,
            total=tick.steps,
            detail=f"loss {tick.so_far.loss:.4f} · {tick.so_far} · {speed:,.0f} img/s · {_clock(left)} left",
        )

    def epoch(self, epoch: Epoch) -> None:
        """A line of the table."""
        self.stop()
        self._line(epoch)
        self._begin_epoch(epoch.epoch + 1)

    def finished(self, run: Run) -> None:  # noqa: ARG002
        """Nothing is left on the screen but the table."""
        self.stop()

    def stop(self) -> None:
        """Takes the bar away."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def _line(self, epoch: Epoch) -> None:
        assert self.training is not None
        bar = self.training.experiment.budget.accuracy
        met = f" {mark(self.console, True)}" if bar is not None and meets(epoch, bar) else ""
        cells = zip(epoch_cells(epoch), (6, 9, 9, 9, 10, 8), strict=True)
        self.console.print(" ".join(f"{cell:>{width}}" for cell, width in cells) + met)

    def _begin_epoch(self, number: int) -> None:
        assert self.training is not None
        epochs = self.training.experiment.recipe.epochs
        self.epoch_begun = time.monotonic()
        if number > epochs:
            if self.console.is_terminal:
                self._start("looking at all training images once more", None)
        elif self.console.is_terminal:
            self._start(f"{number:>3}/{epochs}", 1)

    def _start(self, label: str, total: int | None) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[detail]}"),
            console=self.console,
            transient=True,
            expand=True,
        )
        self.task = self.progress.add_task(label, total=total, detail="")
        self.progress.start()


class Lines(LiveDisplay):
    """Shows a run as plain lines on standard output, for notebooks and scripts.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = drilldown.perform(experiment, runs=folder, observer=Lines())
    Under 8,000 · under-8k/01-flagship · seed 0
    7,662 parameters · 6,000 images of glyphs · ...
     epoch        lr   train %    test %  test loss  seconds
         1 ...
    """

    def __init__(self) -> None:
        super().__init__()
        self.console = Console(file=sys.stdout, force_terminal=False, force_jupyter=False, **_PLAIN)


def epoch_cells(epoch: Epoch) -> list[str]:
    """Number, learning rate, accuracies in percent, loss and seconds."""
    return [
        str(epoch.epoch), f"{epoch.lr:.2g}", f"{float(epoch.train.accuracy):.2f}", f"{float(epoch.test.accuracy):.2f}",
        f"{epoch.test.loss:.4f}", f"{epoch.train_seconds + epoch.test_seconds:.1f}",
    ]  # fmt: skip


def print_verdict(target: Console, verdict: Verdict) -> None:
    """The budget, line by line."""
    if not verdict.lines:
        target.print("No budget is set, so there is nothing to judge.")
        return
    word, style = ("met", "bold green") if verdict.passed else ("not met", "bold red")
    target.print(Text.assemble(("Budget ", "bold"), (word, style), f", on the {verdict.split} images"))
    table = Table.grid(padding=(0, 1))  # long lines wrap under themselves
    for line in verdict.lines:
        table.add_row(f" {mark(target, line.met)}", line.name, f"{line.found}, {line.by}; asked: {line.limit}")
    target.print(table)


def print_result(target: Console, run: Run) -> None:
    """What a finished run comes to."""
    verdict = run.verdict
    assert verdict is not None
    target.print()
    print_verdict(target, verdict)
    target.print()
    for line in result_lines(run):
        target.print(line)
    target.print(f"run     {run.path}")
    if run.has_model:
        target.print(f"report  {run.path / 'report.html'}\n        {run.path / 'report.md'}")


def result_lines(run: Run) -> list[str]:
    """A finished run's figures beside its verdict."""
    summary = run.summary
    accuracy = summary["accuracy"]
    last = " ".join(f"{value:.2f}" for value in accuracy["last"])
    held = f"last {len(accuracy['last'])} epochs" if len(accuracy["last"]) > 1 else "last epoch"
    clean = 100 * summary["clean_train_correct"] / summary["clean_train_total"]
    lines = [
        f"{held} {last} % · best {accuracy['best']:.2f} %",
        f"clean train {clean:.2f} % · {summary['seconds']:.0f} s",
    ]
    if summary["verdict"]["split"] == "validation":
        test = summary["test"]
        lines.append(f"test set, looked at once: {test['correct']:,} of {test['total']:,}")
    return lines


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def print_anatomy(target: Console, experiment: Experiment) -> None:
    """The layer table."""
    anatomy = experiment.anatomy
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("name")
    table.add_column("layer", overflow="fold")
    for name in ("output", "parameters", "multiply-adds", "sees"):
        table.add_column(name, justify="right")
    for row in layer_rows(anatomy):
        table.add_row(*row)
    target.print(Text(f"{experiment.title} · {experiment.name}", style="bold"))
    target.print(table)
    judged = against_limit(experiment, lambda met: mark(target, met))
    total = f"{anatomy.parameters:,} ({anatomy.weight_bytes:,} bytes)"
    target.print(f"\nparameters       {total}  {judged}".rstrip())
    target.print(f"multiply-adds    {anatomy.multiply_adds:,} an image")
    if anatomy.receptive_field:
        target.print(f"receptive field  {anatomy.receptive_field} pixels")
    target.print(f"peak activations {anatomy.peak_activation_bytes:,} bytes an image")
    if experiment.out_of_reach:
        target.print(f"\n{mark(target, False)} cannot be met: {experiment.out_of_reach}")


def layer_rows(anatomy: Anatomy) -> list[tuple[str, ...]]:
    """The layer table's cells; what a layer has none of stays empty."""
    return [
        (
            row.name, row.layer, "x".join(map(str, row.output)), f"{row.parameters:,}" if row.parameters else "",
            f"{row.multiply_adds:,}" if row.multiply_adds else "",
            f"{row.receptive_field}" if row.receptive_field else "",
        )
        for row in anatomy.layers
    ]  # fmt: skip


def against_limit(experiment: Experiment, sign: Callable[[bool], str]) -> str:
    """How many parameters are to spare, or too many; empty without a limit.

    >>> against_limit(drilldown.load("under-8k"), lambda met: "+" if met else "x")
    '+ 338 below the budget of 8,000'
    """
    limit = experiment.budget.parameters
    if limit is None:
        return ""
    spare = limit - experiment.anatomy.parameters
    return f"{sign(spare >= 0)} {abs(spare):,} {'below' if spare >= 0 else 'above'} the budget of {limit:,}"


def print_runs(target: Console, runs: list[Run]) -> list[DrilldownError]:
    """Runs line by line; returns what was wrong with those that are damaged."""
    rows, problems = [], []
    for run in runs:
        try:
            rows.append((*_run_cells(target, run), str(run.path)))
        except DrilldownError as error:
            rows.append((DAMAGED, "", "", str(run.path)))
            problems.append(error)
    _print_lines(target, ("status", "result", ">last %", "run"), rows)
    return problems


def _run_cells(target: Console, run: Run) -> tuple[str, str, str]:
    """Status, verdict and last accuracy; before the end, how many epochs are done."""
    status = run.status
    if status == FINISHED:
        said = run.summary
        passed = said["verdict"]["passed"]
        return status, f"{mark(target, passed)} {'met' if passed else 'not met'}", f"{said['accuracy']['final']:.2f}"
    epochs = run.epochs
    last = f"{float(epochs[-1].test.accuracy):.2f}" if epochs else ""
    return status, epochs_in_words(len(epochs)), last


def print_predictions(target: Console, files: Sequence[Path], scores: torch.Tensor) -> None:
    """What pictures were read as, how surely, and what came second; `scores`: (N, classes)."""
    best = scores.softmax(1).topk(2)
    rows = [
        (str(int(answer)), _share(sure), f"{int(second)} {_share(less)}", str(file))
        for file, (answer, second), (sure, less) in zip(files, best.indices.tolist(), best.values.tolist(), strict=True)
    ]
    _print_lines(target, ("read as", ">confidence", "runner-up", "picture"), rows)


def _share(probability: float) -> str:
    """In percent; what is not quite certain does not read as if it were.

    >>> _share(0.99996), _share(0.9), _share(1e-6)
    ('>99.9 %', '90.0 %', '<0.1 %')
    """
    if not 0.0005 <= probability < 0.9995:
        return "<0.1 %" if probability < 0.5 else ">99.9 %"
    return f"{100 * probability:.1f} %"


def _print_lines(target: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table whose last column, names of any length, is never cut nor folded: it can be copied at any width.

    *Arguments*: `heads`: with a `>` before those whose column stands right.
    """
    names = [head.removeprefix(">") for head in heads]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    widths[-1] = 0

    def line(cells: Sequence[str]) -> str:
        aligned = zip(cells, heads, widths, strict=True)
        return "  ".join(c.rjust(width) if head[0] == ">" else c.ljust(width) for c, head, width in aligned)

    target.print(Text(line(names), style="bold"))
    for row in rows:
        target.print(line(row))


def print_dataset(target: Console, dataset: Dataset) -> None:
    """A dataset's statistics."""
    _, height, width = dataset.image_shape
    target.print(Text(dataset.name, style="bold"))
    target.print(
        f"{height}x{width} pixels, {dataset.classes} classes, mean {dataset.mean}, standard deviation {dataset.std}"
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("class", "training images", "test images"):
        table.add_column(name, justify="right")
    train, test = (split.labels.bincount(minlength=dataset.classes).tolist() for split in (dataset.train, dataset.test))
    for number, (a, b) in enumerate(zip(train, test, strict=True)):
        table.add_row(str(number), f"{a:,}", f"{b:,}")
    table.add_row("all", f"{len(dataset.train):,}", f"{len(dataset.test):,}", style="bold")
    target.print(table)


def print_timings(target: Console, experiment: Experiment, benchmark: Benchmark) -> None:
    """A benchmark's medians and ratios."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("pipeline")
    for name in ("seconds", "ratio", "range", "test %"):
        table.add_column(name, justify="right")
    names = {
        "drilldown": f"drilldown, engine {benchmark.engine}",
        "torch": "drilldown, engine torch",
        "loader": "DataLoader, PIL transforms",
        "memory": "eager, in memory, plain images",
    }
    for timing in benchmark.timings:
        table.add_row(
            names[timing.name], f"{statistics.median(timing.seconds):.2f}", f"{statistics.median(timing.ratios):.2f}",
            f"{min(timing.ratios):.2f}–{max(timing.ratios):.2f}", f"{100 * timing.accuracy:.2f}",
        )  # fmt: skip
    rounds = len(benchmark["drilldown"].seconds)
    target.print(Text(f"{experiment.title} · {experiment.name} · {_threads(benchmark.threads)}", style="bold"))
    target.print(table)
    target.print(f"medians of {rounds} epochs each, in turn, augmentation included; ratios to drilldown's")
