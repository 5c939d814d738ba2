"""Figures over seeds: means with intervals, and pass rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

SHARE_OF_SEEDS = Fraction(4, 5)
"""Of an experiment's seeds, how many must meet the budget for the experiment to meet it."""
MIN_SEEDS_FOR_INTERVAL = 3
"""Accuracies are counts, and two of them are often equal: their interval is then empty, and else a dozen times as
wide as they are apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A figure over seeds."""

    n: int
    mean: float
    median: float
    deviation: float
    """Sample standard deviation; not a number for a single seed."""
    low: float
    high: float
    """The 95 % interval of the mean, by Student's t: over seeds, on this test set."""

    @property
    def has_interval(self) -> bool:
        """Whether there are seeds enough to give one."""
        return self.n >= MIN_SEEDS_FOR_INTERVAL

    @property
    def ends(self) -> tuple[float, float]:
        """Of the interval; of fewer than three seeds, the mean itself.

        >>> measure_spread([99.5]).ends
        (99.5, 99.5)
        """
        return (self.low, self.high) if self.has_interval else (self.mean, self.mean)

    @property
    def further(self) -> tuple[float, float]:
        """The 95 % prediction interval: where one further seed would fall (Student's t); not numbers for one seed."""
        half = (self.high - self.mean) * math.sqrt(self.n + 1)  # t·s·√(1 + 1/n), from t·s/√n
        return self.mean - half, self.mean + half

    def text(self, digits: int) -> str:
        """Mean and half of its interval, with so many decimals; of fewer than three seeds the mean alone.

        >>> measure_spread([99.4, 99.6]).text(2), measure_spread([99.4, 99.5, 99.6]).text(2)
        ('99.50', '99.50 ± 0.25')
        """
        half = f" ± {self.high - self.mean:.{digits}f}" if self.has_interval else ""
        return f"{self.mean:.{digits}f}{half}"

    def __str__(self) -> str:
        if self.n == 1:
            return f"{self.mean:.2f} (one seed: an anecdote)"
        if not self.has_interval:
            return f"{self.mean:.3f} (n = {self.n}, too few for an interval)"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] (n = {self.n}, 95 % t interval over seeds)"


def measure_spread(values: Sequence[float]) -> Spread:
    """Mean, spread and interval of a figure over seeds.

    >>> measure_spread([99.4, 99.5, 99.6]).mean
    99.5
    """
    ordered = sorted(values)
    n = len(ordered)
    mean = math.fsum(ordered) / n
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in ordered) / (n - 1)) if n > 1 else math.nan
    from scipy import stats  # takes a second to load, and a single run needs none of it

    half = float(stats.t.ppf(0.975, n - 1)) * deviation / math.sqrt(n) if n > 1 else math.nan
    return Spread(
        n=n,
        mean=mean,
        median=(ordered[(n - 1) // 2] + ordered[n // 2]) / 2,
        deviation=deviation,
        low=mean - half,
        high=mean + half,
    )


@dataclass(frozen=True, slots=True)
class PassRate:
    """How many of an experiment's seeds met the budget; one that diverged did not."""

    passed: int
    n: int

    @property
    def needed(self) -> int:
        """How many must, for the experiment to meet its budget."""
        return math.ceil(SHARE_OF_SEEDS * self.n)

    @property
    def met(self) -> bool:
        """Whether enough did."""
        return self.n > 0 and self.passed >= self.needed

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the rate (Wilson, 1927)."""
        from scipy import stats

        found = stats.binomtest(self.passed, self.n).proportion_ci(method="wilson")
        return float(found.low), float(found.high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.passed} of {self.n} seeds (95 % interval {100 * low:.0f}–{100 * high:.0f} %)"
