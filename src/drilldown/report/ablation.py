"""The report on an ablation, as Markdown: a table, and what it shows in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from drilldown import difference
from drilldown.ablation import Ablation, Loss
from drilldown.effects import LEVEL, Effect, holm
from drilldown.files import write_whole
from drilldown.report.markdown import code, interval, rate, text
from drilldown.report.writing import alone_in
from drilldown.runs import Run


def write(ablation: Ablation, root: Path) -> Path:
    """Writes the table into the study's folder of runs and returns its path.

    *Raises* DrilldownError where it cannot be written.
    """
    folder = Run.of(ablation.full.experiment, 0, root).path.parent.parent
    with alone_in(folder):
        write_whole(folder / ablation.file, render(ablation).encode())
    return folder / ablation.file


def render(ablation: Ablation) -> str:
    """The report's text."""
    full = ablation.full
    lines = [
        f"# {text(full.experiment.title)}, one ingredient at a time taken out",
        "",
        f"{code(full.experiment.name)} · fingerprint {code(full.experiment.fingerprint)}",
        "",
        f"| without | parameters | mean of the last {full.hold}, % | difference, points | seeds | budget met |",
        "| --- | --: | --: | --: | --: | --- |",
        f"| nothing: the full recipe | {full.experiment.anatomy.parameters:,} | {interval(full.accuracy, 3)} | "
        f"| {full.n} | {rate(full.rate)} |",
    ]
    lines += [
        f"| {loss.ingredient} | {loss.seeds.experiment.anatomy.parameters:,} | {interval(loss.seeds.accuracy, 3)} | "
        f"{loss.effect.text(3) if loss.effect else ''} | {loss.seeds.n}{_failed(loss)} | {rate(loss.seeds.rate)} |"
        for loss in ablation.losses
    ]
    lines += [
        "",
        f"± and brackets are 95 % t intervals over seeds, on the {full.split} images; differences are paired by seed, "
        "without minus full. A seed that diverged counts as failed and is missing from means and differences.",
        "Ingredients work together: what each is worth alone does not add up to what all of them are worth.",
    ]
    lines += ["", "## Analysis", "", *(f"- {sentence}" for sentence in sentences(ablation))]
    if ablation.skipped:
        lines += ["", "## Left in", ""]
        lines += [f"- {skipped.ingredient}: {text(skipped.why)}" for skipped in ablation.skipped]
    lines += ["", "## What was changed", ""]
    for loss in ablation.losses:
        changed = difference.between(full.experiment, loss.seeds.experiment)
        lines.append(f"### Without {loss.ingredient}: {code(loss.seeds.experiment.name.partition('/')[2])}")
        lines.append("")
        lines += [f"- `{c.name}`: {text(c.before)} → {text(c.after)}" for c in changed.settings]
        if changed.layers:
            lines += ["```diff", *changed.layers, "```"]
        lines.append("")
    return "\n".join(lines)


def sentences(ablation: Ablation) -> list[str]:
    """What the table shows, each sentence with its number."""
    return [*_missed(ablation), *_diverged(ablation), *_budget(ablation), *_anecdote(ablation)]


def _missed(ablation: Ablation) -> Iterator[str]:
    asked = [(loss, loss.effect) for loss in ablation.losses if loss.effect and loss.effect.has_interval]
    shown = [(loss, effect) for loss, effect in asked if effect.measurable]
    missed = [(loss, effect) for loss, effect in shown if effect.mean < 0]
    better = [(loss, effect) for loss, effect in shown if effect.mean > 0]
    # Where some seeds learn and others do not, an interval of the mean spans zero however much is lost.
    uneven = [loss for loss, effect in asked if not effect.measurable and _all_below(loss, ablation)]
    for loss in uneven:
        reached = loss.seeds.accuracies(ablation.full.hold).values()
        yield (
            f"Missed, too unevenly for an interval: {loss.ingredient}; without it {len(reached)} seeds reach "
            f"{min(reached):.2f} to {max(reached):.2f} %, all below the worst of the full recipe."
        )
    if missed:
        loss, effect = missed[0]
        yield f"Missed most{' of the others' if uneven else ''}: {loss.ingredient}, {_over_seeds(effect)}."
    if better:
        loss, effect = better[-1]
        yield f"Better without {loss.ingredient}: {_over_seeds(effect)}."
    none = [loss.ingredient for loss, effect in asked if not effect.measurable and loss not in uneven]
    if none:
        yield f"No measurable effect for {len(none)} of {len(asked)} ingredients: {', '.join(none)}."
    if len(asked) > 1 and shown:
        adjusted = holm([effect.p for _, effect in asked])
        lasting = [loss.ingredient for (loss, _), p in zip(asked, adjusted, strict=True) if p < LEVEL]
        yield (
            f"Measurable taken alone: {len(shown)} of {len(asked)}; where all are asked at once (Holm): "
            f"{', '.join(lasting) or 'none'}."
        )


def _all_below(loss: Loss, ablation: Ablation) -> bool:
    return max(loss.seeds.accuracies(ablation.full.hold).values()) < min(ablation.full.accuracies().values())


def _over_seeds(effect: Effect) -> str:
    return f"{effect.text(3)} points over {effect.n} seeds"


def _diverged(ablation: Ablation) -> Iterator[str]:
    for loss in ablation.losses:
        if loss.seeds.diverged:
            yield f"Without {loss.ingredient}, {len(loss.seeds.diverged)} of {loss.seeds.n} seeds diverged."


def _budget(ablation: Ablation) -> Iterator[str]:
    judged = [(loss, loss.seeds.rate) for loss in ablation.losses if loss.seeds.rate]
    kept = [loss.ingredient for loss, rate in judged if rate and rate.met]
    whole = ablation.full.rate
    if not judged or not whole:
        return
    yield f"With all ingredients the budget is {'met' if whole.met else 'missed'}: {whole}."
    if kept:
        taken = f"without {kept[0]}" if len(kept) == 1 else f"where one of these is taken out: {', '.join(kept)}"
        yield f"It is {'still met' if whole.met else 'met'} {taken} ({len(kept)} of {len(judged)})."
    else:
        too = "" if whole.met else " too"
        if len(judged) == 1:
            ((loss, rate),) = judged
            yield f"It is missed without {loss.ingredient}{too}: {rate}."
        else:
            yield f"It is missed without any one of the {len(judged)} that were taken out{too}."


def _anecdote(ablation: Ablation) -> Iterator[str]:
    if ablation.full.n == 1:
        yield "All of this is 1 seed, an anecdote."


def _failed(loss: Loss) -> str:
    return f", {len(loss.seeds.diverged)} diverged" if loss.seeds.diverged else ""
