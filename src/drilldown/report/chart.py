"""A chart in data units: two modules draw it, `svg` for pages and `matplotlib_charts` for PNG files and notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from drilldown.report.axes import Axis

STYLES = 11
"""The number of series that both drawers can tell apart."""
MAX_MARKERS = 60
"""A line with more points has no markers: they would touch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a chart, or one dot."""

    name: str
    style: str
    """The look: `train`, `test`, `rate`, or `step-0` to `step-10`; each drawer has a colour, dash and marker for it."""
    x: tuple[float, ...]
    y: tuple[float, ...]
    text: tuple[str, ...]
    """The values in words, for each point; a line that ends early has a dash for each missing epoch."""
    ranges: tuple[tuple[float, float], ...] = ()
    """The lowest and highest value for each point: a band around a line, a whisker through a dot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The epochs that must hold the bar, shaded."""

    first: float
    last: float
    """Left and right edge, in epochs."""
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Lines over epochs; dots with names; or a scatter, whose series without ranges are clouds of dots."""

    name: str
    """Its name in a page."""
    title: str
    description: str
    """The content in sentences with figures, for people who do not see the chart."""
    form: Literal["lines", "dots", "scatter"] = "lines"
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    bars: tuple[tuple[float, str], ...] = ()
    """Accuracies that budgets require, with their labels: horizontal lines."""
    limits: tuple[tuple[float, str], ...] = ()
    """Vertical lines with their labels, such as the parameters that budgets allow."""
    held: Held | None = None

    @property
    def epochs(self) -> int:
        """The number of epochs."""
        return len(self.series[0].text)

    @property
    def has_markers(self) -> bool:
        """Whether each point has a marker."""
        return max(len(series.x) for series in self.series) <= MAX_MARKERS


def step_style(index: int) -> str:
    """The style of a study's step.

    >>> step_style(0), step_style(11)
    ('step-0', 'step-0')
    """
    return f"step-{index % STYLES}"
