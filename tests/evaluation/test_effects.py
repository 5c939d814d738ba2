"""Differences paired by seed, against SciPy and against their own definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from drilldown.evaluation.effects import holm_adjust, paired_effect
from drilldown.evaluation.intervals import measure_spread

SEEDS = st.dictionaries(st.integers(0, 20), st.floats(90, 100), max_size=12)


@settings(max_examples=150, deadline=None)
@given(SEEDS, SEEDS)
def test_an_effect_is_what_scipys_paired_t_test_says(before: dict[int, float], after: dict[int, float]) -> None:
    common = sorted(before.keys() & after.keys())
    found = paired_effect(before, after)
    if not common:
        assert found is None
        return
    assert found is not None
    differences = [after[seed] - before[seed] for seed in common]
    assert found.n == len(common)
    assert found.mean == pytest.approx(np.mean(differences), rel=1e-9, abs=1e-9)
    if len(common) == 1:
        assert math.isnan(found.low)
        assert math.isnan(found.p)
        assert not found.measurable
    elif np.std(differences) > 1e-6:
        asked = stats.ttest_rel([after[seed] for seed in common], [before[seed] for seed in common])
        low, high = asked.confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-9)
        assert found.p == pytest.approx(asked.pvalue, rel=1e-6, abs=1e-12)
        if abs(asked.pvalue - 0.05) > 1e-6:
            assert found.measurable is bool(len(common) > 2 and asked.pvalue < 0.05)


def test_equal_differences_leave_no_doubt_and_no_difference_is_none() -> None:
    always = paired_effect({0: 1.0, 1: 2.0, 2: 3.0}, {0: 1.5, 1: 2.5, 2: 3.5})
    never = paired_effect({0: 1.0, 1: 2.0, 2: 3.0}, {0: 1.0, 1: 2.0, 2: 3.0})
    assert always is not None
    assert never is not None
    assert (always.p, always.measurable) == (0.0, True)
    assert (never.p, never.measurable) == (1.0, False)


def test_an_effect_in_words() -> None:
    one, two = paired_effect({3: 99.0}, {3: 99.25}), paired_effect({0: 1.0, 1: 2.0}, {0: 1.5, 1: 2.5})
    none = paired_effect({0: 1.0, 1: 2.0, 2: 3.0}, {0: 1.5, 1: 1.5, 2: 3.0})
    assert one is not None
    assert two is not None
    assert none is not None
    # Two seeds often agree to the image, which would leave no doubt; they show nothing.
    assert (two.text(2), two.verdict(), two.measurable) == ("+0.50 (2 seeds)", "too few seeds to tell", False)
    assert (one.text(2), one.verdict()) == ("+0.25 (one seed)", "an anecdote")
    assert none.verdict() == "no measurable effect"


def test_where_nothing_differs_an_effect_is_shown_in_5_of_100_experiments() -> None:
    generator = np.random.default_rng(7)
    experiments = 2_000
    shown = 0
    for before, after in generator.normal(99.4, 0.05, size=(experiments, 2, 5)).tolist():
        effect = paired_effect(dict(enumerate(before)), dict(enumerate(after)))
        assert effect is not None
        shown += effect.measurable
    assert 0.035 <= shown / experiments <= 0.065


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.001, 0.999))
def test_holm_rejects_what_stepping_down_rejects(ps: list[float], level: float) -> None:
    adjusted = holm_adjust(ps)
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    rejected = set()
    for rank, index in enumerate(order):  # Holm, 1979: stop at the first that is not small enough
        if (len(ps) - rank) * ps[index] > level:
            break
        rejected.add(index)
    assert {index for index, p in enumerate(adjusted) if p <= level} == rejected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(90, 100), min_size=2, max_size=12))
def test_where_one_further_seed_falls_is_students_prediction_interval(values: list[float]) -> None:
    scale = float(np.std(values, ddof=1)) * math.sqrt(1 + 1 / len(values))
    if scale > 1e-6:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=scale)
        assert measure_spread(values).further == pytest.approx((low, high), rel=1e-6)


def test_one_further_seed_falls_there_in_95_of_100_experiments() -> None:
    draws = np.random.default_rng(11).normal(99.42, 0.05, size=(3_000, 6))
    inside = 0
    for *seen, further in draws.tolist():
        low, high = measure_spread(seen).further
        inside += low <= further <= high
    assert 0.93 <= inside / len(draws) <= 0.97
