"""The report on an ablation, as Markdown: a table, and its conclusions in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from drilldown.analysis.ablation import Ablation, Removal
from drilldown.evaluation.effects import SIGNIFICANCE_LEVEL, Effect, holm_adjust
from drilldown.experiment.difference import find_difference
from drilldown.files import write_atomically
from drilldown.report.folder import writing_report
from drilldown.report.text import code_text, escape_text, interval_text, rate_text
from drilldown.runs.run import Run


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
        f"| without | parameters | mean of the last {full.hold}, % | difference, points | seeds | budget met |",
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
        yield (
            f"Large loss, but the seeds differ too much for an interval: without {removal.component}, {len(reached)} "
            f"seeds reach {min(reached):.2f} to {max(reached):.2f} %, all below the worst seed of the full recipe."
        )
    if worse:
        removal, effect = worse[0]
        yield f"Largest loss{' of the others' if uneven else ''}: without {removal.component}, {_effect_text(effect)}."
    if better:
        removal, effect = better[-1]
        yield f"Better without {removal.component}: {_effect_text(effect)}."
    others = [removal.component for removal, effect in tested if not effect.measurable and removal not in uneven]
    if others:
        yield f"No measurable effect for {len(others)} of {len(tested)} components: {', '.join(others)}."
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
            yield f"Without {removal.component}, {len(removal.seeds.diverged)} of {removal.seeds.n} seeds diverged."


def _budget_sentences(ablation: Ablation) -> Iterator[str]:
    judged = [(removal, removal.seeds.rate) for removal in ablation.removals if removal.seeds.rate]
    kept = [removal.component for removal, rate in judged if rate and rate.met]
    full = ablation.full.rate
    if not judged or not full:
        return
    yield f"With all components the budget is {'met' if full.met else 'missed'}: {full}."
    if kept:
        removed = f"without {kept[0]}" if len(kept) == 1 else f"without any single one of these: {', '.join(kept)}"
        yield f"It is {'still met' if full.met else 'met'} {removed} ({len(kept)} of {len(judged)})."
    else:
        too = "" if full.met else " too"
        if len(judged) == 1:
            ((removal, rate),) = judged
            yield f"It is missed without {removal.component}{too}: {rate}."
        else:
            yield f"It is missed without any single one of the {len(judged)} components{too}."


def _seed_sentences(ablation: Ablation) -> Iterator[str]:
    if ablation.full.n == 1:
        yield "This is 1 seed, an anecdote."
