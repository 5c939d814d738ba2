"""Figures over seeds: means with intervals, and pass rates."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from drilldown.wording import count_text

SHARE_OF_SEEDS = Fraction(4, 5)
"""The share of its seeds that must meet the budget, for an experiment to meet it."""
MIN_SEEDS_FOR_INTERVAL = 3
"""Accuracies are counts, and two of them are often equal: the interval of two seeds is empty, or a dozen times as wide
as their difference."""
NORMAL_QUANTILE = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution, for 95 % intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The mean of a figure over seeds, with its interval."""

    n: int
    """The number of seeds."""
    mean: float
    median: float
    deviation: float
    """The sample standard deviation; NaN for a single seed."""
    low: float
    high: float
    """The 95 % interval of the mean, by Student's t: over seeds, on this test set; NaN for a single seed."""

    @property
    def has_interval(self) -> bool:
        """Whether there are enough seeds for an interval."""
        return self.n >= MIN_SEEDS_FOR_INTERVAL

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the interval; for fewer than three seeds, twice the mean.

        >>> measure_spread([99.5]).ends
        (99.5, 99.5)
        """
        return (self.low, self.high) if self.has_interval else (self.mean, self.mean)

    @property
    def further(self) -> tuple[float, float]:
        """The 95 % prediction interval of one further seed, by Student's t; NaN for a single seed."""
        half = (self.high - self.mean) * math.sqrt(self.n + 1)  # t·s·√(1 + 1/n), from t·s/√n
        return self.mean - half, self.mean + half

    def text(self, digits: int) -> str:
        """Mean ± half of the interval, with this number of decimals; for fewer than three seeds the mean alone.

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
    """Mean, standard deviation and interval of a figure over seeds.

    >>> measure_spread([99.4, 99.5, 99.6]).mean
    99.5
    """
    n = len(values)
    mean = math.fsum(values) / n
    deviation = statistics.stdev(values) if n > 1 else math.nan
    low = high = mean if n > 1 else math.nan
    if n > 1 and deviation:
        from scipy import stats  # takes a second to import, and a single run does not need it

        low, high = map(float, stats.t.interval(0.95, n - 1, loc=mean, scale=deviation / math.sqrt(n)))
    return Spread(n=n, mean=mean, median=statistics.median(values), deviation=deviation, low=low, high=high)


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share of independent cases (Wilson, 1927), as two numbers from 0 to 1."""
    share, square = count / total, NORMAL_QUANTILE**2
    double = 2 * (total + square)
    centre = (2 * total * share + square) / double
    half = NORMAL_QUANTILE / double * math.sqrt(4 * total * share * (1 - share) + square)
    return (centre - half if count else 0.0), (centre + half if count < total else 1.0)


@dataclass(frozen=True, slots=True)
class PassRate:
    """The number of seeds that met the budget; a seed that diverged did not."""

    passed: int
    n: int

    @property
    def share(self) -> Fraction:
        """The share of seeds that met the budget, exactly; there must be seeds."""
        return Fraction(self.passed, self.n)

    @property
    def needed(self) -> int:
        """The number of seeds that must pass, for the experiment to meet its budget."""
        return math.ceil(SHARE_OF_SEEDS * self.n)

    @property
    def met(self) -> bool:
        """Whether enough seeds passed."""
        return self.n > 0 and self.passed >= self.needed

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the rate (Wilson, 1927)."""
        return wilson_interval(self.passed, self.n)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.passed} of {count_text(self.n, 'seed')} (95 % interval {100 * low:.0f}–{100 * high:.0f} %)"
