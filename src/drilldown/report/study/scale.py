"""The axis of accuracies: the share of wrong answers on a logarithmic scale, the right way up, labelled as accuracy.

Between 99.0 and 99.5 % lies as much of it as between 90 and 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TICKS = (99, 90, 50, 99.4, 0, 95, 99.9, 98, 99.6, 99.2, 80, 99.8, 30, 70, 99.5, 99.3, 97, 99.95, 10, 85, 99.98, 99.99)
"""Accuracies, in percent, that an axis may be labelled with, the most welcome first."""
TICK_GAP = 0.06
"""Of the axis' length, between two of them."""
ROOM = 1.15
"""What the axis holds beyond its extremes, as a factor of what is wrong."""


@dataclass(frozen=True, slots=True)
class AccuracyAxis:
    """From the percentage of wrong answers to a place between 0, the lower end, and 1."""

    bottom: float
    """Percent wrong at the lower end."""
    top: float
    """At the upper end."""

    @classmethod
    def around(cls, wrong: Iterable[float]) -> AccuracyAxis:
        """The axis that holds all of them, with a little room.

        >>> AccuracyAxis.around([0.5, 2.0]).height(1.0)
        0.5
        """
        values = list(wrong)
        return cls(min(105.0, max(values) * ROOM), min(values) / ROOM)

    def height(self, wrong: float) -> float:
        """Where so many percent of wrong answers lie; outside of 0 … 1 where the axis does not reach."""
        return round(math.log(self.bottom / wrong) / math.log(self.bottom / self.top), 9)

    @property
    def ticks(self) -> dict[float, float]:
        """Accuracies to label, with their places, far enough from one another."""
        found: dict[float, float] = {}
        for tick in TICKS:
            height = self.height(100 - tick)
            if 0 <= height <= 1 and all(abs(height - other) >= TICK_GAP for other in found.values()):
                found[tick] = height
        return found


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Where to write labels: as near as can be to their places, in their order, `gap` or more from one another.

    >>> apart([10.0, 1.0, 0.0], 4.0)
    [10.0, 2.5, -1.5]
    """
    from scipy import optimize

    order = sorted(range(len(places)), key=places.__getitem__)
    shares = {index: rank * gap for rank, index in enumerate(order)}  # what is left of the places must not fall
    kept = optimize.isotonic_regression([places[index] - shares[index] for index in order]).x if order else []
    found = dict(zip(order, map(float, kept), strict=True))
    return [found[index] + shares[index] for index in range(len(places))]


def wrong(accuracy: float, total: int) -> float:
    """Percent wrong of `total`; none at all is drawn as half an image, since a logarithm has no place for it.

    >>> wrong(99.5, 10_000), wrong(100, 10_000)
    (0.5, 0.005)
    """
    return max(100 - accuracy, 50 / total)
