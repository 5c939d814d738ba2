"""Effects, which are differences paired by seed, agree with SciPy and with their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from drilldown.evaluation.effects import holm_adjust, paired_effect

SEEDS = st.dictionaries(st.integers(0, 20), st.floats(90, 100), max_size=12)


@settings(max_examples=150, deadline=None)
@given(SEEDS, SEEDS)
def test_an_effect_agrees_with_scipys_paired_t_test(before: dict[int, float], after: dict[int, float]) -> None:
    common = sorted(before.keys() & after.keys())
    effect = paired_effect(before, after)
    if not common:
        assert effect is None
        return
    assert effect is not None
    differences = [after[seed] - before[seed] for seed in common]
    assert effect.n == len(common)
    assert effect.mean == pytest.approx(np.mean(differences), rel=1e-9, abs=1e-9)
    if len(common) == 1:
        assert math.isnan(effect.low)
        assert math.isnan(effect.p)
        assert not effect.measurable
    elif np.std(differences) > 1e-6:
        test = stats.ttest_rel([after[seed] for seed in common], [before[seed] for seed in common])
        low, high = test.confidence_interval(0.95)
        assert (effect.low, effect.high) == pytest.approx((low, high), rel=1e-6, abs=1e-9)
        assert effect.p == pytest.approx(test.pvalue, rel=1e-6, abs=1e-12)
        if abs(test.pvalue - 0.05) > 1e-6:
            assert effect.measurable is bool(len(common) > 2 and test.pvalue < 0.05)


def test_equal_differences_have_an_interval_of_no_width() -> None:
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
    # The differences of two seeds are often equal to the image; two seeds are still too few to show an effect.
    assert (two.text(2), two.verdict(), two.measurable) == ("+0.50 (2 seeds)", "too few seeds to tell", False)
    assert (one.text(2), one.verdict()) == ("+0.25 (one seed)", "an anecdote")
    assert none.verdict() == "no measurable effect"


def test_without_a_difference_5_of_100_experiments_show_an_effect() -> None:
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
def test_holm_rejects_the_same_as_stepping_down(ps: list[float], level: float) -> None:
    adjusted = holm_adjust(ps)
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    rejected = set()
    for rank, index in enumerate(order):  # Holm, 1979: stop at the first p-value that is not small enough
        if (len(ps) - rank) * ps[index] > level:
            break
        rejected.add(index)
    assert {index for index, p in enumerate(adjusted) if p <= level} == rejected
