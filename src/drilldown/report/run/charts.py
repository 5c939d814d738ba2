"""The curves of a page: where every line, tick and label of a chart lies. A template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from drilldown.evaluation.records import EpochRecord
from drilldown.experiment.experiment import Experiment
from drilldown.report.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    columns,
    decades,
    epoch_ticks,
    linear,
    steps,
)

MOST_MARKERS = 60
"""Epochs beyond which a line has no markers: they would touch."""
SMALLEST_LOSS = 1e-6
"""A loss of 0 has no place on a logarithmic axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a chart."""

    name: str
    style: str
    """`train`, `test`, `rate`, or `step-0` to `step-10`: dash, marker and colour, in page.css."""
    points: tuple[tuple[float, float], ...]
    """An epoch a point."""
    values: tuple[str, ...]
    """The same in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart over epochs."""

    name: str
    """Its name in the page."""
    title: str
    description: str
    """What it shows, in sentences with figures: for those who do not see it."""
    series: tuple[Series, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    bar: tuple[float, str] | None = None
    """Height and label of the bar that the budget sets."""
    held: tuple[float, float, str] | None = None
    """Left and right edge and label of the epochs that must hold it."""
    markers: bool = True
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def frame(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the plotting area."""
        return LEFT, TOP, self.width - RIGHT, self.height - BOTTOM

    @property
    def epochs(self) -> int:
        """How many of them there are."""
        return len(self.series[0].values)


def run_charts(epochs: Sequence[EpochRecord], experiment: Experiment) -> tuple[Chart, Chart, Chart]:
    """Accuracy with the bar and the held epochs, loss, and learning rate."""
    part = "validation" if epochs[0].held_out else "test"
    return _accuracy(epochs, experiment, part), _loss(epochs, part), _rate(epochs)


def _accuracy(epochs: Sequence[EpochRecord], experiment: Experiment, part: str) -> Chart:
    bar, hold = experiment.budget.accuracy, experiment.budget.hold
    train = [float(epoch.train.accuracy) for epoch in epochs]
    test = [float(epoch.test.accuracy) for epoch in epochs]
    shown = [*test, *([] if bar is None else [bar])]
    # The last two points are what it is about; early epochs may leave the frame.
    low = max(0.0, min(max(shown) - 2, min(shown[len(test) // 2 :]) - 0.2))
    ticks = steps(low, 100)
    y = linear((min(low, *ticks), 100 + (100 - low) * 0.03), (HEIGHT - BOTTOM, TOP))
    best = max(range(len(test)), key=test.__getitem__)
    description = (
        f"Accuracy on the {part} images goes from {test[0]:.2f} % after epoch 1 to {test[-1]:.2f} % after epoch "
        f"{len(test)}; the best is {test[best]:.2f} % after epoch {best + 1}. The running accuracy on the training "
        f"images goes from {train[0]:.2f} % to {train[-1]:.2f} %."
    )
    held = None
    if bar is not None:
        first = max(1, len(epochs) - hold + 1)
        across = columns(len(epochs))
        held = (across(first - 0.5), across(len(epochs) + 0.5), f"last {hold}" if hold > 1 else "last")
        description += f" The bar is {bar:g} %, for epochs {first} to {len(epochs)}."
    return Chart(
        name="accuracy",
        title="Accuracy, %",
        description=description,
        series=(
            _series("train, running", "train", epochs, train, y, "{:.2f} %"),
            _series(part, "test", epochs, test, y, "{:.2f} %"),
        ),
        x_ticks=epoch_ticks(len(epochs)),
        y_ticks=tuple((y(value), f"{value:g}") for value in ticks),
        bar=None if bar is None else (y(bar), f"bar {bar:g} %"),
        held=held,
        markers=len(epochs) <= MOST_MARKERS,
    )


def _loss(epochs: Sequence[EpochRecord], part: str) -> Chart:
    train = [max(epoch.train.loss, SMALLEST_LOSS) for epoch in epochs]
    test = [max(epoch.test.loss, SMALLEST_LOSS) for epoch in epochs]
    low, high = min(*train, *test) / 1.15, max(*train, *test) * 1.15
    along = linear((math.log(low), math.log(high)), (HEIGHT - BOTTOM, TOP))

    def y(value: float) -> float:
        return along(math.log(value))

    least = min(range(len(test)), key=test.__getitem__)
    return Chart(
        name="loss",
        title="Cross-entropy, log scale",
        description=(
            f"The loss on the {part} images goes from {test[0]:.4f} after epoch 1 to {test[-1]:.4f} after epoch "
            f"{len(test)}; the least is {test[least]:.4f} after epoch {least + 1}. The running loss on the training "
            f"images goes from {train[0]:.4f} to {train[-1]:.4f}."
        ),
        series=(
            _series("train, running", "train", epochs, train, y, "{:.4f}"),
            _series(part, "test", epochs, test, y, "{:.4f}"),
        ),
        x_ticks=epoch_ticks(len(epochs)),
        y_ticks=tuple((y(value), f"{value:g}") for value in decades(low, high)),
        markers=len(epochs) <= MOST_MARKERS,
    )


def _rate(epochs: Sequence[EpochRecord]) -> Chart:
    rates = [epoch.lr for epoch in epochs]
    ticks = steps(0, max(rates) or 1.0)  # a schedule that ends at 0 after its only epoch has no other rate to show
    y = linear((0, max([*rates, ticks[-1]]) * 1.03), (HEIGHT - BOTTOM, TOP))
    peak = max(range(len(rates)), key=rates.__getitem__)
    return Chart(
        name="rate",
        title="Learning rate",
        description=(
            f"The learning rate at the end of an epoch: {rates[0]:.3g} after the first, at most {rates[peak]:.3g} "
            f"after epoch {peak + 1}, {rates[-1]:.3g} after the last."
        ),
        series=(_series("learning rate", "rate", epochs, rates, y, "{:.3g}"),),
        x_ticks=epoch_ticks(len(epochs)),
        y_ticks=tuple((y(value), f"{value:g}") for value in ticks),
        markers=len(epochs) <= MOST_MARKERS,
    )


def _series(
    name: str, style: str, epochs: Sequence[EpochRecord], values: Sequence[float], y: Scale, pattern: str
) -> Series:
    x = columns(len(epochs))
    return Series(
        name=name,
        style=style,
        points=tuple((round(x(n), 1), round(y(value), 1)) for n, value in enumerate(values, 1)),
        values=tuple(pattern.format(value) for value in values),
    )
