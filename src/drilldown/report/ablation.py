"""The report on an ablation, as Markdown: a table, and its conclusions in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from drilldown.analysis.ablation import Ablation, Removal
from drilldown.evaluation.effects import SIGNIFICANCE_LEVEL, Effect, holm_adjust
from drilldown.evaluation.intervals import PassRate
from drilldown.evaluation.verdict import is_judged
from drilldown.experiment.difference import find_difference
from drilldown.files import write_atomically
from drilldown.report.folder import writing_report
from drilldown.report.text import code_text, escape_text, interval_text, rate_text
from drilldown.runs.run import Run
from drilldown.wording import count_text


def write_ablation_report(ablation: Ablation, runs_dir: Path) -> Path:
    """Writes the report into the study's folder of runs and returns its path.

    *Raises* DrilldownError where the file cannot be written.
    """
    folder = Run.of(ablation.full.experiment, 0, runs_dir).path.parent.parent
    with writing_report(folder):
        write_atomically(folder / ablation.file, ablation_markdown(ablation).encode())
    return folder / ablation.file


def ablation_markdown(ablation: Ablation) -> str:
    """The report on an ablation, as Markdown."""
    full = ablation.full
    name, fingerprint = code_text(full.experiment.name), code_text(full.experiment.fingerprint)
    lines = [
        f"# {escape_text(full.experiment.title)}: ablation, one component removed at a time",
        "",
        f"{name} · fingerprint {fingerprint}",
        "",
        f"| without | parameters | mean of the last {count_text(full.hold, 'epoch')}, % | difference, points | seeds "
        "| budget met |",
        "| --- | --: | --: | --: | --: | --- |",
        f"| nothing: the full recipe | {full.experiment.model_summary.parameters:,} "
        f"| {interval_text(full.accuracy, 3)} | | {full.n} | {rate_text(full.rate)} |",
        *map(_table_row, ablation.removals),
        "",
        f"± and brackets are 95 % t intervals over seeds, on the {full.split} images; differences are paired by seed, "
        "without minus full. A seed that diverged counts as failed and is left out of means and differences.",
        "Components interact: the effects of single components do not add up to the effect of all of them.",
        "",
        "## Analysis",
        "",
        *(f"- {sentence}" for sentence in ablation_sentences(ablation)),
    ]
    if ablation.skipped:
        lines += ["", "## Not removed", ""]
        lines += [f"- {skipped.component}: {escape_text(skipped.why)}" for skipped in ablation.skipped]
    lines += ["", "## Changes", ""]
    for removal in ablation.removals:
        changed = find_difference(full.experiment, removal.seeds.experiment)
        lines.append(f"### Without {removal.component}: {code_text(removal.seeds.experiment.name.partition('/')[2])}")
        lines.append("")
        lines += [f"- `{c.name}`: {escape_text(c.before)} → {escape_text(c.after)}" for c in changed.settings]
        if changed.layers:
            lines += ["```diff", *changed.layers, "```"]
        lines.append("")
    return "\n".join(lines)


def ablation_sentences(ablation: Ablation) -> list[str]:
    """The conclusions from the table; each sentence contains the numbers that support it."""
    return [
        *_effect_sentences(ablation),
        *_diverged_sentences(ablation),
        *_budget_sentences(ablation),
        *_seed_sentences(ablation),
    ]


def _table_row(removal: Removal) -> str:
    seeds = removal.seeds
    diverged = f", {len(seeds.diverged)} diverged" if seeds.diverged else ""
    effect = removal.effect.text(3) if removal.effect else ""
    return (
        f"| {removal.component} | {seeds.experiment.model_summary.parameters:,} | {interval_text(seeds.accuracy, 3)} "
        f"| {effect} | {seeds.n}{diverged} | {rate_text(seeds.rate)} |"
    )


def _effect_sentences(ablation: Ablation) -> Iterator[str]:
    tested = [
        (removal, removal.effect) for removal in ablation.removals if removal.effect and removal.effect.has_interval
    ]
    measurable = [(removal, effect) for removal, effect in tested if effect.measurable]
    worse = [(removal, effect) for removal, effect in measurable if effect.mean < 0]
    better = [(removal, effect) for removal, effect in measurable if effect.mean > 0]
    # Where some seeds learn and others do not, the interval includes zero however large the loss is.
    uneven = [removal for removal, effect in tested if not effect.measurable and _all_below(removal, ablation)]
    for removal in uneven:
        reached = removal.seeds.accuracies(ablation.full.hold).values()
        full = ablation.full.accuracies().values()
        yield (
            f"Without {removal.component}, all {len(reached)} seeds are below the worst seed of the full recipe: "
            f"{min(reached):.2f} to {max(reached):.2f} %, against {min(full):.2f} to {max(full):.2f} %. The seeds "
            "differ so much that the interval of the difference includes zero all the same."
        )
    if worse:
        removal, effect = min(worse, key=lambda found: found[1].mean)
        yield f"The largest measurable loss: without {removal.component}, {_effect_text(effect)}."
    if better:
        removal, effect = max(better, key=lambda found: found[1].mean)
        yield f"The largest measurable gain: without {removal.component}, {_effect_text(effect)}."
    others = [removal.component for removal, effect in tested if not effect.measurable and removal not in uneven]
    if others:
        of = count_text(len(tested), "tested component")
        yield f"No measurable effect for {len(others)} of {of}: {', '.join(others)}."
    if len(tested) > 1 and measurable:
        adjusted = holm_adjust([effect.p for _, effect in tested])
        lasting = [
            removal.component for (removal, _), p in zip(tested, adjusted, strict=True) if p < SIGNIFICANCE_LEVEL
        ]
        yield (
            f"Measurable when tested alone: {len(measurable)} of {len(tested)}; when all are tested together (Holm): "
            f"{', '.join(lasting) or 'none'}."
        )


def _all_below(removal: Removal, ablation: Ablation) -> bool:
    return max(removal.seeds.accuracies(ablation.full.hold).values()) < min(ablation.full.accuracies().values())


def _effect_text(effect: Effect) -> str:
    return f"{effect.text(3)} points over {effect.n} seeds"


def _diverged_sentences(ablation: Ablation) -> Iterator[str]:
    for removal in ablation.removals:
        if removal.seeds.diverged:
            seeds = count_text(removal.seeds.n, "seed")
            yield f"Without {removal.component}, {len(removal.seeds.diverged)} of {seeds} diverged."


def _budget_sentences(ablation: Ablation) -> Iterator[str]:
    judged = [(removal, rate) for removal in ablation.removals if (rate := removal.seeds.rate) is not None]
    kept = [removal.component for removal, rate in judged if rate.met]
    full = ablation.full.rate
    if not judged or not full or not is_judged(ablation.full.experiment.budget):
        return
    yield f"With all components, the budget is {_met(full)}: {full}."
    if len(judged) == 1:
        ((removal, rate),) = judged
        also = f"{'still' if full.met else 'also'} " if rate.met == full.met else ""
        yield f"Without {removal.component}, it is {also}{_met(rate)}: {rate}."
    elif kept:
        removed = f"{kept[0]} is removed" if len(kept) == 1 else f"any one of these is removed: {', '.join(kept)}"
        still = "still met" if full.met else "met"
        yield f"It is {still} when {removed} ({len(kept)} of {len(judged)} components)."
    else:
        yield f"It is not met when any one of the {len(judged)} components is removed."


def _met(rate: PassRate) -> str:
    return "met" if rate.met else "not met"


def _seed_sentences(ablation: Ablation) -> Iterator[str]:
    single = sum(seeds.n == 1 for seeds in (ablation.full, *(removal.seeds for removal in ablation.removals)))
    if single:
        yield f"{count_text(single, 'row')} of the table {'rests' if single == 1 else 'rest'} on one seed, an anecdote."
