"""The charts of a study's page: where every line, dot and whisker lies. A template draws them as SVG."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drilldown.analysis.study import StudyEvidence, StudyStep
from drilldown.evaluation.effects import Effect
from drilldown.evaluation.records import EpochRecord
from drilldown.report.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    AccuracyAxis,
    columns,
    decades,
    epoch_ticks,
    linear,
    percent_wrong,
    spread_labels,
    steps,
)  # fmt: skip
from drilldown.report.run.charts import MOST_MARKERS, SMALLEST_LOSS, Chart, Series

STYLES = 11
"""How many lines page.css can tell apart."""
WIDE, TALL = 960, 420
"""Of the chart that all steps' accuracies are in."""
LONGEST_LABEL, LABEL_GAP = 122, 12
"""The width that a step's name may take beside its dot, and the height, in the chart's units."""
OFF_SCALE = 10
"""How many times as far as the median effect one may reach and still set the scale of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A step in a chart of accuracy against parameters."""

    name: str
    style: str
    x: float
    y: float
    low: float
    high: float
    """The ends of its interval."""
    text: str
    """Its values in words."""
    label: float
    """The height at which its name is written, to the right of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """Accuracy against parameters, each step a dot."""

    title: str
    description: str
    dots: tuple[Dot, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    bars: tuple[tuple[float, str], ...]
    """The accuracies that budgets ask for."""
    limits: tuple[tuple[float, str], ...]
    """The parameters that budgets allow."""
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def frame(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the plotting area."""
        return LEFT, TOP, self.width - RIGHT, self.height - BOTTOM


@dataclass(frozen=True, slots=True)
class Whisker:
    """A difference with its interval, in percent of the width that all of them share."""

    low: float
    mean: float
    high: float
    zero: float


def study_charts(evidence: StudyEvidence) -> tuple[Chart, Chart, Scatter]:
    """Accuracy and loss of all steps by epoch, and accuracy against parameters."""
    return _accuracy(evidence.measured), _loss(evidence.measured), _sizes(evidence.measured)


def effect_whiskers(effects: Sequence[Effect | None]) -> list[Whisker | None]:
    """Effects on one scale, zero included.

    One that reaches many times as far as is usual does not set the scale, in which all others would vanish; it runs out
    of the picture.

    >>> from drilldown.effects import paired
    >>> effect_whiskers([paired({0: 0.0, 1: 0.0}, {0: 1.0, 1: 1.0}), None])
    [Whisker(low=96.0, mean=96.0, high=96.0, zero=4.0), None]
    >>> worth = [paired({0: 0.0}, {0: points}) for points in (0.0, 0.5, 1.0, -60.0)]
    >>> [whisker.mean for whisker in effect_whiskers(worth)]
    [4.0, 50.0, 96.0, -5516.0]
    """
    ends = [effect.ends for effect in effects if effect]
    reaches = [max(-low, high, 0.0) for low, high in ends]
    limit = OFF_SCALE * statistics.median(reaches or [0.0]) or math.inf
    shown = [end for both, reach in zip(ends, reaches, strict=True) if reach <= limit for end in both]
    least, most = min([0.0, *shown]), max([0.0, *shown])
    along = linear((least, most) if most > least else (-1.0, 1.0), (4.0, 96.0))

    def whisker(effect: Effect) -> Whisker:
        low, high = effect.ends
        return Whisker(*(round(along(value), 2) for value in (low, effect.mean, high, 0.0)))

    return [whisker(effect) if effect else None for effect in effects]


def _means(step: StudyStep, figure: Callable[[EpochRecord], float]) -> list[float]:
    return [statistics.fmean(values) for values in step.seeds.by_epoch(figure)]


def _accuracy(measured: Sequence[StudyStep]) -> Chart:
    means = [_means(step, lambda epoch: float(epoch.test.accuracy)) for step in measured]
    wrongs = [
        [percent_wrong(value, step.seeds.total) for value in of] for step, of in zip(measured, means, strict=True)
    ]
    bar = measured[-1].experiment.budget.accuracy
    # The first epochs may leave the frame: the last ones are what it is about.
    shown = [value for of in wrongs for value in of[len(of) // 3 :]]
    axis = AccuracyAxis.around([*shown, *([] if bar is None else [percent_wrong(bar, measured[-1].seeds.total)])])
    place = linear((0, 1), (TALL - BOTTOM, TOP))

    def y(value: float) -> float:
        return place(axis.height(value))

    part = measured[0].seeds.split
    return Chart(
        name="accuracy",
        title=f"Accuracy on the {part} images, %",
        description=(
            "After the last epoch, mean over seeds: "
            + ", ".join(f"{step.name} {of[-1]:.2f} %" for step, of in zip(measured, means, strict=True))
            + "."
        ),
        series=_lines(measured, wrongs, means, y, "{:.2f} %", WIDE),
        x_ticks=epoch_ticks(_longest(measured), WIDE),
        y_ticks=tuple((place(height), f"{tick:g}") for tick, height in sorted(axis.ticks.items())),
        bar=None if bar is None else (y(percent_wrong(bar, measured[-1].seeds.total)), f"bar {bar:g} %"),
        markers=_longest(measured) <= MOST_MARKERS,
        width=WIDE,
        height=TALL,
    )


def _loss(measured: Sequence[StudyStep]) -> Chart:
    means = [[max(value, SMALLEST_LOSS) for value in _means(step, lambda epoch: epoch.test.loss)] for step in measured]
    shown = [value for of in means for value in of[len(of) // 3 :]]
    low, high = min(shown) / 1.15, max(shown) * 1.15
    along = linear((math.log(low), math.log(high)), (HEIGHT - BOTTOM, TOP))

    def y(value: float) -> float:
        return along(math.log(value))

    part = measured[0].seeds.split
    return Chart(
        name="loss",
        title=f"Cross-entropy on the {part} images, log scale",
        description=(
            "After the last epoch, mean over seeds: "
            + ", ".join(f"{step.name} {of[-1]:.4f}" for step, of in zip(measured, means, strict=True))
            + "."
        ),
        series=_lines(measured, means, means, y, "{:.4f}", WIDTH),
        x_ticks=epoch_ticks(_longest(measured)),
        y_ticks=tuple((y(value), f"{value:g}") for value in decades(low, high)),
        markers=_longest(measured) <= MOST_MARKERS,
    )


def _sizes(measured: Sequence[StudyStep]) -> Scatter:
    found = [(step, step.seeds.accuracy) for step in measured]
    bars = sorted({bar for step in measured if (bar := step.experiment.budget.accuracy) is not None})
    limits = sorted({limit for step in measured if (limit := step.experiment.budget.parameters) is not None})
    sizes = [step.experiment.model_summary.parameters for step in measured]
    total = measured[0].seeds.total
    ends = [percent_wrong(value, step.seeds.total) for step, accuracy in found if accuracy for value in accuracy.ends]
    axis = AccuracyAxis.around([*ends, *(percent_wrong(bar, total) for bar in bars)])
    up = linear((0, 1), (HEIGHT - BOTTOM, TOP))
    least, most = min([*sizes, *limits]), max([*sizes, *limits])
    wide = most > 10 * least
    scale = math.log if wide else float
    along = linear((scale(least), scale(most + (most == least))), (LEFT + 12, WIDTH - LONGEST_LABEL))
    ticks = decades(least, most) if wide else steps(least, most + (most == least), 5)
    dots = []
    heights = [up(axis.height(percent_wrong(accuracy.mean, total))) for _, accuracy in found if accuracy]
    for index, ((step, accuracy), label) in enumerate(zip(found, spread_labels(heights, LABEL_GAP), strict=True)):
        assert accuracy is not None
        low, high = accuracy.ends
        y, bottom, top = (
            round(up(axis.height(percent_wrong(value, step.seeds.total))), 1) for value in (accuracy.mean, low, high)
        )
        dots.append(
            Dot(
                name=step.name, style=_style(index), x=round(along(scale(sizes[index])), 1), y=y, low=bottom, high=top,
                text=f"{step.name}: {sizes[index]:,} parameters, {accuracy.text(3)} %",
                label=round(label, 1),
            )
        )  # fmt: skip
    return Scatter(
        title="Accuracy against parameters",
        description="; ".join(dot.text for dot in dots) + ".",
        dots=tuple(dots),
        x_ticks=tuple((along(scale(value)), f"{value:,.0f}") for value in ticks),
        y_ticks=tuple((up(height), f"{tick:g}") for tick, height in sorted(axis.ticks.items())),
        bars=tuple((up(axis.height(percent_wrong(bar, total))), f"bar {bar:g} %") for bar in bars),
        limits=tuple((along(scale(limit)), f"≤ {limit:,}") for limit in limits),
    )


def _lines(
    measured: Sequence[StudyStep], heights: Sequence[Sequence[float]], values: Sequence[Sequence[float]],
    y: Callable[[float], float], pattern: str, width: int,
) -> tuple[Series, ...]:  # fmt: skip
    x = columns(_longest(measured), width)
    return tuple(
        Series(
            name=step.name,
            style=_style(index),
            points=tuple((round(x(n), 1), round(y(value), 1)) for n, value in enumerate(heights[index], 1)),
            values=(*(pattern.format(value) for value in of), *["–"] * (_longest(measured) - len(of))),
        )
        for index, (step, of) in enumerate(zip(measured, values, strict=True))
    )


def _longest(measured: Sequence[StudyStep]) -> int:
    return max(len(step.seeds.finished[0].epochs) for step in measured)


def _style(index: int) -> str:
    return f"step-{index % STYLES}"
