"""Axes of charts in data units: their range, their ticks, and the relative position of a value on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.ticker import LogLocator, MaxNLocator
from scipy import optimize

ROUND_STEPS = [1, 2, 5, 10]
"""Distances between ticks, up to a power of ten."""
MAX_STEPS, MAX_EPOCH_STEPS = 6, 15
"""Steps between the ticks of an axis."""
MARGIN = 1.15
"""A logarithmic axis extends beyond its extreme values by this factor."""
TICK_GAP = 0.06
"""The least distance between two ticks of an accuracy axis, as a share of the axis."""
ACCURACIES = (
    99, 90, 50, 99.4, 0, 95, 99.9, 98, 99.6, 99.2, 80, 99.8, 30, 70, 99.5, 99.3, 97, 99.95, 10, 85, 99.98, 99.99,
)  # fmt: skip
"""Accuracies, in percent, that can be ticks of an accuracy axis, the most useful first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis of a chart.

    On an `accuracy` axis, the share of wrong predictions is logarithmic: 99.0 to 99.5 % is as long as 90 to 95 %.
    """

    label: str
    kind: Literal["linear", "log", "accuracy"]
    low: float
    """The value at the left or lower end."""
    high: float
    ticks: tuple[tuple[float, str], ...]
    """Value and text of each tick, in ascending order."""

    @classmethod
    def linear(cls, label: str, low: float, high: float, text: str = "{:g}") -> Axis:
        """A linear axis with at most `MAX_STEPS` steps between its ticks.

        >>> Axis.linear("accuracy, %", 98.1, 100).ticks
        ((98.5, '98.5'), (99.0, '99'), (99.5, '99.5'), (100.0, '100'))
        """
        values = MaxNLocator(MAX_STEPS, steps=ROUND_STEPS).tick_values(low, high)
        return cls(label=label, kind="linear", low=low, high=high, ticks=_label(values, low, high, text.format))

    @classmethod
    def log(cls, label: str, low: float, high: float, text: str = "{:g}") -> Axis:
        """A logarithmic axis with ticks at 1, 2 and 5 times the powers of ten.

        >>> [text for _, text in Axis.log("loss", 0.014, 0.3).ticks]
        ['0.02', '0.05', '0.1', '0.2']
        """
        # LogLocator does not drop the factors 2 and 5 by itself where decades are many.
        factors = (1.0, 2.0, 5.0) if high / low < 1_000 else (1.0,)
        ticks = _label(LogLocator(subs=factors).tick_values(low, high), low, high, text.format)
        if len(ticks) < 3:  # within one decade, evenly spaced ticks are more
            ticks = _label(MaxNLocator(MAX_STEPS, steps=ROUND_STEPS).tick_values(low, high), low, high, text.format)
        return cls(label=label, kind="log", low=low, high=high, ticks=ticks)

    @classmethod
    def accuracy(cls, label: str, values: Iterable[float]) -> Axis:
        """The accuracy axis that holds all values, in percent and below 100, with a small margin.

        >>> axis = Axis.accuracy("accuracy, %", [99.5, 98.0])
        >>> round(axis.share(99.0), 6), [text for _, text in axis.ticks]
        (0.5, ['98', '99', '99.2', '99.3', '99.4', '99.5'])
        """
        wrong = [100 - value for value in values]
        low, high = 100 - min(105.0, max(wrong) * MARGIN), 100 - min(wrong) / MARGIN
        axis = cls(label=label, kind="accuracy", low=low, high=high, ticks=())
        # A locator would space ticks evenly, and most of them would collide on this axis: chosen one by one instead.
        shares: dict[float, float] = {}
        for tick in ACCURACIES:
            share = axis.share(tick)
            if 0 <= share <= 1 and all(abs(share - other) >= TICK_GAP for other in shares.values()):
                shares[tick] = share
        return cls(label=label, kind="accuracy", low=low, high=high, ticks=_label(shares, low, high, "{:g}".format))

    @classmethod
    def epochs(cls, count: int) -> Axis:
        """The axis of epochs 1 to `count`; each epoch has a column of its own, epoch 1 from 0.5 to 1.5.

        >>> [text for _, text in Axis.epochs(17).ticks]
        ['2', '4', '6', '8', '10', '12', '14', '16']
        """
        low, high = 0.5, count + 0.5
        values = MaxNLocator(MAX_EPOCH_STEPS, integer=True, steps=ROUND_STEPS).tick_values(0, count)
        return cls(label="epoch", kind="linear", low=low, high=high, ticks=_label(values, low, high, "{:g}".format))

    def share(self, value: float) -> float:
        """The position of a value: 0 at the low end, 1 at the high end, less or more outside.

        >>> Axis.linear("", 0, 10).share(5), Axis.log("", 1, 100).share(1000)
        (0.5, 1.5)
        """
        low, high, at = (self._straighten(number) for number in (self.low, self.high, value))
        return round((at - low) / (high - low), 9)

    def _straighten(self, value: float) -> float:
        """The value on a scale on which the axis is linear."""
        if self.kind == "log":
            return math.log(value)
        return -math.log(100 - value) if self.kind == "accuracy" else value


def _label(
    values: Iterable[float], low: float, high: float, text: Callable[[float], str]
) -> tuple[tuple[float, str], ...]:
    """The ticks among the values that lie on the axis; locators return values beyond its ends, too."""
    slack = 1e-9 * (high - low)
    return tuple((float(value), text(value)) for value in sorted(values) if low - slack <= value <= high + slack)


def spread_labels(places: Sequence[float], gap: float) -> list[float]:
    """Moves labels apart: as close to their places as possible, in the same order, at least `gap` from each other.

    >>> spread_labels([10.0, 1.0, 0.0], 4.0)
    [10.0, 2.5, -1.5]
    """
    if not places:
        return []
    order = sorted(range(len(places)), key=places.__getitem__)
    # Without their gaps, places that keep the order and the distance are a sequence that never falls.
    fitted = optimize.isotonic_regression([places[index] - rank * gap for rank, index in enumerate(order)]).x
    moved = {index: float(value) + rank * gap for rank, (index, value) in enumerate(zip(order, fitted, strict=True))}
    return [moved[index] for index in range(len(places))]


def drawable_accuracy(accuracy: float, total: int) -> float:
    """An accuracy in percent that an accuracy axis can show: one without errors counts as half an image wrong.

    >>> drawable_accuracy(99.5, 10_000), drawable_accuracy(100, 10_000)
    (99.5, 99.995)
    """
    return min(accuracy, 100 - 50 / total)
