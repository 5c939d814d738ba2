"""The interval of an accuracy by a bootstrap over writers.

Images by one writer are alike: a network that misreads one of them often misreads others. An interval that takes all
images as independent is then too narrow. So whole writers are drawn, with replacement, and all their images with them.

*Source*: Efron, "Better Bootstrap Confidence Intervals", 1987 (the BCa interval); Davison and Hinkley, "Bootstrap
Methods and their Application", 1997, section 3.8 (groups that are drawn whole).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import torch

from drilldown.data.writers import Writers
from drilldown.evaluation.intervals import wilson_interval
from drilldown.randomness import stream_seed
from drilldown.wording import count_text

RESAMPLES = 10_000
"""The number of draws; with as many, the ends of the interval vary by about a hundredth of its width."""
MIN_WRITERS = 20
"""With fewer writers the bootstrap says too little about others, and Wilson's interval is given."""
_TAILS = (0.025, 0.975)
_NORMAL = NormalDist()
Counts = npt.NDArray[np.float64]
"""Counts of each writer, (writers, columns)."""
Statistic = Callable[[Counts], Counts]
"""A function of sums of counts over writers, (…, columns), that returns figures, (…)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyInterval:
    """The 95 % interval of an accuracy, or of the difference of two.

    >>> print(AccuracyInterval(low=99.31, high=99.604, writers=297))
    99.31 to 99.60 % (bootstrap over 297 writers)
    """

    low: float
    """In percent; of a difference, in points."""
    high: float
    writers: int | None
    """The number of writers that were drawn from; None for Wilson's interval, which takes images as independent."""

    @property
    def method(self) -> str:
        """The method in words."""
        return "Wilson" if self.writers is None else f"bootstrap over {count_text(self.writers, 'writer')}"

    def __str__(self) -> str:
        return f"{self.low:.2f} to {self.high:.2f} % ({self.method})"


def accuracy_interval(correct: torch.Tensor, writers: Writers | None) -> AccuracyInterval:
    """Returns the 95 % interval of an accuracy: over writers, or Wilson's where the bootstrap cannot tell.

    This is so where the writers are not known or fewer than 20, and where all writers have the same accuracy.

    *Arguments*: `correct`: (N), bool: whether the prediction of each image is correct. `writers`: of the same images.

    >>> correct = torch.arange(1000) % 10 > 0
    >>> ids = torch.arange(1000) // 20  # 50 writers with 20 images and 2 errors each: nothing varies
    >>> accuracy_interval(correct, Writers(ids, torch.zeros(1000))).method
    'Wilson'
    """
    if writers is not None:
        ids, inverse = np.unique(writers.ids.numpy(), return_inverse=True)
        ends = bootstrap_interval(_count(correct, inverse, len(ids)), _accuracy) if len(ids) >= MIN_WRITERS else None
        if ends is not None:
            return AccuracyInterval(low=ends[0], high=ends[1], writers=len(ids))
    return independent_interval(int(correct.sum()), len(correct))


def independent_interval(correct: int, total: int) -> AccuracyInterval:
    """Returns Wilson's interval of an accuracy, which takes all images as independent.

    >>> print(independent_interval(9_940, 10_000))
    99.23 to 99.53 % (Wilson)
    """
    low, high = wilson_interval(correct, total)
    return AccuracyInterval(low=100 * low, high=100 * high, writers=None)


def difference_interval(
    before: tuple[torch.Tensor, Writers], after: tuple[torch.Tensor, Writers]
) -> AccuracyInterval | None:
    """Returns the 95 % interval of the accuracy on other images minus that on the first; None where it is not known.

    Writers may have images on both sides. A writer is drawn with all images of both.

    *Arguments*: `before`, `after`: the arguments of `accuracy_interval`, for each of the two sets of images.
    """
    sides = (before, after)
    if min(len(np.unique(writers.ids.numpy())) for _, writers in sides) < MIN_WRITERS:
        return None
    ids, inverse = np.unique(np.concatenate([writers.ids.numpy() for _, writers in sides]), return_inverse=True)
    parts = np.split(inverse, [len(before[0])])
    counts = [_count(correct, part, len(ids)) for (correct, _), part in zip(sides, parts, strict=True)]
    ends = bootstrap_interval(np.hstack(counts), lambda sums: _accuracy(sums[..., 2:]) - _accuracy(sums[..., :2]))
    return None if ends is None else AccuracyInterval(low=ends[0], high=ends[1], writers=len(ids))


def bootstrap_interval(counts: Counts, statistic: Statistic) -> tuple[float, float] | None:
    """Returns the ends of the 95 % BCa interval of a statistic of sums over writers; None where it does not vary.

    *Arguments*: `counts`: (writers, columns). `statistic`: see `Statistic`.
    """
    total = counts.sum(0)
    found = float(statistic(total))
    without_one = statistic(total - counts)
    skewed = without_one.mean() - without_one
    spread = float((skewed**2).sum())
    if spread < 1e-18 * len(counts):
        return None
    acceleration = float((skewed**3).sum()) / (6 * spread**1.5)
    generator = np.random.default_rng(stream_seed(0, "writers"))
    chosen = generator.integers(len(counts), size=(RESAMPLES, len(counts)), dtype=np.int32).astype(np.intp)
    # Sums of counts below 2**24 are exact in float32, which is twice as fast.
    drawn = np.stack([column.take(chosen).sum(1) for column in counts.T.astype(np.float32)], axis=-1)
    figures = statistic(drawn.astype(np.float64))
    below = (float((figures < found).mean()) + float((figures <= found).mean())) / 2
    bias = _NORMAL.inv_cdf(min(max(below, 0.5 / RESAMPLES), 1 - 0.5 / RESAMPLES))
    shifted = [bias + _NORMAL.inv_cdf(tail) for tail in _TAILS]
    levels = [_NORMAL.cdf(bias + shift / (1 - acceleration * shift)) for shift in shifted]
    low, high = np.quantile(figures, levels)
    return float(low), float(high)


def _count(correct: torch.Tensor, writer: npt.NDArray[np.intp], writers: int) -> Counts:
    """Counts the correct images and all images of each writer, (writers, 2)."""
    right = np.bincount(writer, weights=correct.double().numpy(), minlength=writers)
    return np.stack([right, np.bincount(writer, minlength=writers)], 1)


def _accuracy(sums: Counts) -> Counts:
    """The accuracy in percent of the correct images and of all images, (…, 2)."""
    accuracy: Counts = 100 * sums[..., 0] / sums[..., 1]
    return accuracy
