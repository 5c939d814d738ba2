"""The axis of accuracies: the share of wrong answers on a logarithmic scale, the right way up, labelled as accuracy.

Between 99.0 and 99.5 % lies as much of it as between 90 and 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 460, 270
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 14, 40
"""Margins, for the labels of the axes."""

Scale = Callable[[float], float]
"""From a value to its place, in the chart's units."""


def linear(values: tuple[float, float], places: tuple[float, float]) -> Scale:
    """The straight line through two values and their places.

    >>> linear((0, 10), (100, 200))(5)
    150.0
    """
    (a, b), (p, q) = values, places
    return lambda value: p + (value - a) * (q - p) / (b - a)


def steps(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, evenly spaced, at most so many.

    >>> steps(98.1, 100)
    [98.5, 99.0, 99.5, 100.0]
    """
    span = high - low
    size = 10.0 ** math.floor(math.log10(span / most))
    step = next(size * factor for factor in (1, 2, 5, 10, 20) if span / (size * factor) < most)
    return [round(n * step, 10) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten from `low` to `high`; only the powers where that would be many.

    Where it would be fewer than three, round numbers evenly spaced.

    >>> decades(0.014, 0.3)
    [0.02, 0.05, 0.1, 0.2]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    found = [value for power in powers for factor in factors if low <= (value := float(f"{factor}e{power}")) <= high]
    return found if len(found) >= 3 else steps(low, high)


def columns(count: int, width: int = WIDTH) -> Scale:
    """Where epochs 1 to `count` lie across a chart; each has a column of its own: epoch 1 from 0.5 to 1.5."""
    return linear((0.5, count + 0.5), (LEFT, width - RIGHT))


def epoch_ticks(count: int, width: int = WIDTH) -> tuple[tuple[float, str], ...]:
    """Which epochs are labelled, and where."""
    shown = range(1, count + 1) if count <= 15 else [int(n) for n in steps(1, count, 10) if n >= 1]
    return tuple((columns(count, width)(number), str(number)) for number in dict.fromkeys(shown))


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


def spread_labels(places: Sequence[float], gap: float) -> list[float]:
    """Where to write labels: as near as can be to their places, in their order, `gap` or more from one another.

    >>> spread_labels([10.0, 1.0, 0.0], 4.0)
    [10.0, 2.5, -1.5]
    """
    from scipy import optimize

    order = sorted(range(len(places)), key=places.__getitem__)
    shares = {index: rank * gap for rank, index in enumerate(order)}  # what is left of the places must not fall
    kept = optimize.isotonic_regression([places[index] - shares[index] for index in order]).x if order else []
    found = dict(zip(order, map(float, kept), strict=True))
    return [found[index] + shares[index] for index in range(len(places))]


def percent_wrong(accuracy: float, total: int) -> float:
    """Percent wrong of `total`; none at all is drawn as half an image, since a logarithm has no place for it.

    >>> percent_wrong(99.5, 10_000), percent_wrong(100, 10_000)
    (0.5, 0.005)
    """
    return max(100 - accuracy, 50 / total)
