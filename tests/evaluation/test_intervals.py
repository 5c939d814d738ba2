"""Figures over seeds: means with intervals, and pass rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from drilldown.evaluation.intervals import PassRate, measure_spread

FIGURES = st.lists(st.floats(90, 100), min_size=2, max_size=12)


@settings(max_examples=100, deadline=None)
@given(FIGURES)
def test_a_spread_agrees_with_numpy_and_students_t(values: list[float]) -> None:
    spread = measure_spread(values)
    assert spread.n == len(values)
    assert spread.mean == pytest.approx(np.mean(values), rel=1e-12)
    assert spread.median == pytest.approx(np.median(values), rel=1e-12)
    assert spread.deviation == pytest.approx(np.std(values, ddof=1), rel=1e-6, abs=1e-12)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    if error > 1e-9:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=error)
        assert (spread.low, spread.high) == pytest.approx((low, high), rel=1e-9)


def test_one_seed_has_no_interval_and_is_called_an_anecdote() -> None:
    spread = measure_spread([99.41])
    assert (spread.n, spread.mean, spread.median) == (1, 99.41, 99.41)
    assert all(math.isnan(value) for value in (spread.deviation, spread.low, spread.high))
    assert str(spread) == "99.41 (one seed: an anecdote)"


def test_two_seeds_are_too_few_for_an_interval() -> None:
    spread = measure_spread([99.5, 99.5])
    assert (spread.text(2), spread.ends, str(spread)) == (
        "99.50",
        (99.5, 99.5),
        "99.500 (n = 2, too few for an interval)",
    )


def test_the_text_of_an_interval_names_its_kind() -> None:
    # Student's t for two degrees of freedom is 4.302653 (any table); the standard error is 0.1/√3.
    half = 4.302653 * 0.1 / math.sqrt(3)
    expected = f"99.500 [{99.5 - half:.3f}, {99.5 + half:.3f}] (n = 3, 95 % t interval over seeds)"
    assert str(measure_spread([99.6, 99.4, 99.5])) == expected


def test_the_interval_contains_the_true_mean_in_95_of_100_experiments() -> None:
    generator = np.random.default_rng(2024)
    experiments = 3_000
    draws = generator.normal(99.42, 0.05, size=(experiments, 5))
    intervals = [measure_spread(values) for values in draws.tolist()]
    covered = sum(spread.low <= 99.42 <= spread.high for spread in intervals) / experiments
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize(
    ("passed", "n", "low", "high"),
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_rate_is_wilsons(passed: int, n: int, low: float, high: float) -> None:
    assert PassRate(passed, n).interval == pytest.approx((low, high), abs=5.1e-5)


@pytest.mark.parametrize("n", [1, 2, 7, 100, 10_000])
def test_the_interval_of_a_rate_is_that_of_scipy(n: int) -> None:
    """To the last bit: our formula saves the import of `scipy.stats`, which takes a second."""
    for passed in {0, 1, n // 3, n // 2, n - 1, n}:
        expected = stats.binomtest(passed, n).proportion_ci(method="wilson")
        assert PassRate(passed, n).interval == (expected.low, expected.high)


@pytest.mark.parametrize(
    ("n", "needed"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4), (6, 5), (7, 6), (9, 8), (10, 8), (15, 12), (20, 16)]
)
def test_four_seeds_in_five_must_meet_the_budget(n: int, needed: int) -> None:
    assert PassRate(0, n).needed == needed
    assert [PassRate(passed, n).met for passed in range(n + 1)] == [passed >= needed for passed in range(n + 1)]


def test_without_seeds_the_budget_is_not_met() -> None:
    assert not PassRate(0, 0).met


def test_a_pass_rate_reads_as_a_sentence() -> None:
    assert str(PassRate(0, 20)) == "0 of 20 seeds (95 % interval 0–16 %)"


@settings(max_examples=100, deadline=None)
@given(FIGURES)
def test_the_interval_of_one_further_seed_is_students_prediction_interval(values: list[float]) -> None:
    scale = float(np.std(values, ddof=1)) * math.sqrt(1 + 1 / len(values))
    if scale > 1e-6:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=scale)
        assert measure_spread(values).further == pytest.approx((low, high), rel=1e-6)


def test_the_prediction_interval_contains_one_further_seed_in_95_of_100_experiments() -> None:
    draws = np.random.default_rng(11).normal(99.42, 0.05, size=(3_000, 6))
    inside = 0
    for *seen, further in draws.tolist():
        low, high = measure_spread(seen).further
        inside += low <= further <= high
    assert 0.93 <= inside / len(draws) <= 0.97
