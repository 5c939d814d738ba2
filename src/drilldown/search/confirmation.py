"""The confirmation: is the winner's pass rate good enough, measured on fresh seeds?

The winner of a race is the best of many, so its own seeds flatter it. Fresh seeds do not. They are trained one after
another until the decision is clear (sequential probability ratio test; Wald, "Sequential tests of statistical
hypotheses", 1945). With the default settings a candidate with a true pass rate of 0.9 needs about 12 seeds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from drilldown.evaluation.effects import NEGLIGIBLE
from drilldown.evaluation.intervals import Spread, measure_spread

ALPHA = 0.05
"""The probability, in a whole search, of accepting any candidate whose pass rate is too low."""
BETA = 0.05
"""The probability of the decision "rejected" for a good candidate, before the number of seeds is limited."""
FIRST_FRESH_SEED = 100
"""The first seed of the first confirmation: no race uses it, and few people train 100 seeds by hand."""

Decision = Literal["accepted", "rejected", "undecided"]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A sequential test of a pass rate, with a limit to the number of seeds.

    It compares two pass rates: *too low* has twice the failures of `rate`, *good* has half of them. For a rate of 0.8
    they are 0.6 and 0.9. A candidate whose rate is too low is accepted with probability `alpha` at most. This is exact:
    the bound for acceptance is the lowest one for which the probability, summed over all paths of passes and failures,
    is not above `alpha`. Wald's bound ignores the limit to the seeds and the whole numbers. With 20 seeds and an alpha
    of 0.05, it accepts 81 % of the candidates with a rate of 0.9 instead of 90 %. Between the two rates, any decision
    may come.

    - *accepted*: the passes are enough.
    - *rejected*: the evidence is for the rate that is too low.
    - *undecided*: neither, but not enough seeds remain for an acceptance. It is not confirmed.

    Raises ValueError for settings outside their limits.

    >>> test = Confirmation(rate=0.8, most=20, alpha=0.05)
    >>> test.passes_needed
    (7, 11, 14, 17)
    >>> test.decide([True] * 6), test.decide([True] * 7), test.decide([False, False, False])
    (None, 'accepted', 'rejected')
    """

    rate: float = 0.8
    """The pass rate that the winner should have; above 0.5 and below 1."""
    most: int = 20
    """The largest number of seeds, 1 or more."""
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        if not (0.5 < self.rate < 1 and self.most >= 1 and 0 < self.alpha < 1):
            raise ValueError(f"found {self}, expected 0.5 < rate < 1, most ≥ 1 and 0 < alpha < 1")

    @property
    def too_low(self) -> float:
        """The pass rate with twice the failures."""
        return 1 - 2 * (1 - self.rate)

    @property
    def good(self) -> float:
        """The pass rate with half the failures."""
        return 1 - (1 - self.rate) / 2

    @property
    def passes_needed(self) -> tuple[int, ...]:
        """The number of passes that are accepted with no failure, with one, with two, …

        With more failures than the list has, no candidate is accepted. The list is empty where `most` seeds are too few
        even if all pass.
        """
        return _passes_needed(self.rate, self.most, self.alpha)

    def decide(self, passes: Sequence[bool]) -> Decision | None:
        """The decision after these seeds; None where more are needed.

        *Arguments*: `passes`: whether each seed met the budget, *in the order of the seeds*, up to the first seed that
        has no result (see `in_seed_order`). The order in which trainings end must not matter: a training that
        diverges may end early, so the first results to arrive are not a fair sample. Results after the decision
        change nothing.
        """
        passed = failed = 0
        if not self.passes_needed:
            return "undecided"
        for seed_passed in passes:
            passed, failed = passed + seed_passed, failed + (not seed_passed)
            if decision := self._decision(passed, failed):
                return decision
        return None

    def least_left(self, passes: Sequence[bool]) -> int:
        """The number of further seeds that any decision needs: training them at the same time wastes none.

        >>> Confirmation(alpha=0.05).least_left([]), Confirmation(alpha=0.05).least_left([True, True, True, True])
        (3, 3)
        """
        if self.decide(passes):
            return 0
        passed = sum(passes)
        failed = len(passes) - passed
        # All passing is the fastest way to an acceptance, all failing to another decision.
        failures = next(n for n in range(1, self.most + 1) if self._decision(passed, failed + n))
        return min(self.passes_needed[failed] - passed, failures)

    def chances(self, true_rate: float) -> Chances:
        """The exact probability of each decision, and the expected number of seeds, for a true pass rate.

        >>> print(Confirmation(alpha=0.05).chances(0.9))
        accepted 90 %, rejected 2 %, undecided 9 %; 10.9 seeds on average, 10.5 where accepted
        """
        if not 0 <= true_rate <= 1:
            raise ValueError(f"found a rate of {true_rate}, expected 0 to 1")
        return _chances(self.rate, self.most, self.alpha, self.passes_needed, true_rate)

    def _decision(self, passed: int, failed: int) -> Decision | None:
        return _decision(self.rate, self.alpha, self.passes_needed, passed, failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """What to expect of a confirmation, for one true pass rate."""

    accepted: float
    rejected: float
    undecided: float
    """The probabilities of the three decisions; they sum to 1."""
    seeds: float
    """The expected number of seeds until the decision."""
    seeds_accepted: float
    """The expected number of seeds where the decision is "accepted"; NaN where it cannot be."""

    def __str__(self) -> str:
        where_accepted = f", {self.seeds_accepted:.1f} where accepted" if self.accepted else ""
        return (
            f"accepted {100 * self.accepted:.0f} %, rejected {100 * self.rejected:.0f} %, "
            f"undecided {100 * self.undecided:.0f} %; {self.seeds:.1f} seeds on average{where_accepted}"
        )


def level(alpha: float, failures: int) -> float:
    """The α of the next confirmation, after this number of confirmations that did not accept: α/2, α/4, α/8, …

    One search may confirm several candidates. With these levels, the probability that it accepts *any* candidate
    whose pass rate is too low stays below `alpha`, for any number of confirmations. An accepted candidate
    costs nothing: the next one is tested at the same level. The reason: look at the tests between two failures. The
    first bad candidate among them is either accepted, with probability α_f at most, or it is the failure that ends
    this stretch. So each stretch adds α_f at most, and the α_f sum to α.

    This is testing in a fixed sequence, which continues after failures on the rest of α (Wiens, "A fixed sequence
    Bonferroni procedure for testing multiple endpoints", 2003). The levels are those of Qiu, Guo and Lynch, "On
    generalized fixed sequence procedures for controlling the FWER", 2015, with β = ½. Here results decide which
    candidate is tested next. The argument allows that because each confirmation has seeds of its own (`fresh_seeds`):
    after any earlier results, a bad candidate is accepted with probability α_f at most.

    >>> level(0.05, 0), level(0.05, 1), sum(level(0.05, failures) for failures in range(50)) <= 0.05
    (0.025, 0.0125, True)
    """
    return alpha * 0.5 ** (failures + 1)


def fresh_seeds(number: int, most: int) -> range:
    """The seeds of a search's confirmation `number`, from 0; no other confirmation and no race has any of them.

    >>> fresh_seeds(0, 20), fresh_seeds(1, 20)
    (range(100, 120), range(120, 140))
    """
    first = FIRST_FRESH_SEED + number * most
    return range(first, first + most)


def in_seed_order(results: Mapping[int, bool], seeds: Sequence[int]) -> list[bool]:
    """The results in the order of the seeds, up to the first seed without one.

    >>> in_seed_order({100: True, 101: False, 103: True}, fresh_seeds(0, 20))
    [True, False]
    """
    ordered = []
    for seed in seeds:
        if seed not in results:
            break
        ordered.append(results[seed])
    return ordered


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrinkage:
    """A winner's figure on the seeds of its race, which chose it, and on fresh seeds, which did not."""

    race: Spread
    fresh: Spread
    low: float
    high: float
    """The 95 % interval of the difference (Welch's t); NaN where either side has fewer than three seeds.

    It treats the race's seeds as a fair sample, and they are not: it describes the gap, it does not test it."""

    @property
    def difference(self) -> float:
        """The mean on fresh seeds minus the mean in the race."""
        return self.fresh.mean - self.race.mean

    def text(self, digits: int) -> str:
        """Both means and their difference, with this number of decimals.

        >>> measure_shrinkage([99.50, 99.48, 99.49], [99.45, 99.44, 99.46, 99.45]).text(2)
        '99.45 ± 0.01 on 4 fresh seeds, 99.49 ± 0.02 on the 3 seeds of the race: difference -0.04 [-0.06, -0.02]'
        """
        interval = "" if math.isnan(self.low) else f" [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"
        return (
            f"{self.fresh.text(digits)} on {self.fresh.n} fresh seed{'' if self.fresh.n == 1 else 's'}, "
            f"{self.race.text(digits)} on the {self.race.n} seed{'' if self.race.n == 1 else 's'} of the race: "
            f"difference {self.difference:+.{digits}f}{interval}"
        )


def measure_shrinkage(race: Sequence[float], fresh: Sequence[float]) -> Shrinkage:
    """Compares a winner's figures (accuracies or losses) on the seeds of its race with those on fresh seeds.

    Raises ValueError where a side is empty or a figure is not finite: leave out trainings that diverged, and report
    their number.
    """
    if not race or not fresh or not all(map(math.isfinite, (*race, *fresh))):
        raise ValueError("expected finite figures, one or more on each side")
    sides = measure_spread(race), measure_spread(fresh)
    low = high = math.nan
    if all(side.has_interval for side in sides):
        low = high = sides[1].mean - sides[0].mean
        variances = [side.deviation**2 / side.n for side in sides]  # of the means
        scale = math.sqrt(sum(variances))
        if scale > NEGLIGIBLE:  # SciPy's own test warns where one side has no spread
            from scipy import stats  # takes a second to import, and most commands do not need it

            freedom = scale**4 / sum(
                variance**2 / (side.n - 1) for variance, side in zip(variances, sides, strict=True)
            )
            low, high = map(float, stats.t.interval(0.95, freedom, loc=low, scale=scale))
    return Shrinkage(race=sides[0], fresh=sides[1], low=low, high=high)


def _log_likelihood_ratio(rate: float, passed: int, failed: int) -> float:
    """The log of the likelihood of the counts under the good rate, over that under the rate that is too low."""
    failing = 1 - rate
    return passed * math.log((1 - failing / 2) / (1 - 2 * failing)) + failed * math.log(1 / 4)


def _decision(rate: float, alpha: float, needed: Sequence[int], passed: int, failed: int) -> Decision | None:
    """The decision on the seed that makes these counts, where it was open before that seed."""
    if failed < len(needed) and passed >= needed[failed]:
        return "accepted"
    if _log_likelihood_ratio(rate, passed, failed) <= math.log(BETA / (1 - alpha)):
        return "rejected"
    return None if failed < len(needed) else "undecided"


@lru_cache(maxsize=256)
def _passes_needed(rate: float, most: int, alpha: float) -> tuple[int, ...]:
    """The lowest bound for the log likelihood ratio whose exact error is at most `alpha`, as counts of passes."""
    counts = ((passed, failed) for failed in range(most) for passed in range(1, most - failed + 1))
    bounds = sorted({ratio for pair in counts if (ratio := _log_likelihood_ratio(rate, *pair)) > 0})

    def needed_for(bound: float) -> tuple[int, ...]:
        needed = []
        for failed in range(most):
            passes = range(most - failed + 1)
            lowest = bisect_left(passes, bound, key=lambda passed: _log_likelihood_ratio(rate, passed, failed))
            if lowest == len(passes):
                break
            needed.append(lowest)
        return tuple(needed)

    def is_safe(bound: float) -> bool:
        too_low = 1 - 2 * (1 - rate)
        return _chances(rate, most, alpha, needed_for(bound), too_low).accepted <= alpha

    lowest = bisect_left(bounds, True, key=is_safe)  # a higher bound accepts on fewer paths
    return needed_for(bounds[lowest]) if lowest < len(bounds) else ()


def _chances(rate: float, most: int, alpha: float, needed: tuple[int, ...], true_rate: float) -> Chances:
    """Sums the probabilities of all paths of passes and failures, seed by seed."""
    if not needed:
        return Chances(accepted=0.0, rejected=0.0, undecided=1.0, seeds=0.0, seeds_accepted=math.nan)
    total: dict[Decision, float] = {"accepted": 0.0, "rejected": 0.0, "undecided": 0.0}
    seeds = seeds_accepted = 0.0
    paths = {(0, 0): 1.0}  # the probability of each pair of counts that leaves the decision open
    for n in range(1, most + 1):
        reached: dict[tuple[int, int], float] = defaultdict(float)
        for (passed, failed), probability in paths.items():
            reached[passed + 1, failed] += probability * true_rate
            reached[passed, failed + 1] += probability * (1 - true_rate)
        paths = {}
        for counts, probability in reached.items():
            decision = _decision(rate, alpha, needed, *counts)
            if decision is None:
                paths[counts] = probability
                continue
            total[decision] += probability
            seeds += n * probability
            seeds_accepted += n * probability if decision == "accepted" else 0.0
    mean_accepted = seeds_accepted / total["accepted"] if total["accepted"] else math.nan
    return Chances(**total, seeds=seeds, seeds_accepted=mean_accepted)
