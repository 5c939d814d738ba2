"""The report on an ablation, as Markdown: a table, and what it shows in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from drilldown.analysis.ablation import Ablation, Removal
from drilldown.evaluation.effects import SIGNIFICANCE_LEVEL, Effect, holm_adjust
from drilldown.experiment.difference import find_difference
from drilldown.files import write_atomically
from drilldown.report.folder import lock_folder
from drilldown.report.text import code_text, escape_text, interval_text, rate_text
from drilldown.runs.run import Run


def write_ablation_report(ablation: Ablation, runs_dir: Path) -> Path:
    """Writes the table into the study's folder of runs and returns its path.

    *Raises* DrilldownError where it cannot be written.
    """
    folder = Run.of(ablation.full.experiment, 0, runs_dir).path.parent.parent
    with lock_folder(folder):
        write_atomically(folder / ablation.file, ablation_markdown(ablation).encode())
    return folder / ablation.file


def ablation_markdown(ablation: Ablation) -> str:
    """The report's text."""
    full = ablation.full
    lines = [
        f"# {escape_text(full.experiment.title)}, one component at a time taken out",
        "",
        f"{code_text(full.experiment.name)} · fingerprint {code_text(full.experiment.fingerprint)}",
        "",
        f"| without | parameters | mean of the last {full.hold}, % | difference, points | seeds | budget met |",
        "| --- | --: | --: | --: | --: | --- |",
        f"| nothing: the full recipe | {full.experiment.model_summary.parameters:,} | {interval_text(full.accuracy, 3)} | "
        f"| {full.n} | {rate_text(full.rate)} |",
    ]
    lines += [
        f"| {removal.component} | {removal.seeds.experiment.model_summary.parameters:,} | {interval_text(removal.seeds.accuracy, 3)} | "
        f"{removal.effect.text(3) if removal.effect else ''} | {removal.seeds.n}{_failed(removal)} | {rate_text(removal.seeds.rate)} |"
        for removal in ablation.removals
    ]
    lines += [
        "",
        f"± and brackets are 95 % t intervals over seeds, on the {full.split} images; differences are paired by seed, "
        "without minus full. A seed that diverged counts as failed and is missing from means and differences.",
        "Ingredients work together: what each is worth alone does not add up to what all of them are worth.",
    ]
    lines += ["", "## Analysis", "", *(f"- {sentence}" for sentence in ablation_sentences(ablation))]
    if ablation.skipped:
        lines += ["", "## Left in", ""]
        lines += [f"- {skipped.component}: {escape_text(skipped.why)}" for skipped in ablation.skipped]
    lines += ["", "## What was changed", ""]
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
    """What the table shows, each sentence with its number."""
    return [*_missed(ablation), *_diverged(ablation), *_budget(ablation), *_anecdote(ablation)]


def _missed(ablation: Ablation) -> Iterator[str]:
    asked = [
        (removal, removal.effect) for removal in ablation.removals if removal.effect and removal.effect.has_interval
    ]
    shown = [(removal, effect) for removal, effect in asked if effect.measurable]
    missed = [(removal, effect) for removal, effect in shown if effect.mean < 0]
    better = [(removal, effect) for removal, effect in shown if effect.mean > 0]
    # Where some seeds learn and others do not, an interval of the mean spans zero however much is lost.
    uneven = [removal for removal, effect in asked if not effect.measurable and _all_below(removal, ablation)]
    for removal in uneven:
        reached = removal.seeds.accuracies(ablation.full.hold).values()
        yield (
            f"Missed, too unevenly for an interval: {removal.component}; without it {len(reached)} seeds reach "
            f"{min(reached):.2f} to {max(reached):.2f} %, all below the worst of the full recipe."
        )
    if missed:
        removal, effect = missed[0]
        yield f"Missed most{' of the others' if uneven else ''}: {removal.component}, {_over_seeds(effect)}."
    if better:
        removal, effect = better[-1]
        yield f"Better without {removal.component}: {_over_seeds(effect)}."
    none = [removal.component for removal, effect in asked if not effect.measurable and removal not in uneven]
    if none:
        yield f"No measurable effect for {len(none)} of {len(asked)} components: {', '.join(none)}."
    if len(asked) > 1 and shown:
        adjusted = holm_adjust([effect.p for _, effect in asked])
        lasting = [removal.component for (removal, _), p in zip(asked, adjusted, strict=True) if p < SIGNIFICANCE_LEVEL]
        yield (
            f"Measurable taken alone: {len(shown)} of {len(asked)}; where all are asked at once (Holm): "
            f"{', '.join(lasting) or 'none'}."
        )


def _all_below(removal: Removal, ablation: Ablation) -> bool:
    return max(removal.seeds.accuracies(ablation.full.hold).values()) < min(ablation.full.accuracies().values())


def _over_seeds(effect: Effect) -> str:
    return f"{effect.text(3)} points over {effect.n} seeds"


def _diverged(ablation: Ablation) -> Iterator[str]:
    for removal in ablation.removals:
        if removal.seeds.diverged:
            yield f"Without {removal.component}, {len(removal.seeds.diverged)} of {removal.seeds.n} seeds diverged."


def _budget(ablation: Ablation) -> Iterator[str]:
    judged = [(removal, removal.seeds.rate) for removal in ablation.removals if removal.seeds.rate]
    kept = [removal.component for removal, rate in judged if rate and rate.met]
    whole = ablation.full.rate
    if not judged or not whole:
        return
    yield f"With all components the budget is {'met' if whole.met else 'missed'}: {whole}."
    if kept:
        taken = f"without {kept[0]}" if len(kept) == 1 else f"where one of these is taken out: {', '.join(kept)}"
        yield f"It is {'still met' if whole.met else 'met'} {taken} ({len(kept)} of {len(judged)})."
    else:
        too = "" if whole.met else " too"
        if len(judged) == 1:
            ((removal, rate),) = judged
            yield f"It is missed without {removal.component}{too}: {rate}."
        else:
            yield f"It is missed without any one of the {len(judged)} that were taken out{too}."


def _anecdote(ablation: Ablation) -> Iterator[str]:
    if ablation.full.n == 1:
        yield "All of this is 1 seed, an anecdote."


def _failed(removal: Removal) -> str:
    return f", {len(removal.seeds.diverged)} diverged" if removal.seeds.diverged else ""
