"""The figures of a search's report, as PNG files."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from drilldown.report.axes import spread_labels
from drilldown.report.chart import Chart
from drilldown.report.matplotlib_charts import (
    GREY,
    LABEL_HEIGHT,
    PAPER,
    STYLE_OF,
    draw_dot,
    draw_frame,
    mark_outside,
    x_label,
)
from drilldown.report.pictures import figure_png
from drilldown.report.search.charts import search_charts
from drilldown.report.search.evidence import SearchEvidence
from drilldown.report.search.parallel import Parallel, parallel_coordinates

SHADES = ("#B84A00", "#D98A3D", "#8FA9BF", "#B8C4CE", "#D5DBE0")
"""The colours of the five fifths of the candidates, the best first."""


def search_figures(evidence: SearchEvidence) -> dict[str, bytes]:
    """All figures by file name, as PNG; empty without results."""
    charts, parallel = search_charts(evidence), parallel_coordinates(evidence)
    figures = {}
    if charts:
        loss, accuracy, race = charts
        figures["front.png"] = figure_png(draw_scatters([loss, accuracy]))
        figures["race.png"] = figure_png(draw_scatters([race]))
    if parallel:
        figures["dimensions.png"] = figure_png(draw_parallel(parallel))
    return figures


def draw_scatters(charts: list[Chart]) -> Figure:
    """Scatters side by side: clouds with a legend, and dots with names."""
    figure = Figure(figsize=(5 * len(charts) if len(charts) > 1 else 9, 4), layout="constrained")
    for axes, chart in zip(figure.subplots(1, len(charts), squeeze=False)[0], charts, strict=True):
        draw_scatter(axes, chart)
        axes.set_title(chart.title, fontsize=10)
        axes.set_xlabel(x_label(chart), fontsize=8)
        axes.set_ylabel(chart.y.label, fontsize=8)
        axes.tick_params(labelsize=7.5)
    return figure


def draw_scatter(axes: Axes, chart: Chart) -> None:
    """Draws a scatter into a frame."""
    draw_frame(axes, chart)
    clouds = [series for series in chart.series if not series.ranges]
    dots = [series for series in chart.series if series.ranges]
    for series in clouds:
        colour, marker, _ = STYLE_OF[series.style]
        axes.plot(series.x, series.y, ls="", marker=marker, ms=4, color=colour, label=series.name)
    mark_outside(axes, chart)
    heights = spread_labels([chart.y.share(series.y[0]) for series in dots], LABEL_HEIGHT)
    for series, height in zip(dots, heights, strict=True):
        draw_dot(axes, series)
        colour, _, _ = STYLE_OF[series.style]
        axes.annotate(
            series.name, (series.x[0], series.y[0]), xytext=(chart.x.share(series.x[0]) + 0.03, height),
            textcoords="axes fraction", fontsize=8, va="center", bbox=PAPER,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "alpha": 0.6},
        )  # fmt: skip
    if clouds:
        axes.legend(fontsize=7)


def draw_parallel(parallel: Parallel) -> Figure:
    """Parallel coordinates."""
    figure = Figure(figsize=(1.1 * len(parallel.axes) + 1, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    for line in parallel.lines:
        points = [(index, place) for index, place in enumerate(line.places) if place is not None]
        colour = "black" if line.is_winner else SHADES[line.shade]
        width = 2.2 if line.is_winner else 1.4 if line.shade == 0 else 0.9
        axes.plot(*zip(*points, strict=True), color=colour, lw=width, marker="o", ms=2.5)
    for index, axis in enumerate(parallel.axes):
        axes.plot([index, index], [0, 1], color=GREY, lw=0.8)
        axes.text(index, 1.05 + 0.05 * (index % 2), _plain(axis.name), fontsize=8, ha="center", weight="bold")
        for place, text in axis.ticks:
            axes.text(index + 0.04, place, _plain(text), fontsize=7, va="center", color=GREY, bbox=PAPER)
    axes.set_xlim(-0.2, len(parallel.axes) - 0.3)
    return figure


def _plain(text: str) -> str:
    r"""Text that matplotlib does not take for a formula.

    >>> print(_plain("a $ b"))
    a \$ b
    """
    return text.replace("$", r"\$")
