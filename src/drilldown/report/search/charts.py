"""The charts of a search: loss and accuracy against parameters, and the trainings in their order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from drilldown.evaluation.intervals import Spread
from drilldown.report.axes import MARGIN, Axis, drawable_accuracy
from drilldown.report.chart import Chart, Series
from drilldown.report.run.charts import MIN_LOSS
from drilldown.report.search.evidence import Row, SearchEvidence
from drilldown.report.study.charts import parameters_axis
from drilldown.search.race import RUNGS
from drilldown.wording import count_text

MANY_IMAGES = 10_000
"""The number of images of an accuracy where no file says it: only an accuracy of 100 % is drawn by it."""
NAME_MARGIN = 0.16
"""Space for the names beside the dots, as a share of the range of the parameters."""
OTHERS, FRONT, WINNER, FRESH, DIVERGED = "rate", "step-0", "step-1", "step-2", "step-8"
"""The looks of dots."""
NAMED_ON_FRONT = 12
"""With more candidates on the front, their names would hide the dots."""


def search_charts(evidence: SearchEvidence) -> tuple[Chart, ...]:
    """Loss and accuracy against parameters, and the trainings in their order; empty without results."""
    rows = [row for row in evidence.rows if row.race and row.race.loss and row.race.accuracy and not row.race.diverged]
    return (loss_chart(evidence, rows), accuracy_chart(evidence, rows), race_chart(evidence)) if rows else ()


def loss_chart(evidence: SearchEvidence, rows: Sequence[Row]) -> Chart:
    """Mean loss against parameters, log scale."""

    def place(spread: Spread) -> tuple[float, float, float]:
        low, high = spread.ends
        return max(spread.mean, MIN_LOSS), max(low, MIN_LOSS), max(high, MIN_LOSS)

    losses = {row.number: (place(row.race.loss), row.race.loss.text(4)) for row in rows if row.race and row.race.loss}
    answer = evidence.answer
    fresh = answer.fresh.loss if answer and answer.fresh else None
    series = _dots(evidence, rows, losses, (place(fresh), fresh.text(4)) if fresh else None, "loss {}")
    shown = _shown(series, lambda loss: loss)
    return Chart(
        name="front-loss",
        title=f"{evidence.split.capitalize()} loss against parameters, log scale",
        description=_front_text(evidence, "loss", {number: text for number, (_, text) in losses.items()}),
        form="scatter",
        x=_sizes(evidence, rows),
        y=Axis.log(f"{evidence.split} loss", min(shown) / MARGIN, max(shown) * MARGIN),
        series=series,
        limits=_limits(evidence),
    )


def accuracy_chart(evidence: SearchEvidence, rows: Sequence[Row]) -> Chart:
    """Mean accuracy against parameters; the axis is logarithmic in the share of errors."""
    images = evidence.images or MANY_IMAGES

    def place(spread: Spread) -> tuple[float, float, float]:
        mean, low, high = (drawable_accuracy(value, images) for value in (spread.mean, *spread.ends))
        return mean, low, high

    accuracies = {
        row.number: (place(row.race.accuracy), row.race.accuracy.text(3))
        for row in rows
        if row.race and row.race.accuracy
    }
    answer = evidence.answer
    fresh = answer.fresh.accuracy if answer and answer.fresh else None
    series = _dots(evidence, rows, accuracies, (place(fresh), fresh.text(3)) if fresh else None, "{} %")
    texts = {number: f"{text} %" for number, (_, text) in accuracies.items()}
    bar = evidence.search.base.budget.accuracy
    bars = () if bar is None else ((drawable_accuracy(bar, images), f"bar {bar:g} %"),)
    return Chart(
        name="front-accuracy",
        title=f"{evidence.split.capitalize()} accuracy against parameters, %",
        description=_front_text(evidence, "accuracy", texts),
        form="scatter",
        x=_sizes(evidence, rows),
        y=Axis.accuracy(
            f"{evidence.split} accuracy, %",
            [*_shown(series, lambda accuracy: 100 - accuracy), *(value for value, _ in bars)],
        ),
        series=series,
        bars=bars,
        limits=_limits(evidence),
    )


def race_chart(evidence: SearchEvidence) -> Chart:
    """The trainings in the order in which their results came: across the order, upwards the candidate."""
    names = {1: "seed 0", **{high: _seeds_text(low, high - 1) for low, high in pairwise(RUNGS)}}
    kinds: dict[str, list[tuple[int, int, str]]] = {name: [] for name in (*names.values(), "fresh seeds", "diverged")}
    lines: list[tuple[float, str]] = []
    done = 0
    for event in evidence.events:
        if event["kind"] == "result":
            done += 1
            number, seed = event["candidate"], event["seed"]
            rung = next((name for high, name in names.items() if seed < high), "fresh seeds")
            outcome = "diverged" if event["loss"] is None else f"loss {event['loss']:.4f}, {event['accuracy']:.2f} %"
            kind = "diverged" if event["loss"] is None else rung
            kinds[kind].append((done, number, f"training {done}: candidate {number}, seed {seed}: {outcome}"))
        elif event["kind"] == "limit":
            lines.append((done + 0.5, f"≤ {event['limit']:,}"))
    styles = [f"step-{index}" for index in range(len(names))]
    looks = [*styles, f"step-{len(names)}", DIVERGED]
    highest = max(evidence.state.candidates)
    counts = [count_text(len(found), "training") + f" with {name}" for name, found in kinds.items() if found]
    return Chart(
        name="race",
        title="The trainings in their order",
        description=f"{count_text(done, 'training')}: {'; '.join(counts)}. The table of candidates has the results.",
        form="scatter",
        x=_whole(Axis.linear("order of the results", 0, done + 1, "{:,.0f}")),
        y=_whole(Axis.linear("candidate", -0.5, highest + 0.5, "{:,.0f}")),
        series=tuple(
            Series(
                name=name, style=style, x=tuple(place for place, _, _ in found),
                y=tuple(number for _, number, _ in found), text=tuple(text for _, _, text in found),
            )
            for (name, found), style in zip(kinds.items(), looks, strict=True)
            if found
        ),
        limits=tuple(lines),
    )  # fmt: skip


def _dots(
    evidence: SearchEvidence,
    rows: Sequence[Row],
    figures: dict[int, tuple[tuple[float, float, float], str]],
    fresh: tuple[tuple[float, float, float], str] | None,
    text: str,
) -> tuple[Series, ...]:
    """All candidates as a cloud; those of the front, and the winner, as dots with names and whiskers.

    *Arguments*: `figures`: mean, low and high end by candidate, and the same in words. `fresh`: the winner's figures
    on fresh seeds. `text`: the words around a figure.
    """
    winner = evidence.answer.candidate if evidence.answer else None
    front = [row for row in rows if row.on_front]
    named = {row.number for row in (front if len(front) <= NAMED_ON_FRONT else [])} | {winner.number if winner else -1}
    others = [row for row in rows if row.number not in named]

    def words(row: Row) -> str:
        n = count_text(row.race.rate.n if row.race else 0, "seed")
        figure = text.format(figures[row.number][1])
        return f"candidate {row.number}: {row.candidate.parameters:,} parameters, {figure}, {n}"

    clouds = [
        Series(
            name=name, style=style, x=tuple(row.candidate.parameters for row in found),
            y=tuple(figures[row.number][0][0] for row in found), text=tuple(map(words, found)),
        )
        for name, style, found in (
            ("other candidates", OTHERS, [row for row in others if not row.on_front]),
            ("on the front", FRONT, [row for row in others if row.on_front]),
        )
        if found
    ]  # fmt: skip
    dots = [
        _dot(f"{row.number}", WINNER if winner and row.number == winner.number else FRONT, row.candidate.parameters,
             figures[row.number][0], words(row))
        for row in rows
        if row.number in named
    ]  # fmt: skip
    if winner and fresh:
        measured = f"candidate {winner.number}, fresh seeds: {winner.parameters:,} parameters, {text.format(fresh[1])}"
        dots.append(_dot(f"{winner.number} fresh", FRESH, winner.parameters, fresh[0], measured))
    return (*clouds, *dots)


def _dot(name: str, style: str, parameters: int, place: tuple[float, float, float], text: str) -> Series:
    mean, low, high = place
    return Series(name=name, style=style, x=(parameters,), y=(mean,), text=(text,), ranges=((low, high),))


def _shown(series: Iterable[Series], error: Callable[[float], float]) -> list[float]:
    """The values that the axis shows: all dots with names, and the cloud without outliers.

    A training that failed must not press all others into a corner. An outlier is more than three times as far from the
    best, on the logarithmic axis, as the better three quarters are.

    *Arguments*: `error`: the error of a value, above 0; smaller is better.
    """
    named = [end for one in series for ends in one.ranges for end in ends]
    cloud = sorted((value for one in series if not one.ranges for value in one.y), key=error)
    if cloud:
        best, usual = (error(cloud[index]) for index in (0, math.ceil(0.75 * len(cloud)) - 1))
        named += [value for value in cloud if error(value) <= best * (usual / best) ** 3]
    return named


def _sizes(evidence: SearchEvidence, rows: Sequence[Row]) -> Axis:
    sizes = [float(row.candidate.parameters) for row in rows] + [value for value, _ in _limits(evidence)]
    return parameters_axis(sizes, NAME_MARGIN)


def _limits(evidence: SearchEvidence) -> tuple[tuple[float, str], ...]:
    limits = {evidence.state.limits[0][0], evidence.state.limits[-1][0]}
    return tuple((limit, f"≤ {limit:,}") for limit in sorted(limits))


def _front_text(evidence: SearchEvidence, what: str, texts: dict[int, str]) -> str:
    front = "; ".join(
        f"candidate {row.number}, {row.candidate.parameters:,} parameters, {what} {texts[row.number]}"
        for row in evidence.front
        if row.number in texts
    )
    return f"{count_text(len(texts), 'candidate')}. On the front: {front}."


def _whole(axis: Axis) -> Axis:
    """The axis with ticks at whole numbers only."""
    return replace(axis, ticks=tuple((value, text) for value, text in axis.ticks if value.is_integer()))


def _seeds_text(first: int, last: int) -> str:
    return f"seed {first}" if first == last else f"seeds {first} to {last}"
