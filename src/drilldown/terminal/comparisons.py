"""The tables of the commands over many runs: seeds, a study, a comparison, an ablation."""

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
from drilldown.terminal.console import make_table, mark
from drilldown.wording import count_text, heading

COMPARISON_COLUMNS = ("parameters", "multiply-adds", "seeds", "last epochs %", "loss", "budget met")
ALL_COLUMNS_WIDTH = 74
"""The terminal width from which all columns fit."""


def print_study(target: Console, evidence: StudyEvidence) -> None:
    """Prints one line per experiment, with its effect; equals have none."""
    effects = ["effect, points"] if evidence.is_ladder else []
    table = make_table([evidence.noun], ["parameters", "last epochs %", "budget met", *effects])
    for step in evidence.steps:
        change = step.change.accuracy if step.change else None
        cells = [
            step.name, f"{step.experiment.model_summary.parameters:,}", _figure(step.seeds.accuracy) or "-",
            _rate(target, step.seeds.rate), change.text(2) if change else "",
        ]  # fmt: skip
        table.add_row(*cells[: len(table.columns)])
    target.print(Text(heading(f"Study {evidence.name}"), style="bold"))
    target.print(table)
    if any(step.seeds.n > 1 for step in evidence.steps):
        target.print("means over seeds, with 95 % t intervals from three seeds on")
        if evidence.is_ladder:
            target.print("effect: difference from the parent step, paired by seed")
    else:
        target.print("one seed: an anecdote")
    for step in evidence.steps:
        if step.seeds.teacher:
            target.print(f"{step.name} {step.seeds.teacher}")


def print_comparison(target: Console, subjects: Sequence[Subject]) -> None:
    """Prints one line per subject, then the difference of each from the first, and its effect."""
    for subject in subjects:
        line = Table.grid(padding=(0, 1))
        line.add_row(Text(subject.letter, style="bold"), heading(subject.experiment.title, subject.reference))
        target.print(line)
    shown = [name for name in COMPARISON_COLUMNS if target.width >= ALL_COLUMNS_WIDTH or name != "multiply-adds"]
    table = make_table([""], shown)
    for subject in subjects:
        cells = dict(zip(COMPARISON_COLUMNS, comparison_cells(subject, lambda met: mark(target, met)), strict=True))
        table.add_row(subject.letter, *(cells[name] for name in shown))
    target.print()
    target.print(table)
    for subject in subjects:
        if subject.seeds.teacher:
            target.print(f"{subject.letter} {subject.seeds.teacher}")
    for subject in subjects:
        if subject.against:
            _print_against(target, subjects[0], subject, subject.against)


def comparison_cells(subject: Subject, sign: Callable[[bool], str]) -> list[str]:
    """Returns the cells of COMPARISON_COLUMNS for one subject."""
    seeds, model_summary = subject.seeds, subject.experiment.model_summary
    rate = seeds.rate
    return [
        f"{model_summary.parameters:,}", f"{model_summary.multiply_adds:,}", str(seeds.n),
        _figure(seeds.accuracy) or "-",
        f"{seeds.loss.mean:.4f}" if seeds.loss else "-",
        f"{sign(rate.met)} {rate.passed} of {rate.n}" if rate else "-",
    ]  # fmt: skip


def _print_against(target: Console, first: Subject, subject: Subject, against: Contrast) -> None:
    target.print()
    target.print(Text(f"{subject.letter} against {first.letter}", style="bold"))
    if not against.difference:
        target.print("  no difference in training or budget")
    if against.difference.settings:
        table = make_table(["setting", first.letter, subject.letter])
        for change in against.difference.settings:
            table.add_row(change.name, change.before, change.after)
        target.print(Padding(table, (0, 0, 0, 2)))
    for line in against.difference.layers:
        target.print(f"  {line}")
    if len(against.components) > 1:
        several = Table.grid(padding=(0, 1, 0, 0))
        several.add_row("  several components changed:", ", ".join(against.components))
        target.print(several)
    effects = Table.grid()
    for line in against.effect_lines:
        effects.add_row("  ", line)
    target.print(effects)


def print_ablation(target: Console, ablation: Ablation, sentences: Sequence[str]) -> None:
    """Prints the table of effects, and the conclusions in sentences."""
    full = ablation.full
    target.print(Text(heading(full.experiment.title, full.experiment.name), style="bold"))
    table = make_table(["without"], ["parameters", "last epochs %", "difference", "budget met"])
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
    if full.teacher:
        notes.add_row("-", f"the full recipe {full.teacher}")
    for sentence in sentences:
        notes.add_row("-", sentence)
    for skipped in ablation.skipped:
        notes.add_row("-", f"not removed: {skipped.component}: {skipped.why}")
    target.print(notes)


def _figure(spread: Spread | None) -> str:
    return spread.text(2) if spread else ""


def _rate(target: Console, rate: PassRate | None) -> str:
    return f"{mark(target, rate.met)} {rate.passed} of {rate.n}" if rate else ""


def print_seeds(target: Console, seeds: Seeds) -> None:
    """Prints an experiment's seeds side by side, and their means."""
    table = make_table([], ["seed", "worst of last %", "mean of last %", "last %", "best %", "train %", "budget"])
    hold = seeds.hold
    rows = {run.seed: ["", "", "", "", "", f"{mark(target, False)} diverged"] for run in seeds.diverged}
    for run in seeds.finished:
        figures = (run.worst(hold), run.accuracy(hold), run.final, run.best, run.clean_train)
        verdict = f"{mark(target, run.passed)} {'met' if run.passed else 'not met'}"
        rows[run.seed] = [*(f"{value:.2f}" for value in figures), verdict]
    for seed, row in sorted(rows.items()):
        table.add_row(str(seed), *row)
    target.print()
    target.print(table)
    if seeds.teacher:
        target.print(seeds.teacher)
    if seeds.finished:
        target.print(f"mean of last %: {seeds.accuracy}")
        target.print(f"worst of last %: {seeds.spread(lambda run: run.worst(hold))}")
        target.print(f"of last: over the last {count_text(hold, 'epoch')}; train: no augmentation, evaluation mode")
