"""The figures of a study's report, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from drilldown.analysis.study import StudyEvidence, StudyStep
from drilldown.report.axes import Axis, percent_wrong
from drilldown.report.matplotlib_charts import COLOURS, MARKERS, draw_named_chart
from drilldown.report.pictures import figure_png
from drilldown.report.study.charts import study_charts


def study_figures(evidence: StudyEvidence) -> dict[str, bytes]:
    """All figures by file name, as PNG."""
    accuracy, _, parameters = study_charts(evidence)
    return {
        "curves.png": figure_png(draw_named_chart(accuracy, height=5.2)),
        "parameters.png": figure_png(draw_named_chart(parameters, height=4.6)),
    }


# For results/collect.py, until it draws with `matplotlib_charts`.


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


def accuracy_axis(axes: Axes, wrong: Sequence[float]) -> None:
    """Makes the upright axis one of accuracies, on which so many percent wrong have their place."""
    axis = Axis.accuracy("", [100 - value for value in wrong])
    axes.set_yscale("log")
    axes.set_ylim(100 - axis.low, 100 - axis.high)
    axes.yaxis.set_major_locator(FixedLocator([100 - tick for tick, _ in axis.ticks]))
    axes.yaxis.set_major_formatter(lambda wrong, _: f"{100 - wrong:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def in_frame(axes: Axes, point: tuple[float, float]) -> tuple[float, float]:
    """A point of the data as fractions of the frame."""
    x, y = axes.transAxes.inverted().transform(axes.transData.transform(point))
    return float(x), float(y)
