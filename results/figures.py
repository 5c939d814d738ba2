"""The figures of this folder: all steps, and the frontier of the smallest networks.

`collect.py` draws them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from drilldown.analysis.study import StudyEvidence, StudyStep
from drilldown.report.axes import Axis, drawable_accuracy, spread_labels
from drilldown.report.chart import Chart, Series, step_style
from drilldown.report.matplotlib_charts import GREY, STYLE_OF, draw_chart, draw_dot, draw_frame
from drilldown.report.study.charts import step_dot

COLUMN = 0.02
"""The share of the figure's width within which dots write their numbers in one column."""
FAR = 100_000
"""The number of parameters above which a network is drawn in a separate part of the figure."""
TICKS = [4e3, 5e3, 6e3, 8e3, 1e4, 2.4e4]
"""The ticks of the parameter axis in the main part."""

SIZES = [7e2, 1e3, 1.5e3, 2e3, 3e3, 4e3, 6e3, 8e3]
"""The ticks of the parameter axis of the frontier."""
BARS = (99.0, 99.4)
"""The accuracies that the classes of the frontier ask for, in percent."""


@dataclass(frozen=True, slots=True)
class Published:
    """A network of somebody else."""

    parameters: int
    accuracy: float
    """Percent of the test images."""
    what: str
    """Which figure it is: of which epoch, and of how many trainings."""
    source: str


def read_published(file: Path) -> list[Published]:
    """The networks of `published.toml`."""
    return [Published(**network) for network in tomllib.loads(file.read_text("utf-8"))["network"]]


def overview(measured: Sequence[StudyEvidence]) -> Figure:
    """Accuracy of the last epochs against parameters: one numbered dot per step, with its 95 % interval, and budgets.

    Networks that are much larger than all others have a part of the figure of their own.
    """
    dots = [
        step_dot(step, step_style(index), name=str(number))
        for index, evidence in enumerate(measured)
        for number, step in enumerate(evidence.steps, 1)
        if step.seeds.finished
    ]
    steps = [step for evidence in measured for step in evidence.measured]
    bars = sorted({bar for step in steps if (bar := step.experiment.budget.accuracy) is not None})
    limits = sorted({limit for step in steps if (limit := step.experiment.budget.parameters) is not None})
    levels = [drawable_accuracy(bar, steps[0].seeds.total) for bar in bars]
    y = Axis.accuracy(
        "test accuracy, mean of the last epochs, %", [*(v for dot in dots for v in dot.ranges[0]), *levels]
    )
    near, far = ([dot for dot in dots if (dot.x[0] > FAR) == is_far] for is_far in (False, True))
    charts = [
        part_of_overview(
            near, y, TICKS, 1.08,
            bars=tuple((level, f"bar {bar:g} %") for level, bar in zip(levels, bars, strict=True)),
            limits=tuple((limit, f"at most {limit:,}") for limit in limits),
        )
    ]  # fmt: skip
    if far:
        ticks = sorted({dot.x[0] for dot in far})
        charts.append(part_of_overview(far, y, ticks, 4, bars=tuple((level, "") for level in levels)))
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    parts = figure.subplots(ncols=len(charts), sharey=True, squeeze=False, width_ratios=(10, 1)[: len(charts)])[0]
    for axes, chart in zip(parts, charts, strict=True):
        draw_chart(axes, chart)
        write_numbers(axes, chart, 0.12 if chart.series == tuple(far) else 0.012)
    looks = [STYLE_OF[step_style(index)] for index in range(len(measured))]
    handles = [
        Line2D([], [], color=colour, marker=marker, ls="", label=evidence.name)
        for (colour, marker, _), evidence in zip(looks, measured, strict=True)
    ]
    figure.legend(handles=handles, fontsize=8, loc="outside upper center", ncols=len(handles))
    parts[0].set(xlabel=charts[0].x.label, ylabel=y.label)
    return figure


def part_of_overview(
    dots: Sequence[Series], y: Axis, ticks: Sequence[float], margin: float, *,
    bars: tuple[tuple[float, str], ...], limits: tuple[tuple[float, str], ...] = (),
) -> Chart:  # fmt: skip
    """The dots on a logarithmic axis of parameters that extends beyond them by a factor, `margin`."""
    sizes = [dot.x[0] for dot in dots]
    x = Axis(
        label="parameters", kind="log", low=min(sizes) / margin, high=max(sizes) * margin,
        ticks=tuple((tick, f"{tick:,.0f}") for tick in ticks),
    )  # fmt: skip
    return Chart(
        name="overview", title="", description="", form="dots", x=x, y=y, series=tuple(dots), bars=bars, limits=limits
    )


def write_numbers(axes: Axes, chart: Chart, distance: float) -> None:
    """Writes the number of each dot to its right; dots of nearly the same size share one column of numbers.

    *Arguments*: `distance`: from the last dot of a column to its numbers, as a share of the frame's width.
    """
    columns: list[list[tuple[float, float, Series]]] = []
    places = [(chart.x.share(dot.x[0]), chart.y.share(dot.y[0]), dot) for dot in chart.series]
    for x, y, dot in sorted(places, key=lambda place: place[:2]):
        if not columns or x - columns[-1][0][0] > COLUMN:
            columns.append([])
        columns[-1].append((x, y, dot))
    for column in columns:
        for (_, _, dot), height in zip(column, spread_labels([y for _, y, _ in column], 0.024), strict=True):
            colour, _, _ = STYLE_OF[dot.style]
            axes.annotate(
                dot.name, (dot.x[0], dot.y[0]), xytext=(column[-1][0] + distance, height), textcoords="axes fraction",
                fontsize=8, color=colour, va="center", arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5},
            )  # fmt: skip


def frontier(steps: Sequence[StudyStep], published: Sequence[Published]) -> Figure:
    """The smallest networks: ours as means of the last epochs over seeds, with 95 % intervals; others as published."""
    dots = [step_dot(step, "test", step.name) for step in steps]
    total = steps[0].seeds.total
    levels = [drawable_accuracy(bar, total) for bar in BARS]
    y = Axis.accuracy(
        "test accuracy, %",
        [*(value for dot in dots for value in dot.ranges[0]), *(network.accuracy for network in published), *levels],
    )
    x = Axis(
        label="parameters", kind="log", low=5e2, high=1e4, ticks=tuple((size, f"{size:,.0f}") for size in SIZES)
    )  # fmt: skip
    chart = Chart(
        name="frontier", title="", description="", form="dots", x=x, y=y, series=tuple(dots),
        bars=tuple((level, f"bar {bar:g} %") for level, bar in zip(levels, BARS, strict=True)),
    )  # fmt: skip
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    axes = figure.subplots()
    draw_frame(axes, chart)
    for dot, step in zip(dots, steps, strict=True):
        draw_dot(axes, dot)
        axes.annotate(
            f"{dot.x[0]:,.0f}{_met(step)}", (dot.x[0], dot.y[0]), xytext=(0, 14),
            textcoords="offset points", fontsize=8, ha="center", color=STYLE_OF["test"][0],
        )  # fmt: skip
    for network in published:
        axes.plot([network.parameters], [network.accuracy], marker="D", ms=6, mfc="none", color=GREY, ls="")
        axes.annotate(
            f"{network.parameters:,}", (network.parameters, network.accuracy), xytext=(0, -14),
            textcoords="offset points", fontsize=8, ha="center", color=GREY,
        )  # fmt: skip
    colour, marker, _ = STYLE_OF["test"]
    handles = [
        Line2D([], [], color=colour, marker=marker, ls="", label="drilldown: mean of the last five epochs over seeds, "
               "95 % interval; seeds that met the budget"),
        Line2D([], [], color=GREY, marker="D", mfc="none", ls="", label="published: one figure, chosen by its author"),
    ]  # fmt: skip
    figure.legend(handles=handles, fontsize=8, loc="outside upper left")
    axes.set(xlabel=x.label, ylabel=y.label)
    return figure


def _met(step: StudyStep) -> str:
    return f" · {step.seeds.rate.passed} of {step.seeds.rate.n}" if step.seeds.rate else ""
