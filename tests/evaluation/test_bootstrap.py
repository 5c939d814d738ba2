"""Intervals of an accuracy by a bootstrap over writers, against SciPy's bootstrap and in simulated experiments."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from drilldown.data.writers import Writers
from drilldown.evaluation.bootstrap import (
    MIN_WRITERS,
    AccuracyInterval,
    accuracy_interval,
    bootstrap_interval,
    difference_interval,
)
from drilldown.evaluation.intervals import wilson_interval


def writers_of(ids: np.ndarray) -> Writers:
    return Writers(torch.from_numpy(ids), torch.zeros(len(ids), dtype=torch.int64))


def draw(seed: int, sizes: np.ndarray, error: float, alike: float) -> tuple[np.ndarray, torch.Tensor]:
    """The writer of each image, and whether it is read correctly.

    *Arguments*: `sizes`: the number of images of each writer. `error`: the mean error rate. `alike`: the smaller, the
    more writers differ.
    """
    rng = np.random.default_rng(seed)
    ids = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rates = rng.beta(error * alike, (1 - error) * alike, len(sizes))
    return ids, torch.from_numpy(rng.random(len(ids)) >= rates[ids])


def counts_of(ids: np.ndarray, correct: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    return np.bincount(ids, correct.numpy()), np.bincount(ids).astype(float)


def accuracy_of(right: np.ndarray, total: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(100 * right.sum(axis) / total.sum(axis))


@pytest.mark.parametrize(("writers", "error"), [(297, 0.006), (60, 0.05), (25, 0.3)])
def test_the_interval_agrees_with_scipys_bootstrap_of_writers(writers: int, error: float) -> None:
    ids, correct = draw(writers, np.random.default_rng(writers).integers(8, 60, writers), error, alike=30)
    found = accuracy_interval(correct, writers_of(ids))
    truth = stats.bootstrap(
        counts_of(ids, correct), accuracy_of, paired=True, n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.writers == writers
    # Both are random: the ends of two bootstraps with as many draws differ by about a hundredth of the width.
    assert (found.low, found.high) == pytest.approx((truth.low, truth.high), abs=0.04 * (truth.high - truth.low))


def test_the_interval_of_a_difference_agrees_with_scipys_bootstrap_over_all_writers() -> None:
    sizes = np.random.default_rng(3).integers(10, 40, 80)
    (first, first_correct), (second, second_correct) = draw(4, sizes[:50], 0.1, 20), draw(5, sizes[30:], 0.15, 20)
    second = second + 30  # 20 of the 80 writers have images on both sides
    found = difference_interval((first_correct, writers_of(first)), (second_correct, writers_of(second)))
    counts = [np.pad(part, (0, 80 - len(part))) for part in counts_of(first, first_correct)]
    counts += counts_of(second, second_correct)

    def difference(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, axis: int = -1) -> np.ndarray:
        return accuracy_of(c, d, axis) - accuracy_of(a, b, axis)

    truth = stats.bootstrap(
        counts, difference, paired=True, n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert found is not None
    assert found.writers == 80
    assert (found.low, found.high) == pytest.approx((truth.low, truth.high), abs=0.04 * (truth.high - truth.low))


def test_the_interval_contains_the_true_accuracy_in_95_of_100_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drilldown.evaluation.bootstrap.RESAMPLES", 1_000)
    experiments, sizes = 400, np.full(100, 30)
    by_writer = independent = 0
    for seed in range(experiments):
        ids, correct = draw(seed, sizes, error=0.05, alike=10)
        found = accuracy_interval(correct, writers_of(ids))
        by_writer += found.low <= 95 <= found.high
        low, high = wilson_interval(int(correct.sum()), len(correct))
        independent += low <= 0.95 <= high
    # 400 experiments with a probability of 0.95 give 0.925 to 0.975 with a probability of 0.98.
    assert 0.92 <= by_writer / experiments <= 0.98
    assert independent / experiments < 0.8, "writers differ, and an interval over images is too narrow"


def test_writers_without_an_effect_give_the_interval_of_independent_images() -> None:
    ids, correct = draw(1, np.full(500, 20), error=0.05, alike=1e6)
    found = accuracy_interval(correct, writers_of(ids))
    low, high = wilson_interval(int(correct.sum()), len(correct))
    assert (found.low, found.high) == pytest.approx((100 * low, 100 * high), abs=0.12 * (100 * high - 100 * low))


def test_the_same_predictions_have_the_same_interval() -> None:
    ids, correct = draw(2, np.full(50, 20), 0.1, 10)
    assert accuracy_interval(correct, writers_of(ids)) == accuracy_interval(correct, writers_of(ids))
    order = np.random.default_rng(0).permutation(len(ids))  # the order of the images does not matter
    assert accuracy_interval(correct[order], writers_of(ids[order])) == accuracy_interval(correct, writers_of(ids))


@pytest.mark.parametrize(
    ("ids", "correct"),
    [
        (np.arange(400) % (MIN_WRITERS - 1), torch.arange(400) % 7 > 0),
        (np.arange(400) // 10, torch.ones(400, dtype=torch.bool)),
        (np.arange(400) // 10, torch.zeros(400, dtype=torch.bool)),
    ],
    ids=["few writers", "no error", "only errors"],
)
def test_where_a_bootstrap_cannot_tell_the_interval_is_wilsons(ids: np.ndarray, correct: torch.Tensor) -> None:
    low, high = wilson_interval(int(correct.sum()), len(correct))
    wilson = AccuracyInterval(low=100 * low, high=100 * high, writers=None)
    assert accuracy_interval(correct, writers_of(ids)) == accuracy_interval(correct, None) == wilson
    assert str(wilson).endswith("(Wilson)")
    assert wilson.low < wilson.high


def test_a_difference_is_not_known_with_few_writers() -> None:
    ids, correct = draw(2, np.full(50, 20), 0.1, 10)
    few = writers_of(ids % (MIN_WRITERS - 1))
    assert difference_interval((correct, few), (correct, writers_of(ids))) is None
    assert difference_interval((correct, writers_of(ids)), (correct, few)) is None


def test_a_single_error_gives_an_interval_with_finite_ends() -> None:
    correct = torch.ones(1_000, dtype=torch.bool)
    correct[17] = False
    found = accuracy_interval(correct, writers_of(np.arange(1_000) // 20))
    assert 98 < found.low < 99.9 <= found.high <= 100


def test_a_statistic_that_does_not_vary_has_no_interval() -> None:
    assert bootstrap_interval(np.full((40, 2), 5.0), lambda sums: sums[..., 0] / sums[..., 1]) is None
