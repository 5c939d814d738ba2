"""Effects: differences between two experiments, paired by seed, with intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drilldown.evaluation.intervals import MIN_SEEDS_FOR_INTERVAL

SIGNIFICANCE_LEVEL = 0.05
"""Of the paired tests, and with it the 95 % of the intervals."""
NEGLIGIBLE = 1e-9
"""A standard deviation of differences below this is rounding: all pairs differ by the same amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A mean difference over the seeds that two experiments share."""

    n: int
    """The number of shared seeds."""
    mean: float
    low: float
    high: float
    """The 95 % interval of the mean difference, by Student's t over the pairs; NaN for a single pair."""
    p: float
    """The p-value of the paired t-test, two-sided; NaN for a single pair."""

    @property
    def has_interval(self) -> bool:
        """Whether there are enough pairs for an interval."""
        return self.n >= MIN_SEEDS_FOR_INTERVAL

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the interval; for fewer than three pairs, twice the mean difference."""
        return (self.low, self.high) if self.has_interval else (self.mean, self.mean)

    @property
    def measurable(self) -> bool:
        """Whether the interval excludes zero; fewer than three pairs show nothing."""
        return self.has_interval and not self.low <= 0 <= self.high

    def text(self, digits: int) -> str:
        """The difference and its interval, with this number of decimals.

        >>> paired_effect({0: 99.0, 1: 99.2, 2: 99.1}, {0: 99.5, 1: 99.7, 2: 99.6}).text(1)
        '+0.5 [+0.5, +0.5]'
        """
        if not self.has_interval:
            return f"{self.mean:+.{digits}f} ({'one seed' if self.n == 1 else f'{self.n} seeds'})"
        return f"{self.mean:+.{digits}f} [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"

    def verdict(self) -> str:
        """The conclusion, in words."""
        if self.n == 1:
            return "an anecdote"
        if not self.has_interval:
            return "too few seeds to tell"
        return "measurable" if self.measurable else "no measurable effect"


def paired_effect(before: Mapping[int, float], after: Mapping[int, float]) -> Effect | None:
    """The difference after − before over the seeds that both have; None where they share no seed.

    *Arguments*: a figure by seed, of each experiment.

    >>> paired_effect({0: 98.0, 1: 98.5, 2: 99.0}, {1: 99.0, 2: 99.75, 3: 10.0}).mean
    0.625
    """
    seeds = sorted(before.keys() & after.keys())
    if not seeds:
        return None
    differences = [after[seed] - before[seed] for seed in seeds]
    n, mean = len(seeds), math.fsum(differences) / len(seeds)
    if n == 1:
        return Effect(n=n, mean=mean, low=math.nan, high=math.nan, p=math.nan)
    if statistics.stdev(differences) < NEGLIGIBLE:  # the test would divide by it
        return Effect(n=n, mean=mean, low=mean, high=mean, p=0.0 if abs(mean) > NEGLIGIBLE else 1.0)
    from scipy import stats  # takes a second to import, and a single run does not need it

    test = stats.ttest_rel([after[seed] for seed in seeds], [before[seed] for seed in seeds])
    interval = test.confidence_interval(1 - SIGNIFICANCE_LEVEL)
    return Effect(n=n, mean=mean, low=float(interval.low), high=float(interval.high), p=float(test.pvalue))


def holm_adjust(ps: Sequence[float]) -> list[float]:
    """Adjusts the p-values of several tests, so that all tests together keep the significance level.

    *Source*: Holm, "A simple sequentially rejective multiple test procedure", 1979. SciPy has no Holm adjustment.

    >>> holm_adjust([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, reached = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        reached = max(reached, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = reached
    return adjusted
