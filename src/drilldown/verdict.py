"""The budget, line by line, against a run; and over seeds, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from drilldown.experiment import Budget
from drilldown.records import Epoch

SHARE_OF_SEEDS = Fraction(4, 5)
"""Of an experiment's seeds, how many must meet the budget for the experiment to meet it."""
SEEDS_OF_AN_INTERVAL = 3
"""Accuracies are counts, and two of them are often equal: their interval is then empty, and else a dozen times as
wide as they are apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a budget against what was found."""

    name: str
    limit: str
    """What the budget asks for, in words."""
    found: str
    met: bool
    by: str
    """How far on the right or wrong side, in words."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A budget against a finished run."""

    lines: tuple[Line, ...]
    split: str
    """What accuracy was measured on: `test` or `validation`."""

    @property
    def passed(self) -> bool:
        """Whether every line is met."""
        return all(line.met for line in self.lines)

    def __str__(self) -> str:
        from drilldown import display

        return display.text(display.print_verdict, self)

    def _repr_html_(self) -> str:
        from drilldown import notebook

        return notebook.verdict(self)

    def to_json(self) -> dict[str, Any]:
        """As `summary.json` has it: each line by its name."""
        lines = {
            line.name: {"limit": line.limit, "found": line.found, "met": line.met, "by": line.by} for line in self.lines
        }
        return {**lines, "passed": self.passed, "split": self.split}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Verdict:
        """What `to_json` wrote."""
        lines = [Line(name=name, **value) for name, value in said.items() if isinstance(value, dict)]
        return cls(tuple(lines), said["split"])


def judge(budget: Budget, parameters: int, epochs: Sequence[Epoch]) -> Verdict:
    """The verdict on a run whose epochs are all there.

    Accuracy is compared as counts, exactly: 9,940 of 10,000 meets 99.4 %, 9,939 does not.
    """
    lines = []
    if budget.parameters is not None:
        lines.append(_at_most("parameters", budget.parameters, parameters))
    if budget.epochs is not None:
        lines.append(_at_most("epochs", budget.epochs, len(epochs)))
    if budget.accuracy is not None:
        lines.append(_accuracy(Decimal(str(budget.accuracy)), budget.hold, epochs))
    return Verdict(tuple(lines), "validation" if epochs and epochs[0].held_out else "test")


def meets(epoch: Epoch, bar: float | None) -> bool:
    """Whether one epoch's accuracy reaches a bar in percent; no bar is reached by all."""
    return bar is None or epoch.test.accuracy >= Fraction(Decimal(str(bar)))


def epochs_in_words(count: int) -> str:
    """So many of them.

    >>> epochs_in_words(1), epochs_in_words(15)
    ('1 epoch', '15 epochs')
    """
    return f"{count} epoch{'' if count == 1 else 's'}"


def _at_most(name: str, limit: int, found: int) -> Line:
    met = found <= limit
    return Line(
        name=name,
        limit=f"at most {limit:,}",
        found=f"{found:,}",
        met=met,
        by=f"{limit - found:,} to spare" if met else f"{found - limit:,} too many",
    )


def _accuracy(bar: Decimal, hold: int, epochs: Sequence[Epoch]) -> Line:
    limit = f"{bar} % in each of the last {hold} epochs" if hold > 1 else f"{bar} % in the last epoch"
    last = epochs[-hold:]
    if len(last) < hold:
        found = f"{len(last)} of {epochs_in_words(hold)}"
        return Line(name="accuracy", limit=limit, found=found, met=False, by="too few to judge")
    worst = min((epoch.test for epoch in last), key=lambda tally: tally.accuracy)
    needed = math.ceil(Fraction(bar) * worst.total / 100)
    spare = worst.correct - needed
    below = sum(epoch.test.accuracy < Fraction(bar) for epoch in last)
    images = "image" if abs(spare) == 1 else "images"
    by = f"{spare} {images} to spare" if spare >= 0 else f"{-spare} {images} short, {below} of {hold} epochs below"
    rounded_down = math.floor(100 * worst.accuracy) / 100  # a count below the bar must not read as if it met it
    found = f"at least {rounded_down:.2f} % ({worst.correct:,} of {worst.total:,})"
    return Line(name="accuracy", limit=limit, found=found, met=below == 0, by=by)


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
        return self.n >= SEEDS_OF_AN_INTERVAL

    @property
    def ends(self) -> tuple[float, float]:
        """Of the interval; of fewer than three seeds, the mean itself.

        >>> spread([99.5]).ends
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

        >>> spread([99.4, 99.6]).text(2), spread([99.4, 99.5, 99.6]).text(2)
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


def spread(values: Sequence[float]) -> Spread:
    """Mean, spread and interval of a figure over seeds.

    >>> spread([99.4, 99.5, 99.6]).mean
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
