"""The charts of a study: accuracy and loss of all steps by epoch, and accuracy against parameters."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from drilldown.analysis.seeds import Seeds
from drilldown.analysis.study import StudyEvidence, StudyStep
from drilldown.evaluation.effects import Effect
from drilldown.report.axes import MARGIN, Axis, drawable_accuracy
from drilldown.report.chart import Chart, Series, step_style
from drilldown.report.run.charts import MIN_LOSS

MAX_REACH = 10
"""An effect that reaches further than this many times the median effect does not set the scale."""
LEFT_MARGIN, NAME_MARGIN = 0.035, 0.36
"""Space beside the dots, as a share of the range of their parameters; on the right it holds their names."""


@dataclass(frozen=True, slots=True)
class Whisker:
    """A difference with its interval, in percent of the width that all whiskers of a column share."""

    low: float
    mean: float
    high: float
    zero: float


def study_charts(evidence: StudyEvidence) -> tuple[Chart, Chart, Chart]:
    """Accuracy and loss of all steps by epoch, and accuracy against parameters."""
    lines = [(step.name, step.seeds) for step in evidence.measured]
    return accuracy_chart(lines), _loss_chart(lines), parameters_chart(evidence.measured)


def accuracy_chart(lines: Sequence[tuple[str, Seeds]]) -> Chart:
    """Mean accuracy by epoch over the finished seeds; a band reaches from the worst seed to the best.

    *Arguments*: `lines`: names, each with runs of which at least one is finished.
    """
    by_epoch = [seeds.by_epoch(lambda epoch: float(epoch.test.accuracy)) for _, seeds in lines]
    means = [[statistics.fmean(values) for values in epochs] for epochs in by_epoch]
    bars = sorted({bar for _, seeds in lines if (bar := seeds.experiment.budget.accuracy) is not None})
    # The first third of the epochs may lie outside the chart: the last epochs matter.
    shown = [value for epochs in by_epoch for values in epochs[len(epochs) // 3 :] for value in values]
    total, split = lines[0][1].total, lines[0][1].split
    ends = ", ".join(f"{name} {values[-1]:.2f} %" for (name, _), values in zip(lines, means, strict=True))
    return Chart(
        name="accuracy",
        title=f"Accuracy on the {split} images, %",
        description=f"After the last epoch, mean over seeds: {ends}.",
        x=Axis.epochs(max(map(len, means))),
        y=Axis.accuracy(f"{split} accuracy, %", [drawable_accuracy(value, total) for value in (*shown, *bars)]),
        series=tuple(
            Series(
                name=name,
                style=step_style(index),
                x=tuple(range(1, len(values) + 1)),
                y=tuple(drawable_accuracy(value, total) for value in values),
                text=_texts(values, "{:.2f} %", means),
                ranges=tuple(
                    (drawable_accuracy(min(seeds), total), drawable_accuracy(max(seeds), total))
                    for seeds in by_epoch[index]
                ),
            )
            for index, ((name, _), values) in enumerate(zip(lines, means, strict=True))
        ),
        bars=tuple((drawable_accuracy(bar, total), f"bar {bar:g} %") for bar in bars),
    )


def _loss_chart(lines: Sequence[tuple[str, Seeds]]) -> Chart:
    means = [
        [max(statistics.fmean(values), MIN_LOSS) for values in seeds.by_epoch(lambda epoch: epoch.test.loss)]
        for _, seeds in lines
    ]
    shown = [value for values in means for value in values[len(values) // 3 :]]
    split = lines[0][1].split
    ends = ", ".join(f"{name} {values[-1]:.4f}" for (name, _), values in zip(lines, means, strict=True))
    return Chart(
        name="loss",
        title=f"Cross-entropy on the {split} images, log scale",
        description=f"After the last epoch, mean over seeds: {ends}.",
        x=Axis.epochs(max(map(len, means))),
        y=Axis.log("cross-entropy", min(shown) / MARGIN, max(shown) * MARGIN),
        series=tuple(
            Series(
                name=name,
                style=step_style(index),
                x=tuple(range(1, len(values) + 1)),
                y=tuple(values),
                text=_texts(values, "{:.4f}", means),
            )
            for index, ((name, _), values) in enumerate(zip(lines, means, strict=True))
        ),
    )


def parameters_chart(steps: Sequence[StudyStep]) -> Chart:
    """Accuracy of the last epochs against parameters, with 95 % intervals over seeds and the budgets as lines."""
    dots = tuple(step_dot(step, step_style(index), step.name) for index, step in enumerate(steps))
    bars = sorted({bar for step in steps if (bar := step.experiment.budget.accuracy) is not None})
    limits = sorted({limit for step in steps if (limit := step.experiment.budget.parameters) is not None})
    levels = [(drawable_accuracy(bar, steps[0].seeds.total), f"bar {bar:g} %") for bar in bars]
    shown = [value for dot in dots for value in dot.ranges[0]] + [value for value, _ in levels]
    return Chart(
        name="sizes",
        title="Accuracy against parameters",
        description="; ".join(dot.text[0] for dot in dots) + ".",
        form="dots",
        x=parameters_axis([*(dot.x[0] for dot in dots), *map(float, limits)]),
        y=Axis.accuracy(f"{steps[0].seeds.split} accuracy, last epochs, %", shown),
        series=dots,
        bars=tuple(levels),
        limits=tuple((limit, f"≤ {limit:,}") for limit in limits),
    )


def step_dot(step: StudyStep, style: str, name: str) -> Series:
    """A measured step as a dot: its mean accuracy of the last epochs, with the interval, against its parameters."""
    accuracy, parameters = step.seeds.accuracy, step.experiment.model_summary.parameters
    assert accuracy is not None
    mean, low, high = (drawable_accuracy(value, step.seeds.total) for value in (accuracy.mean, *accuracy.ends))
    return Series(
        name=name,
        style=style,
        x=(parameters,),
        y=(mean,),
        text=(f"{step.name}: {parameters:,} parameters, {accuracy.text(3)} %",),
        ranges=((low, high),),
    )


def effect_whiskers(effects: Sequence[Effect | None]) -> list[Whisker | None]:
    """Effects on one scale, which includes zero.

    An effect that reaches many times further than the others does not set the scale, because all others would vanish:
    its whisker runs out of the picture.

    >>> from drilldown.evaluation.effects import paired_effect
    >>> effect_whiskers([paired_effect({0: 0.0, 1: 0.0}, {0: 1.0, 1: 1.0}), None])
    [Whisker(low=96.0, mean=96.0, high=96.0, zero=4.0), None]
    >>> effects = [paired_effect({0: 0.0}, {0: points}) for points in (0.0, 0.5, 1.0, -60.0)]
    >>> [whisker.mean for whisker in effect_whiskers(effects)]
    [4.0, 50.0, 96.0, -5516.0]
    """
    ends = [effect.ends for effect in effects if effect]
    reaches = [max(-low, high, 0.0) for low, high in ends]
    limit = MAX_REACH * statistics.median(reaches or [0.0]) or math.inf
    shown = [end for both, reach in zip(ends, reaches, strict=True) if reach <= limit for end in both]
    lowest, highest = min([0.0, *shown]), max([0.0, *shown])
    axis = Axis.linear("points", *((lowest, highest) if highest > lowest else (-1.0, 1.0)))

    def whisker(effect: Effect) -> Whisker:
        low, high = effect.ends
        return Whisker(*(round(4 + 92 * axis.share(value), 2) for value in (low, effect.mean, high, 0.0)))

    return [whisker(effect) if effect else None for effect in effects]


def parameters_axis(sizes: Sequence[float], name_margin: float = NAME_MARGIN) -> Axis:
    """Linear, or logarithmic where the largest network is more than ten times the smallest.

    *Arguments*: `name_margin`: the space on the right, for names, as a share of the range.
    """
    lowest, highest = min(sizes), max(sizes)
    if highest > 10 * lowest:
        ratio = highest / lowest
        return Axis.log("parameters", lowest / ratio**LEFT_MARGIN, highest * ratio**name_margin, text="{:,.0f}")
    span = highest - lowest or 1.0
    return Axis.linear("parameters", lowest - LEFT_MARGIN * span, highest + name_margin * span, text="{:,.0f}")


def _texts(values: Sequence[float], text: str, lines: Sequence[Sequence[float]]) -> tuple[str, ...]:
    """The values in words, with a dash for each epoch that only longer lines have."""
    return (*map(text.format, values), *["–"] * (max(map(len, lines)) - len(values)))
