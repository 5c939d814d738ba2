"""A chart in data units: two modules draw it, `svg` for pages and `matplotlib_charts` for PNG files and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from drilldown.report.axes import Axis
from drilldown.wording import count_text

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


@dataclass(frozen=True, slots=True)
class Outside:
    """A point that its chart does not show, because it lies below or above the axis."""

    style: str
    x: float
    above: bool


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
    def outside(self) -> list[Outside]:
        """The points that lie below or above the axis; drawers mark them at its ends."""
        return [
            Outside(series.style, x, share > 1)
            for series in self.series
            for x, y in zip(series.x, series.y, strict=True)
            if not 0 <= (share := self.y.share(y)) <= 1
        ]

    @property
    def outside_text(self) -> str:
        """A note about the points that the chart does not show; empty where it shows all of them."""
        notes = [
            f"{sign} {count_text(len(places), 'point')} {side} the axis"
            + (f", {_epochs_text(places)}" if self.form == "lines" else "")
            for sign, side, above in (("▼", "below", False), ("▲", "above", True))
            if (places := [point.x for point in self.outside if point.above is above])
        ]
        ends = [end for series in self.series for both in series.ranges for end in both]
        if self.form == "lines" and any(not 0 <= self.y.share(end) <= 1 for end in ends):
            notes.append("a band continues outside the axis")
        return "; ".join(notes)

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


def _epochs_text(numbers: Sequence[float]) -> str:
    """Epochs in words.

    >>> _epochs_text([1]), _epochs_text([1, 2, 2]), _epochs_text([1, 4])
    ('in epoch 1', 'in epochs 1 to 2', 'between epochs 1 and 4')
    """
    epochs = sorted(set(map(int, numbers)))
    first, last = epochs[0], epochs[-1]
    if first == last:
        return f"in epoch {first}"
    return f"in epochs {first} to {last}" if len(epochs) == last - first + 1 else f"between epochs {first} and {last}"
