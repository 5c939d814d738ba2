"""Draws a chart as SVG: the coordinates that the templates of pages write down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drilldown.report.axes import spread_labels
from drilldown.report.chart import Chart, Series

WIDTH, HEIGHT = 460, 270
WIDE, TALL = 960, 420
"""The size of a chart over the whole width of a page."""
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 14, 40
"""Margins, for the labels of the axes."""
LABEL_HEIGHT = 12
"""The least distance between the names of two dots."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart with its place on paper, in SVG units: x to the right, y downwards."""

    chart: Chart
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def frame(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the plotting area."""
        return LEFT, TOP, self.width - RIGHT, self.height - BOTTOM

    def x(self, value: float) -> float:
        """The horizontal position of a value."""
        return round(LEFT + self.chart.x.share(value) * (self.width - RIGHT - LEFT), 1)

    def y(self, value: float) -> float:
        """The vertical position of a value."""
        return round(self.height - BOTTOM - self.chart.y.share(value) * (self.height - BOTTOM - TOP), 1)

    def points(self, series: Series) -> list[tuple[float, float]]:
        """The positions of a series' points."""
        return [(self.x(x), self.y(y)) for x, y in zip(series.x, series.y, strict=True)]

    @property
    def outside(self) -> list[tuple[str, float, float, bool]]:
        """The marks for points beyond the ends of the axis: style, x, y, and whether the point lies above."""
        _, top, _, bottom = self.frame
        return [
            (point.style, self.x(point.x), top + 4 if point.above else bottom - 4, point.above)
            for point in self.chart.outside
        ]

    def band(self, series: Series) -> list[tuple[float, float]]:
        """The outline of a series' ranges: along their low ends, and back along their high ends."""
        low = [(self.x(x), self.y(low)) for x, (low, _) in zip(series.x, series.ranges, strict=True)]
        high = [(self.x(x), self.y(high)) for x, (_, high) in zip(series.x, series.ranges, strict=True)]
        return low + high[::-1]

    @property
    def names(self) -> list[float]:
        """The vertical positions of the names beside the dots, one per series."""
        return self._name_places(self.chart.series)

    @property
    def clouds(self) -> list[Series]:
        """The series of a scatter that are listed in its key."""
        return [series for series in self.chart.series if not series.ranges]

    @property
    def named(self) -> list[tuple[Series, float]]:
        """The dots of a scatter that have a name beside them, each with the vertical position of its name."""
        dots = [series for series in self.chart.series if series.ranges]
        return list(zip(dots, self._name_places(dots), strict=True))

    def _name_places(self, dots: Sequence[Series]) -> list[float]:
        return [round(y, 1) for y in spread_labels([self.y(series.y[0]) for series in dots], LABEL_HEIGHT)]
