"""The charts of a run hold the values of its epochs."""

from __future__ import annotations

import pytest

from drilldown import Run
from drilldown.report.run.charts import run_charts


def test_the_charts_hold_the_values_of_every_epoch(run: Run) -> None:
    accuracy, loss, rate = run_charts(run.epochs, run.experiment)
    numbers = tuple(range(1, len(run.epochs) + 1))
    train, test = accuracy.series
    assert (train.x, test.x) == (numbers, numbers)
    assert train.y == tuple(float(epoch.train.accuracy) for epoch in run.epochs)
    assert test.y == tuple(float(epoch.test.accuracy) for epoch in run.epochs)
    assert test.text == tuple(f"{float(epoch.test.accuracy):.2f} %" for epoch in run.epochs)
    assert loss.series[1].y == pytest.approx([epoch.test.loss for epoch in run.epochs])
    assert rate.series[0].y == tuple(epoch.lr for epoch in run.epochs)


def test_the_accuracy_chart_shows_the_bar_and_the_epochs_that_must_hold_it(run: Run) -> None:
    chart, _, _ = run_charts(run.epochs, run.experiment)
    assert chart.bars == ((50.0, "bar 50 %"),)
    assert chart.held is not None
    assert (chart.held.first, chart.held.last, chart.held.label) == (4.5, 6.5, "last 2")
    assert "The bar is 50 %, for epochs 5 to 6." in chart.description


def test_the_later_epochs_lie_inside_every_chart(run: Run) -> None:
    for chart in run_charts(run.epochs, run.experiment):
        for series in chart.series[-1:]:
            assert all(0 <= chart.y.share(value) <= 1 for value in series.y[len(series.y) // 2 :])
