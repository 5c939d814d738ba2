"""What a change was worth: differences paired by seed, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drilldown.evaluation.intervals import MIN_SEEDS_FOR_INTERVAL, measure_spread

SIGNIFICANCE_LEVEL = 0.05
"""Of significance: what is left of 95 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A mean difference over the seeds that two experiments share."""

    n: int
    """Seeds in common."""
    mean: float
    low: float
    high: float
    """The 95 % interval of the mean difference, by Student's t over the pairs; not a number for a single pair."""
    p: float
    """Of the paired t-test, two-sided; not a number for a single pair."""

    @property
    def has_interval(self) -> bool:
        """Whether there are pairs enough to give one."""
        return self.n >= MIN_SEEDS_FOR_INTERVAL

    @property
    def ends(self) -> tuple[float, float]:
        """Of the interval; of fewer than three pairs, the difference itself."""
        return (self.low, self.high) if self.has_interval else (self.mean, self.mean)

    @property
    def measurable(self) -> bool:
        """Whether the interval leaves zero out; fewer than three pairs show nothing."""
        return self.has_interval and not self.low <= 0 <= self.high

    def text(self, digits: int) -> str:
        """The difference and its interval, with so many decimals.

        >>> paired_effect({0: 99.0, 1: 99.2, 2: 99.1}, {0: 99.5, 1: 99.7, 2: 99.6}).text(1)
        '+0.5 [+0.5, +0.5]'
        """
        if not self.has_interval:
            return f"{self.mean:+.{digits}f} ({'one seed' if self.n == 1 else f'{self.n} seeds'})"
        return f"{self.mean:+.{digits}f} [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"

    def verdict(self) -> str:
        """What it shows, in words."""
        if self.n == 1:
            return "an anecdote"
        if not self.has_interval:
            return "too few seeds to tell"
        return "measurable" if self.measurable else "no measurable effect"


def paired_effect(before: Mapping[int, float], after: Mapping[int, float]) -> Effect | None:
    """After minus before over the seeds that both have; None where they have none in common.

    >>> paired_effect({0: 98.0, 1: 98.5, 2: 99.0}, {1: 99.0, 2: 99.75, 3: 10.0}).mean
    0.625
    """
    seeds = sorted(before.keys() & after.keys())
    if not seeds:
        return None
    differences = measure_spread([after[seed] - before[seed] for seed in seeds])
    return Effect(
        n=differences.n,
        mean=differences.mean,
        low=differences.low,
        high=differences.high,
        p=_p_value(differences.mean, differences.deviation, differences.n),
    )


def holm_adjust(ps: Sequence[float]) -> list[float]:
    """P-values of several comparisons, adjusted so that all of them together err in one of twenty studies.

    *Source*: Holm, "A simple sequentially rejective multiple test procedure", 1979.

    >>> holm_adjust([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, reached = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        reached = max(reached, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = reached
    return adjusted


def _p_value(mean: float, deviation: float, n: int) -> float:
    if n == 1:
        return math.nan
    if not deviation:
        return 0.0 if mean else 1.0
    from scipy import stats

    return float(2 * stats.t.sf(abs(mean) / (deviation / math.sqrt(n)), n - 1))
