"""The charts of a run: accuracy, loss and learning rate by epoch."""

from __future__ import annotations

from collections.abc import Sequence

from drilldown.evaluation.records import EpochRecord
from drilldown.experiment.experiment import Experiment
from drilldown.report.axes import MARGIN, Axis
from drilldown.report.chart import Chart, Held, Series

MIN_LOSS = 1e-6
"""A loss of 0 is drawn as this: a logarithmic axis has no 0."""


def run_charts(epochs: Sequence[EpochRecord], experiment: Experiment) -> tuple[Chart, Chart, Chart]:
    """Accuracy with the bar and the epochs that must hold it, loss, and learning rate."""
    split = "validation" if epochs[0].held_out else "test"
    return _accuracy_chart(epochs, experiment, split), _loss_chart(epochs, split), _rate_chart(epochs)


def _accuracy_chart(epochs: Sequence[EpochRecord], experiment: Experiment, split: str) -> Chart:
    bar, hold = experiment.budget.accuracy, experiment.budget.hold
    train = [float(epoch.train.accuracy) for epoch in epochs]
    test = [float(epoch.test.accuracy) for epoch in epochs]
    shown = [*test, *([] if bar is None else [bar])]
    # The range fits the later epochs, where one point matters; early epochs may lie outside.
    low = max(0.0, min(max(shown) - 2, min(shown[len(test) // 2 :]) - 0.2))
    best = max(range(len(test)), key=test.__getitem__)
    description = (
        f"Accuracy on the {split} images goes from {test[0]:.2f} % after epoch 1 to {test[-1]:.2f} % after epoch "
        f"{len(test)}; the best is {test[best]:.2f} % after epoch {best + 1}. The running accuracy on the training "
        f"images goes from {train[0]:.2f} % to {train[-1]:.2f} %."
    )
    held = None
    if bar is not None:
        first = max(1, len(epochs) - hold + 1)
        held = Held(first=first - 0.5, last=len(epochs) + 0.5, label=f"last {hold}" if hold > 1 else "last")
        description += f" The bar is {bar:g} %, for epochs {first} to {len(epochs)}."
    return Chart(
        name="accuracy",
        title="Accuracy, %",
        description=description,
        x=Axis.epochs(len(epochs)),
        y=Axis.linear("accuracy, %", low, 100 + (100 - low) * 0.03),
        series=(_line("train, running", "train", train, "{:.2f} %"), _line(split, "test", test, "{:.2f} %")),
        bars=() if bar is None else ((bar, f"bar {bar:g} %"),),
        held=held,
    )


def _loss_chart(epochs: Sequence[EpochRecord], split: str) -> Chart:
    train = [max(epoch.train.loss, MIN_LOSS) for epoch in epochs]
    test = [max(epoch.test.loss, MIN_LOSS) for epoch in epochs]
    lowest = min(range(len(test)), key=test.__getitem__)
    return Chart(
        name="loss",
        title="Cross-entropy, log scale",
        description=(
            f"The loss on the {split} images goes from {test[0]:.4f} after epoch 1 to {test[-1]:.4f} after epoch "
            f"{len(test)}; the lowest is {test[lowest]:.4f} after epoch {lowest + 1}. The running loss on the training "
            f"images goes from {train[0]:.4f} to {train[-1]:.4f}."
        ),
        x=Axis.epochs(len(epochs)),
        y=Axis.log("cross-entropy", min(*train, *test) / MARGIN, max(*train, *test) * MARGIN),
        series=(_line("train, running", "train", train, "{:.4f}"), _line(split, "test", test, "{:.4f}")),
    )


def _rate_chart(epochs: Sequence[EpochRecord]) -> Chart:
    rates = [epoch.lr for epoch in epochs]
    peak = max(range(len(rates)), key=rates.__getitem__)
    highest = rates[peak] or 1.0  # a schedule that ends at 0 after its only epoch has no other rate
    return Chart(
        name="rate",
        title="Learning rate",
        description=(
            f"The learning rate at the end of an epoch: {rates[0]:.3g} after the first, at most {rates[peak]:.3g} "
            f"after epoch {peak + 1}, {rates[-1]:.3g} after the last."
        ),
        x=Axis.epochs(len(epochs)),
        y=Axis.linear("learning rate", 0, highest * 1.03),
        series=(_line("learning rate", "rate", rates, "{:.3g}"),),
    )


def _line(name: str, style: str, values: Sequence[float], text: str) -> Series:
    return Series(
        name=name,
        style=style,
        x=tuple(range(1, len(values) + 1)),
        y=tuple(values),
        text=tuple(text.format(value) for value in values),
    )
