"""The axes of charts: ranges, ticks and positions."""

from __future__ import annotations

from itertools import pairwise

import pytest

from drilldown.report.axes import MAX_EPOCH_STEPS, MAX_STEPS, TICK_GAP, Axis, spread_labels


def check_ticks(axis: Axis, least: int) -> None:
    """There are at least this many ticks, in order, on the axis and with different texts."""
    values = [value for value, _ in axis.ticks]
    assert len(values) >= least
    assert values == sorted(set(values))
    assert all(0 <= axis.share(value) <= 1 for value in values)
    assert len({text for _, text in axis.ticks}) == len(values)


def test_an_accuracy_axis_is_logarithmic_in_the_errors() -> None:
    axis = Axis.accuracy("accuracy, %", [99.5, 92.0])
    assert axis.share(92.0) > 0
    assert axis.share(99.5) < 1
    assert axis.share(99.0) - axis.share(98.0) == pytest.approx(axis.share(98.0) - axis.share(96.0))
    check_ticks(axis, 3)
    shares = [axis.share(value) for value, _ in axis.ticks]
    assert all(later - earlier >= TICK_GAP for earlier, later in pairwise(shares))
    assert {99, 95} <= {value for value, _ in axis.ticks}


@pytest.mark.parametrize("values", [[0.0, 1.0], [10.0, 99.995], [99.38, 99.41], [100 - 1e-4, 99.0]])
def test_an_accuracy_axis_has_ticks_for_all_accuracies(values: list[float]) -> None:
    check_ticks(Axis.accuracy("accuracy, %", values), 1)


@pytest.mark.parametrize("count", [1, 2, 14, 15, 16, 17, 20, 99, 100, 1000])
def test_epochs_have_whole_numbers_as_ticks(count: int) -> None:
    axis = Axis.epochs(count)
    check_ticks(axis, 1)
    assert len(axis.ticks) <= MAX_EPOCH_STEPS + 1
    assert all(1 <= value <= count and text == str(int(value)) for value, text in axis.ticks)
    if count <= MAX_EPOCH_STEPS:
        assert len(axis.ticks) == count
    assert axis.share(1) - 0 == pytest.approx(1 - axis.share(count), abs=1e-8)


@pytest.mark.parametrize(("low", "high"), [(0, 0.103), (0, 1.03), (98, 100.06), (0, 103), (97.31, 100.08), (0, 1e-5)])
def test_a_linear_axis_has_a_few_round_ticks(low: float, high: float) -> None:
    axis = Axis.linear("value", low, high)
    check_ticks(axis, 3)
    assert len(axis.ticks) <= MAX_STEPS + 1


@pytest.mark.parametrize(
    ("low", "high"), [(0.014, 0.3), (0.03, 0.06), (5e-5, 1.4), (1e-6, 3), (0.0101, 0.0104), (4_000, 25_000)]
)
def test_a_logarithmic_axis_has_a_few_ticks(low: float, high: float) -> None:
    axis = Axis.log("value", low, high)
    check_ticks(axis, 3)
    assert len(axis.ticks) <= 10
    assert axis.share((low * high) ** 0.5) == pytest.approx(0.5, abs=1e-8)


def test_labels_keep_their_order_and_distance() -> None:
    assert spread_labels([], 1) == []
    moved = spread_labels([3.0, 3.0, 0.0, 3.1], 1.0)
    ordered = sorted(moved)
    assert all(later - earlier >= 1 - 1e-9 for earlier, later in pairwise(ordered))
    assert moved[2] == ordered[0] == 0.0
