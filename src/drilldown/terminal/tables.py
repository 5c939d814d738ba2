"""The tables that commands print about one experiment, run or dataset."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from drilldown.benchmark.measure import Benchmark
from drilldown.data.dataset import Dataset, class_name
from drilldown.data.recognition import conventions_of
from drilldown.evaluation.records import EpochRecord
from drilldown.evaluation.verdict import Verdict, chip_lines
from drilldown.experiment.experiment import Experiment
from drilldown.network.summary import ModelSummary
from drilldown.runs.chips import figures_untrained
from drilldown.runs.run import FinishedRun, Run
from drilldown.terminal.console import make_table, mark, print_rows
from drilldown.wording import count_text, heading


def epoch_cells(epoch: EpochRecord) -> list[str]:
    """Returns the cells of an epoch: number, learning rate, accuracies in percent, loss and seconds."""
    return [
        str(epoch.epoch), f"{epoch.lr:.2g}", f"{float(epoch.train.accuracy):.2f}", f"{float(epoch.test.accuracy):.2f}",
        f"{epoch.test.loss:.4f}", f"{epoch.train_seconds + epoch.test_seconds:.1f}",
    ]  # fmt: skip


def print_verdict(target: Console, verdict: Verdict) -> None:
    """Prints the budget, line by line."""
    if not verdict.lines:
        target.print("No budget is set, so there is nothing to judge.")
        return
    word, style = ("met", "bold green") if verdict.passed else ("not met", "bold red")
    target.print(Text.assemble(("Budget ", "bold"), (word, style), f", on the {verdict.split} images"))
    table = Table.grid(padding=(0, 1, 0, 0))  # long lines wrap under themselves
    for line in verdict.lines:
        table.add_row(f" {mark(target, line.met)}", line.name, line.text)
    target.print(table)


def print_result(target: Console, run: Run) -> None:
    """Prints the verdict on a finished run, its figures, and the paths of run and report."""
    finished = run.read()
    target.print()
    print_verdict(target, finished.verdict)
    target.print()
    for line in result_lines(finished):
        target.print(line)
    target.print(f"run     {run.path}")
    if run.has_model:
        target.print(f"report  {run.path / 'report.html'}\n        {run.path / 'report.md'}")


def result_lines(run: FinishedRun) -> list[str]:
    """Returns the figures of a finished run as lines below its verdict."""
    summary = run.summary
    accuracy = summary.accuracy
    last = " ".join(f"{value:.2f}" for value in run.last)
    epochs = f"last {run.hold} epochs" if run.hold > 1 else "last epoch"
    lines = [
        f"{epochs} {last} % · best {accuracy.best:.2f} %",
        f"training images, without augmentation: {summary.clean_train_accuracy:.2f} % · "
        f"trained in {summary.seconds:.0f} s",
    ]
    if summary.teacher_text:
        lines.append(summary.teacher_text)
    if run.split == "validation":
        lines.append(f"test set, evaluated once: {summary.test.correct:,} of {summary.test.total:,}")
    return lines


def print_model_summary(target: Console, experiment: Experiment) -> None:
    """Prints the layer table."""
    model_summary = experiment.model_summary
    table = make_table(["name", "layer"], ["output", "parameters", "multiply-adds", "sees"])
    for row in layer_rows(model_summary):
        table.add_row(*row)
    target.print(Text(heading(experiment.title, experiment.name), style="bold"))
    target.print(table)
    judged = against_limit(experiment, lambda met: mark(target, met))
    total = f"{model_summary.parameters:,} ({model_summary.weight_bytes:,} bytes)"
    target.print(f"\nparameters       {total}  {judged}".rstrip())
    target.print(f"multiply-adds    {model_summary.multiply_adds:,} per image")
    if model_summary.receptive_field:
        target.print(f"receptive field  {model_summary.receptive_field} pixels")
    target.print(f"peak activations {model_summary.peak_activation_bytes:,} bytes per image")
    for line in chip_lines(experiment.budget, figures_untrained(experiment)):
        target.print(f"{line.name:<16} {mark(target, line.met)} {line.text}")
    if experiment.out_of_reach:
        target.print(f"\n{mark(target, False)} the budget cannot be met: {experiment.out_of_reach}")
    if experiment.doubt:
        target.print(f"\n{experiment.doubt}")


def layer_rows(model_summary: ModelSummary) -> list[tuple[str, ...]]:
    """Returns the cells of the layer table; zeros stay empty."""
    return [
        (
            row.name, row.layer, "x".join(map(str, row.output)), f"{row.parameters:,}" if row.parameters else "",
            f"{row.multiply_adds:,}" if row.multiply_adds else "",
            f"{row.receptive_field}" if row.receptive_field else "",
        )
        for row in model_summary.layers
    ]  # fmt: skip


def against_limit(experiment: Experiment, sign: Callable[[bool], str]) -> str:
    """Returns the distance to the limit of parameters in words; empty without a limit.

    >>> against_limit(drilldown.load("under-8k"), lambda met: "+" if met else "x")
    '+ 338 below the budget of 8,000'
    """
    limit = experiment.budget.parameters
    if limit is None:
        return ""
    spare = limit - experiment.model_summary.parameters
    return f"{sign(spare >= 0)} {abs(spare):,} {'below' if spare >= 0 else 'above'} the budget of {limit:,}"


def print_predictions(
    target: Console, files: Sequence[Path], logits: torch.Tensor, class_names: Sequence[str] | None = None
) -> None:
    """Prints the predicted class of each picture, its probability, and the second class; `logits`: (N, classes)."""
    best = logits.softmax(1).topk(2)
    rows = [
        (
            class_name(class_names, first),
            _share(first_share),
            f"{class_name(class_names, second)} {_share(second_share)}",
            str(file),
        )
        for file, (first, second), (first_share, second_share) in zip(
            files, best.indices.tolist(), best.values.tolist(), strict=True
        )
    ]
    print_rows(target, ("class", ">confidence", "second", "picture"), rows)


def _share(probability: float) -> str:
    """Formats a probability in percent; it is never rounded to 0 % or 100 %.

    >>> _share(0.99996), _share(0.9), _share(1e-6)
    ('>99.9 %', '90.0 %', '<0.1 %')
    """
    if not 0.0005 <= probability < 0.9995:
        return "<0.1 %" if probability < 0.5 else ">99.9 %"
    return f"{100 * probability:.1f} %"


def print_dataset(target: Console, dataset: Dataset) -> None:
    """Prints a dataset's statistics."""
    mean, std = (", ".join(map(str, values)) for values in (dataset.mean, dataset.std))
    target.print(Text(heading(dataset.name), style="bold"))
    channels, height, width = dataset.image_shape
    colour = f" with {channels} channels" if channels > 1 else ""
    target.print(f"{height}x{width} pixels{colour}, {dataset.classes} classes, mean {mean}, standard deviation {std}")
    target.print(str(conventions_of(dataset)))
    table = make_table([], ["class", "training images", "test images"])
    train, test = (split.labels.bincount(minlength=dataset.classes).tolist() for split in (dataset.train, dataset.test))
    for number, counts in enumerate(zip(train, test, strict=True)):
        table.add_row(dataset.names[number], *(f"{count:,}" for count in counts))
    table.add_row("all", f"{len(dataset.train):,}", f"{len(dataset.test):,}", style="bold")
    target.print(table)
    for notice in (*dataset.notices, dataset.leakage_notice):
        if notice:
            target.print(notice)


def print_timings(target: Console, experiment: Experiment, benchmark: Benchmark) -> None:
    """Prints a benchmark's medians and ratios."""
    table = make_table(["pipeline"], ["seconds", "ratio", "range", "test %"])
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
    target.print(
        Text(heading(experiment.title, experiment.name, count_text(benchmark.threads, "thread")), style="bold")
    )
    target.print(table)
    target.print(f"medians of {rounds} epochs, the pipelines taking turns; ratio: seconds / drilldown's seconds")
