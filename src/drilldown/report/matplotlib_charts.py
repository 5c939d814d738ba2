"""Draws a chart with matplotlib, for PNG files and notebooks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from drilldown.report.axes import Axis, spread_labels
from drilldown.report.chart import STYLES, Chart, Series

# Colours that colour-blind people can tell apart (Okabe and Ito, 2008); their yellow is too light on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = "osD^vP*X<>h"
DASHES = ("-", "--", "-.", ":")
GREY = "#555555"
STYLE_OF = {
    "train": (COLOURS[0], "s", "--"),
    "test": (COLOURS[1], "o", "-"),
    "rate": (GREY, ".", "-"),
    **{
        f"step-{index}": (COLOURS[index % len(COLOURS)], MARKERS[index], DASHES[index % len(DASHES)])
        for index in range(STYLES)
    },
}
"""Colour, marker and dash of each style; marker and dash differ as well, so that colour is never the only cue."""
PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
"""The background of a label that may lie on a line."""
LABEL_HEIGHT = 0.045
"""The least distance between two names, as a share of the frame's height."""


def draw_charts(charts: Sequence[Chart]) -> Figure:
    """Charts side by side, with a legend where they have two series.

    >>> chart = Chart(
    ...     name="loss", title="Loss", description="The loss.", x=Axis.epochs(2), y=Axis.log("loss", 0.01, 1),
    ...     series=(Series(name="test", style="test", x=(1, 2), y=(0.5, 0.1), text=("0.5", "0.1")),),
    ... )
    >>> [axes.get_title() for axes in draw_charts([chart]).axes]
    ['Loss']
    """
    figure = Figure(figsize=(3.6 * len(charts), 3.6), layout="constrained")
    for axes, chart in zip(figure.subplots(1, len(charts), squeeze=False)[0], charts, strict=True):
        draw_chart(axes, chart)
        axes.set_title(chart.title, fontsize=10)
        axes.set_xlabel(x_label(chart), fontsize=8)
        axes.tick_params(labelsize=7.5)
        if len(chart.series) > 1:
            axes.legend(fontsize=8)
    return figure


def draw_named_chart(chart: Chart, height: float) -> Figure:
    """One chart in which each series has its name beside it; `height` in inches."""
    figure = Figure(figsize=(10, height), layout="constrained")
    axes = figure.subplots()
    draw_chart(axes, chart)
    axes.set(xlabel=x_label(chart), ylabel=chart.y.label)
    if chart.form == "lines":
        last = chart.x.high
        axes.set_xlim(chart.x.low, last + 0.28 * (last - chart.x.low))  # room for the names
    heights = spread_labels([chart.y.share(series.y[-1]) for series in chart.series], LABEL_HEIGHT)
    for series, name_height in zip(chart.series, heights, strict=True):
        _name_series(axes, chart, series, name_height)
    return figure


def draw_chart(axes: Axes, chart: Chart) -> None:
    """Draws a chart, without names and legend."""
    draw_frame(axes, chart)
    for series in chart.series:
        (_draw_line if chart.form == "lines" else draw_dot)(axes, series, chart.has_markers)
    mark_outside(axes, chart)


def mark_outside(axes: Axes, chart: Chart) -> None:
    """Marks the points that lie beyond the ends of the vertical axis."""
    for point in chart.outside:
        axes.plot(
            [point.x], [0.98 if point.above else 0.02], marker="^" if point.above else "v", ms=5, ls="",
            color=STYLE_OF[point.style][0], transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def x_label(chart: Chart) -> str:
    """The label of the horizontal axis; below it, the note about points that are not shown."""
    return f"{chart.x.label}\n{chart.outside_text}".rstrip()


def draw_frame(axes: Axes, chart: Chart) -> None:
    """Draws everything of a chart but its series: axes, bars, limits and held epochs."""
    axes.grid(alpha=0.25)
    set_axis(axes, chart.x, "x")
    set_axis(axes, chart.y, "y")
    if chart.held:
        axes.axvspan(chart.held.first, chart.held.last, color=GREY, alpha=0.12, lw=0)
        axes.annotate(
            chart.held.label, (chart.held.first, 0.5), xycoords=("data", "axes fraction"), xytext=(3, 0),
            textcoords="offset points", fontsize=8, color=GREY, va="center", rotation=90,
        )  # fmt: skip
    for value, label in chart.bars:
        axes.axhline(value, color=GREY, lw=1, ls=(0, (1, 2)))
        axes.annotate(
            label, (0, value), xycoords=("axes fraction", "data"), xytext=(4, 3), textcoords="offset points",
            fontsize=8, color=GREY, bbox=PAPER,
        )  # fmt: skip
    for value, label in chart.limits:
        axes.axvline(value, color=GREY, lw=1, ls="--")
        axes.annotate(
            label, (value, 0), xycoords=("data", "axes fraction"), xytext=(-3, 5), textcoords="offset points",
            fontsize=8, color=GREY, ha="right", rotation=90,
        )  # fmt: skip


def set_axis(axes: Axes, axis: Axis, which: str) -> None:
    """Gives one axis of a frame (`which`: x or y) the scale, range and ticks of a chart's axis."""
    side = axes.xaxis if which == "x" else axes.yaxis
    set_scale, set_range = (axes.set_xscale, axes.set_xlim) if which == "x" else (axes.set_yscale, axes.set_ylim)
    if axis.kind == "accuracy":
        set_scale("function", functions=(lambda value: -np.log10(100 - value), lambda share: 100 - 10**-share))
    else:
        set_scale(axis.kind)
    side.set_ticks([value for value, _ in axis.ticks], labels=[text for _, text in axis.ticks])
    set_range(axis.low, axis.high)  # after the ticks, which may extend the range
    side.set_minor_locator(NullLocator())


def draw_dot(axes: Axes, series: Series, has_marker: bool = True) -> None:
    """Draws a series of one point, with its range as a whisker."""
    colour, marker, _ = STYLE_OF[series.style]
    low, high = series.ranges[0]
    axes.errorbar(
        series.x, series.y, yerr=[[series.y[0] - low], [high - series.y[0]]], fmt=marker if has_marker else "",
        color=colour, ms=7, capsize=4, lw=1.2,
    )  # fmt: skip


def _draw_line(axes: Axes, series: Series, has_markers: bool) -> None:
    colour, marker, dash = STYLE_OF[series.style]
    axes.plot(
        series.x,
        series.y,
        ls=dash,
        marker=marker if has_markers else "",
        ms=3.5,
        lw=1.5,
        color=colour,
        label=series.name,
    )
    if series.ranges:
        low, high = zip(*series.ranges, strict=True)
        axes.fill_between(series.x, low, high, color=colour, alpha=0.12, lw=0)


def _name_series(axes: Axes, chart: Chart, series: Series, height: float) -> None:
    """Writes a series' name to the right of its last point, at a height between 0 and 1."""
    colour, _, _ = STYLE_OF[series.style]
    x, y = series.x[-1], series.y[-1]
    if chart.form == "lines":
        name, at, transform = f"{series.name}  {_last_text(series)}", chart.x.high, axes.get_xaxis_transform()
    else:
        name, at, transform = series.name, chart.x.share(x) + 0.016, axes.transAxes
    axes.annotate(
        name, (x, y), xytext=(at, height), textcoords=transform, fontsize=8, va="center", ha="left",
        bbox=PAPER,
        arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "alpha": 0.6},
    )  # fmt: skip


def _last_text(series: Series) -> str:
    return series.text[len(series.x) - 1]
