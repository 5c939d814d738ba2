"""The figure over all studies: accuracy against parameters, for `collect.py`."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from drilldown.analysis.study import StudyEvidence
from drilldown.report.axes import Axis, drawable_accuracy, spread_labels
from drilldown.report.chart import Chart, Series, step_style
from drilldown.report.matplotlib_charts import STYLE_OF, draw_chart
from drilldown.report.study.charts import step_dot

COLUMN = 0.02
"""The share of the figure's width within which dots write their numbers in one column."""
FAR = 100_000
"""The number of parameters above which a network is drawn in a separate part of the figure."""
TICKS = [4e3, 5e3, 6e3, 8e3, 1e4, 2.4e4]
"""The ticks of the parameter axis in the main part."""


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
