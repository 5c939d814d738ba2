"""What the commands over many runs print: seeds, a study, a comparison, an ablation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from drilldown.analysis.ablation import Ablation
from drilldown.analysis.comparison import Contrast, Subject
from drilldown.analysis.seeds import Seeds
from drilldown.analysis.study import StudyEvidence
from drilldown.evaluation.intervals import PassRate, Spread
from drilldown.terminal.console import mark

COMPARED = ("parameters", "multiply-adds", "seeds", "last epochs %", "loss", "budget met")
ROOMY = 74
"""Columns that all of them take."""


def print_study(target: Console, evidence: StudyEvidence) -> None:
    """The ladder in short."""
    table = _new_table("step")
    for name in ("parameters", "last epochs %", "budget met", "worth, points"):
        table.add_column(name, justify="right")
    for step in evidence.steps:
        change = step.change.accuracy if step.change else None
        table.add_row(
            step.name, f"{step.experiment.model_summary.parameters:,}", _figure(step.seeds.accuracy) or "-",
            _rate(target, step.seeds.rate), change.text(2) if change else "",
        )  # fmt: skip
    target.print(Text(f"Study {evidence.name}", style="bold"))
    target.print(table)
    if any(step.seeds.n > 1 for step in evidence.steps):
        target.print("means over seeds, of three or more with 95 % t intervals; worth: against the step")
        target.print("that it extends, paired by seed")
    else:
        target.print("one seed: an anecdote")


def print_comparison(target: Console, subjects: Sequence[Subject]) -> None:
    """Subjects line by line, then what each changed from the first and what that was worth."""
    for subject in subjects:
        line = Table.grid(padding=(0, 1))
        line.add_row(Text(subject.letter, style="bold"), f"{subject.experiment.title} · {subject.reference}")
        target.print(line)
    table = _new_table("")
    shown = [name for name in COMPARED if target.width >= ROOMY or name != "multiply-adds"]
    for name in shown:
        table.add_column(name, justify="right")
    for subject in subjects:
        cells = dict(zip(COMPARED, comparison_cells(subject, lambda met: mark(target, met)), strict=True))
        table.add_row(subject.letter, *(cells[name] for name in shown))
    target.print()
    target.print(table)
    for subject in subjects:
        if subject.against:
            _print_against(target, subjects[0], subject, subject.against)


def comparison_cells(subject: Subject, sign: Callable[[bool], str]) -> list[str]:
    """What the columns of COMPARED say of a subject."""
    seeds, model_summary = subject.seeds, subject.experiment.model_summary
    rate = seeds.rate
    return [
        f"{model_summary.parameters:,}", f"{model_summary.multiply_adds:,}", str(seeds.n), _figure(seeds.accuracy) or "-",
        f"{seeds.loss.mean:.4f}" if seeds.loss else "-",
        f"{sign(rate.met)} {rate.passed} of {rate.n}" if rate else "-",
    ]  # fmt: skip


def _print_against(target: Console, first: Subject, subject: Subject, against: Contrast) -> None:
    target.print()
    target.print(Text(f"{subject.letter} against {first.letter}", style="bold"))
    if not against.difference:
        target.print("  nothing that is trained or judged differs")
    if against.difference.settings:
        table = _new_table("setting", first.letter, subject.letter)
        for change in against.difference.settings:
            table.add_row(change.name, change.before, change.after)
        target.print(Padding(table, (0, 0, 0, 2)))
    for line in against.difference.layers:
        target.print(f"  {line}")
    if len(against.components) > 1:
        several = Table.grid(padding=(0, 1, 0, 0))
        several.add_row("  changed at once:", ", ".join(against.components))
        target.print(several)
    worth = Table.grid()
    for line in against.worth:
        worth.add_row("  ", line)
    target.print(worth)


def print_ablation(target: Console, ablation: Ablation, sentences: Sequence[str]) -> None:
    """The table, and what it shows in sentences."""
    full = ablation.full
    target.print(Text(f"{full.experiment.title} · {full.experiment.name}", style="bold"))
    table = _new_table("without")
    for name in ("parameters", "last epochs %", "difference", "budget met"):
        table.add_column(name, justify="right")
    table.add_row(
        "nothing", f"{full.experiment.model_summary.parameters:,}", _figure(full.accuracy) or "-", "",
        _rate(target, full.rate),
    )  # fmt: skip
    for removal in ablation.removals:
        seeds = removal.seeds
        table.add_row(
            removal.component, f"{seeds.experiment.model_summary.parameters:,}",
            _figure(seeds.accuracy) or ("diverged" if seeds.diverged else "-"),
            removal.effect.text(2) if removal.effect else "", _rate(target, seeds.rate),
        )  # fmt: skip
    target.print(table)
    notes = Table.grid(padding=(0, 1))
    for sentence in sentences:
        notes.add_row("-", sentence)
    for skipped in ablation.skipped:
        notes.add_row("-", f"left in: {skipped.component}: {skipped.why}")
    target.print(notes)


def _new_table(*left: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in left:
        table.add_column(name, overflow="fold")
    return table


def _figure(found: Spread | None) -> str:
    return found.text(2) if found else ""


def _rate(target: Console, rate: PassRate | None) -> str:
    return f"{mark(target, rate.met)} {rate.passed} of {rate.n}" if rate else ""


def print_seeds(target: Console, seeds: Seeds) -> None:
    """An experiment's seeds side by side, and what they come to."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("seed", "worst held %", "mean held %", "last %", "best %", "clean train %", "budget"):
        table.add_column(name, justify="right")
    hold = seeds.hold
    rows = {run.seed: ["", "", "", "", "", f"{mark(target, False)} diverged"] for run in seeds.diverged}
    for one in seeds.finished:
        figures = (one.worst(hold), one.accuracy(hold), one.final, one.best, one.clean_train)
        verdict = f"{mark(target, one.passed)} {'met' if one.passed else 'not met'}"
        rows[one.seed] = [*(f"{value:.2f}" for value in figures), verdict]
    for seed, row in sorted(rows.items()):
        table.add_row(str(seed), *row)
    target.print()
    target.print(table)
    if seeds.finished:
        target.print(f"mean of the held epochs: {seeds.accuracy}")
        target.print(f"worst of the held epochs: {seeds.spread(lambda one: one.worst(hold))}")
