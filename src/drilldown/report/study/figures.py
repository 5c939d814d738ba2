"""A study's figures: the steps' curves in one frame, and accuracy against parameters.

Both draw the share of wrong answers on a logarithmic axis, the right way up and labelled as accuracy: between 99.0 and
99.5 % lies as much as between 90 and 95 %. Steps differ in marker and line style and are named where their line ends.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from drilldown.analysis.seeds import Seeds
from drilldown.analysis.study import StudyEvidence, StudyStep
from drilldown.report.axes import AccuracyAxis, percent_wrong, spread_labels
from drilldown.report.pictures import figure_png
from drilldown.report.run.figures import BAR

# Okabe and Ito (2008), without their yellow, which does not stand out from white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = "osD^vP*X<>h"
LINES = ("-", "--", "-.", ":")
LABEL_GAP = 0.045
"""Of the frame's height, between two labels."""


def draw_study_curves(lines: Sequence[tuple[str, Seeds]]) -> Figure:
    """Mean accuracy by epoch over the finished seeds; the band reaches from the worst seed to the best.

    *Arguments*: `lines`: names and runs, some of them finished.
    """
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    axes = figure.subplots()
    ends: list[tuple[float, int, str, str]] = []
    shown: list[float] = []
    for index, (name, seeds) in enumerate(lines):
        by_epoch = [
            [percent_wrong(value, seeds.total) for value in values]
            for values in seeds.by_epoch(lambda epoch: float(epoch.test.accuracy))
        ]
        numbers = range(1, len(by_epoch) + 1)
        means = [statistics.fmean(values) for values in by_epoch]
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(
            numbers, means, ls=LINES[index % len(LINES)], marker=MARKERS[index % len(MARKERS)], ms=5, lw=1.5,
            color=colour, label=name,
        )  # fmt: skip
        axes.fill_between(numbers, [*map(min, by_epoch)], [*map(max, by_epoch)], color=colour, alpha=0.12, lw=0)
        ends.append((means[-1], len(means), f"{name}  {100 - means[-1]:.2f}", colour))
        # The first epochs may leave the frame: the last ones are what it is about.
        shown += [value for values in by_epoch[len(by_epoch) // 3 :] for value in values]
    first = lines[0][1]
    experiments = [seeds.experiment for _, seeds in lines]
    longest = max(experiment.recipe.epochs for experiment in experiments)
    for bar in sorted({bar for experiment in experiments if (bar := experiment.budget.accuracy) is not None}):
        wrong = percent_wrong(bar, first.total)
        shown.append(wrong)
        axes.axhline(wrong, color=BAR, lw=1, ls=(0, (1, 2)))
        axes.text(1, wrong, f"bar {bar:g} % ", fontsize=8, color=BAR, ha="left", va="bottom")
    accuracy_axis(axes, shown)
    axes.set(xlabel="epoch", ylabel=f"{first.split} accuracy, %", xlim=(0.5, longest * 1.28 + 0.5))
    axes.xaxis.set_major_locator(
        FixedLocator([t for t in MaxNLocator(integer=True).tick_values(1, longest) if 1 <= t <= longest])
    )
    _name(axes, ends, longest)
    axes.grid(alpha=0.25)
    return figure


def draw_sizes(steps: Sequence[StudyStep]) -> Figure:
    """Accuracy of the last epochs against parameters, with 95 % intervals over seeds and the budget as lines."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    axes = figure.subplots()
    shown: list[float] = []
    parameters = [step.experiment.model_summary.parameters for step in steps]
    middles = []
    for index, step in enumerate(steps):
        drawn = draw_point(axes, step, index)
        middles.append(drawn[0])
        shown += drawn
    for step in steps:
        bar = step.experiment.budget.accuracy
        if bar is not None:
            wrong = percent_wrong(bar, step.seeds.total)
            axes.axhline(wrong, color=BAR, lw=1, ls=(0, (1, 2)))
            shown.append(wrong)
    limits = sorted({step.experiment.budget.parameters for step in steps} - {None})  # type: ignore[type-var]
    wide = max(parameters) > 10 * min(parameters)
    axes.set_xscale("log" if wide else "linear")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.22)
    accuracy_axis(axes, shown)
    for limit in limits:
        axes.axvline(float(limit or 0), color=BAR, lw=1, ls="--")
        axes.annotate(
            f"at most {limit:,}", (float(limit or 0), 0), xycoords=("data", "axes fraction"), xytext=(-3, 5),
            textcoords="offset points", fontsize=8, color=BAR, ha="right", rotation=90,
        )  # fmt: skip
    points = list(zip(parameters, middles, strict=True))
    places = [in_frame(axes, point) for point in points]
    for step, of, (x, _), height in zip(
        steps, points, places, spread_labels([y for _, y in places], LABEL_GAP), strict=True
    ):
        axes.annotate(
            step.name, of, xytext=(x + 0.016, height), textcoords="axes fraction", va="center", fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
            arrowprops={"arrowstyle": "-", "lw": 0.5, "alpha": 0.6},
        )  # fmt: skip
    axes.set(xlabel="parameters", ylabel=f"{steps[0].seeds.split} accuracy, last epochs, %")
    axes.grid(alpha=0.25)
    return figure


def draw_point(axes: Axes, step: StudyStep, look: int) -> tuple[float, float, float]:
    """Draws a measured step's accuracy with its interval above its parameters.

    *Arguments*: `look`: the same number, the same colour and marker.

    *Returns* percent wrong: of the mean, and of the lower and upper end of its interval.
    """
    found = step.seeds.accuracy
    assert found is not None
    middle, low, high = (percent_wrong(value, step.seeds.total) for value in (found.mean, *found.ends))
    axes.errorbar(
        step.experiment.model_summary.parameters, middle, yerr=[[max(0.0, middle - high)], [max(0.0, low - middle)]],
        fmt=MARKERS[look % len(MARKERS)], color=COLOURS[look % len(COLOURS)], ms=7, capsize=4, lw=1.2,
    )  # fmt: skip
    return middle, low, high


def study_figures(evidence: StudyEvidence) -> dict[str, bytes]:
    """All figures of a study's report by file name, as PNG."""
    lines = [(step.name, step.seeds) for step in evidence.measured]
    return {
        "curves.png": figure_png(draw_study_curves(lines)),
        "parameters.png": figure_png(draw_sizes(evidence.measured)),
    }


def accuracy_axis(axes: Axes, wrong: Sequence[float]) -> None:
    """Makes the upright axis one of accuracies, on which so many percent wrong have their place."""
    axis = AccuracyAxis.around(wrong)
    axes.set_yscale("log")
    axes.set_ylim(axis.bottom, axis.top)
    axes.yaxis.set_major_locator(FixedLocator([100 - tick for tick in axis.ticks]))
    axes.yaxis.set_major_formatter(lambda wrong, _: f"{100 - wrong:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def in_frame(axes: Axes, point: tuple[float, float]) -> tuple[float, float]:
    """A point of the data as fractions of the frame."""
    x, y = axes.transAxes.inverted().transform(axes.transData.transform(point))
    return float(x), float(y)


def _name(axes: Axes, ends: Sequence[tuple[float, int, str, str]], longest: int) -> None:
    """Writes each line's name beside its end, apart from one another."""
    places = [in_frame(axes, (last, wrong))[1] for wrong, last, _, _ in ends]
    for (wrong, last, label, colour), height in zip(ends, spread_labels(places, LABEL_GAP), strict=True):
        axes.annotate(
            label, (last, wrong), xytext=(longest * 1.02 + 0.15, height), textcoords=axes.get_xaxis_transform(),
            fontsize=8, va="center", ha="left",
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "alpha": 0.6},
        )  # fmt: skip
