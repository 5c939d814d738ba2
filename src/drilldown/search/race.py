"""The race: how many seeds each candidate of a search gets.

One seed tells good candidates from bad ones, but not the best from good ones. So a candidate gets more seeds in steps
(1 → 2 → 4 → 8) only while it stays close to the incumbent, the best so far. Both are compared on the same seeds.

The rule was chosen by simulation (`tests/search/test_simulation.py` has one such search). On 45 MNIST experiments, the
standard deviation of the loss between seeds was 7 %, and two experiments with the same seed were not correlated. Among
searches with the same number of trainings, those found the best winners that drop a candidate half a standard error
above the incumbent. With a tolerance of 0 the best candidate was dropped more often; with 2 a search had trainings for
half as many candidates; 0.25 and 1 were nearly as good. A search of 60 candidates then needs 1.7 trainings for each.
Its winner is one of the three truly best in two of three searches, and its true loss is 1.7 % above the lowest.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

from drilldown.wording import count_text

RUNGS = (1, 2, 4, 8)
TOLERANCE = 0.5
"""The standard errors that a candidate's mean difference from the incumbent may be above zero."""
PRIOR_DEVIATION, PRIOR_WEIGHT = 0.1, 4
"""The standard deviation of a paired difference, as a share of the incumbent's loss, that is expected before there are
any (7 % between seeds, times √2), and the number of degrees of freedom that this expectation counts as."""
_NORMAL_MEDIAN = statistics.NormalDist().inv_cdf(0.75)
"""The median of |z| for a standard normal z."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a candidate has come."""

    state: Literal["racing", "dropped", "finished"]
    reason: str
    """The reason, as a clause for the report."""


class Race:
    """Candidates that race over seeds, and the trainings that this needs.

    The seeds are 0, 1, 2, …. A candidate first gets the seeds of the first rung. On each rung it is compared with the
    *incumbent*: of the candidates with the most seeds, the one with the lowest mean loss. A candidate is dropped where
    its mean paired difference is more than `tolerance` standard errors above zero; the standard error comes from all
    pairs of the race. A candidate with a diverged training is dropped. An incumbent gets further seeds when another
    candidate has as many seeds and stays close.

    All answers are functions of the *set* of results: not of their order, and not of the number of workers. So a
    search that is repeated from its files stands where it stood. For the same reason a drop is not final: a candidate
    may race again if the incumbent changes.

    When a search for the smallest network lowers its parameter limit, it adds further candidates with the next
    *generation* number. They race among themselves; the measured spread between seeds is kept.

    >>> race = Race()
    >>> for candidate, loss in enumerate([0.030, 0.0275, 0.0312]):
    ...     race.add(candidate)
    ...     race.result(candidate, 0, loss)
    >>> race.incumbent, race.standing(2).state, race.standing(2).reason
    (1, 'dropped', 'loss 0.0312 against 0.0275 of candidate 1 on the same seed')
    >>> race.add(3)
    >>> race.result(3, 0, 0.0277)
    >>> race.wanted()
    [(1, 1), (3, 1)]
    """

    def __init__(self, rungs: Sequence[int] = RUNGS, tolerance: float = TOLERANCE) -> None:
        if not rungs or rungs[0] < 1 or any(low >= high for low, high in pairwise(rungs)):
            raise ValueError(f"found rungs {tuple(rungs)}, expected numbers of seeds that increase, from 1 or more")
        self.rungs = tuple(rungs)
        self.tolerance = tolerance
        self._racers: dict[int, _Racer] = {}

    def add(self, candidate: int, generation: int = 0) -> None:
        """Adds a candidate, or moves it to a later generation with all its results."""
        racer = self._racers.setdefault(candidate, _Racer(candidate, generation))
        racer.generation = max(racer.generation, generation)

    def result(self, candidate: int, seed: int, loss: float) -> None:
        """Adds a candidate's validation loss for one seed; infinite for a diverged training.

        A training that was done twice counts once: the first result stays. Raises KeyError for a candidate that was not
        added, ValueError for a seed outside the race and for a loss that is no number or below zero.
        """
        if not 0 <= seed < self.rungs[-1]:
            raise ValueError(f"found seed {seed}, expected 0 to {self.rungs[-1] - 1}")
        if not loss >= 0:
            raise ValueError(f"found loss {loss}, expected 0 or more")
        racer = self._racers[candidate]
        racer.losses.setdefault(seed, loss)
        while (higher := self._next_rung(racer)) and not racer.missing(higher):
            racer.reach(higher)

    def losses(self, candidate: int) -> Mapping[int, float]:
        """The candidate's results by seed."""
        return MappingProxyType(self._racers[candidate].losses)

    def mean_loss(self, candidate: int) -> float | None:
        """The mean over all seeds that the candidate has; infinite if one diverged, None without a result."""
        losses = self._racers[candidate].losses.values()
        return math.fsum(losses) / len(losses) if losses else None

    @property
    def generation(self) -> int:
        """The generation that races now: the latest."""
        return max((racer.generation for racer in self._racers.values()), default=0)

    @property
    def incumbent(self) -> int | None:
        """The best candidate of this generation so far; None where no training of it has ended well."""
        return self.incumbent_of(self.generation)

    def incumbent_of(self, generation: int) -> int | None:
        """The incumbent of a generation."""
        leader = self._leader(generation)
        return None if leader is None else leader.candidate

    @property
    def deviation(self) -> float:
        """The standard deviation of a paired difference, as a share of the incumbent's loss.

        It is measured on all candidates with two seeds or more, each against the incumbent of its generation. The
        median makes it robust: one training that nearly diverged does not make the race keep everything.
        """
        residuals: list[float] = []
        freedom = 0
        for generation in sorted({racer.generation for racer in self._racers.values()}):
            for differences in self._relative_differences(generation):
                n, mean = len(differences), statistics.fmean(differences)
                # Residuals around a mean of n are too small by √((n - 1)/n).
                residuals += [abs(one - mean) * math.sqrt(n / (n - 1)) for one in differences]
                freedom += n - 1
        measured = statistics.median(residuals) / _NORMAL_MEDIAN if residuals else 0.0
        return math.sqrt((PRIOR_WEIGHT * PRIOR_DEVIATION**2 + freedom * measured**2) / (PRIOR_WEIGHT + freedom))

    def standing(self, candidate: int) -> Standing:
        """How far a candidate has come, with the reason."""
        racer = self._racers[candidate]
        leader, old = self._leader(racer.generation), racer.generation < self.generation
        if racer.diverged:
            seed = min(seed for seed, loss in racer.losses.items() if math.isinf(loss))
            return Standing("dropped", f"the training with seed {seed} diverged")
        if racer is leader:
            done = old or racer.rung == self.rungs[-1]
            text = f"lowest loss: {_loss_text(racer.means[racer.rung])} on {count_text(racer.rung, 'seed')}"
            return Standing("finished" if done else "racing", text)
        if leader is None or racer.rung == 0:
            if old:
                return Standing("finished", "a smaller limit was set before its first result")
            return Standing("racing", "waits for its first result")
        losses = _different_texts(racer.means[racer.rung], leader.means[racer.rung])
        same = "the same seed" if racer.rung == 1 else f"the same {racer.rung} seeds"
        text = f"loss {losses[0]} against {losses[1]} of candidate {leader.candidate} on {same}"
        if racer.rung == self.rungs[-1]:
            return Standing("finished", text)
        if not self._is_close(racer, leader, self.deviation):
            return Standing("dropped", text)
        return Standing("finished", f"{text}; then a smaller limit was set") if old else Standing("racing", text)

    def wanted(self, *, closing: bool = False) -> list[tuple[int, int]]:
        """The trainings that the race needs now, as (candidate, seed), the most urgent first.

        The list has the incumbent's seeds first, because all others are compared with it; then come candidates with
        more seeds before those with fewer. Trainings that run already are in it too.

        *Arguments*: `closing`: whether no further candidate will be added; then the incumbent gets all its seeds.
        """
        leader, deviation = self._leader(self.generation), self.deviation
        racing = [
            racer
            for racer in self._members(self.generation)
            if racer is not leader and not racer.diverged and self._is_close(racer, leader, deviation)
        ]
        racing.sort(key=lambda racer: (-racer.rung, racer.means[racer.rung], racer.candidate))
        if leader and (closing or any(racer.rung == leader.rung for racer in racing)):
            racing.insert(0, leader)
        return [(racer.candidate, seed) for racer in racing for seed in racer.missing(self._next_rung(racer))]

    def _is_close(self, racer: _Racer, leader: _Racer | None, deviation: float) -> bool:
        """Whether the racer may go on: it has too few seeds for a comparison, or its difference is within tolerance."""
        if leader is None or racer.rung == 0:
            return True
        best = leader.means[racer.rung]
        return racer.means[racer.rung] - best <= self.tolerance * deviation * best / math.sqrt(racer.rung)

    def _leader(self, generation: int) -> _Racer | None:
        reached = [racer for racer in self._members(generation) if racer.rung and not racer.diverged]
        return min(reached, key=lambda racer: (-racer.rung, racer.means[racer.rung], racer.candidate), default=None)

    def _relative_differences(self, generation: int) -> Iterator[list[float]]:
        """The differences from the incumbent, seed by seed, of each candidate that has two seeds or more."""
        leader = self._leader(generation)
        for racer in self._members(generation):
            if leader is None or racer is leader or racer.rung < 2 or racer.diverged:
                continue
            if scale := leader.means[racer.rung]:
                yield [(racer.losses[seed] - leader.losses[seed]) / scale for seed in range(racer.rung)]

    def _members(self, generation: int) -> list[_Racer]:
        """The candidates of a generation in ascending order, so that the order of adding does not matter."""
        members = [racer for racer in self._racers.values() if racer.generation == generation]
        return sorted(members, key=lambda racer: racer.candidate)

    def _next_rung(self, racer: _Racer) -> int:
        """The next rung; 0 above the last one."""
        return next((rung for rung in self.rungs if rung > racer.rung), 0)


@dataclass(slots=True)
class _Racer:
    candidate: int
    generation: int
    losses: dict[int, float] = field(default_factory=dict)
    rung: int = 0
    """The highest rung whose seeds all have results; 0 below the first one."""
    means: dict[int, float] = field(default_factory=lambda: {0: math.inf})
    """The mean over the seeds of each rung that was reached; infinite without seeds, so that such a candidate comes
    last."""

    def reach(self, rung: int) -> None:
        """Notes that all seeds of a rung have results. A search asks for the means thousands of times."""
        self.rung = rung
        self.means[rung] = math.fsum(self.losses[seed] for seed in range(rung)) / rung

    @property
    def diverged(self) -> bool:
        return math.inf in self.losses.values()

    def missing(self, rung: int) -> list[int]:
        return [seed for seed in range(rung) if seed not in self.losses]


def _loss_text(loss: float, digits: int = 3) -> str:
    """A loss with at least four decimals and at least three significant digits."""
    decimals = max(4, digits - 1 - math.floor(math.log10(loss))) if loss > 0 else 4
    return f"{loss:.{decimals}f}"


def _different_texts(first: float, second: float) -> tuple[str, str]:
    """Both losses, with enough digits that different losses look different."""
    for digits in range(3, 17):
        texts = _loss_text(first, digits), _loss_text(second, digits)
        if texts[0] != texts[1]:
            break
    return texts
