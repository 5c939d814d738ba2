"""The state of a search: everything that follows from its events, and what it does next.

Nothing here trains, proposes or writes. The state is rebuilt from the journal, event by event, and the running search
applies each new event in the same way. So a search that was killed stands exactly where it stood.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from drilldown.search.confirmation import (
    ALPHA,
    Confirmation,
    Decision,
    fresh_seeds,
    in_seed_order,
    level,
)
from drilldown.search.journal import Event
from drilldown.search.race import RUNGS, Race
from drilldown.search.sampler import Told
from drilldown.search.tables import SearchSettings, Value

FIRST_STEP = 0.75
"""After a confirmation, the next limit is this share of the confirmed parameters, until a limit was too small."""
RESOLUTION = 1.04
"""A search for the smallest ends when a limit this factor below the confirmed one was too small."""
PATIENCE = 8
"""The number of candidates that are tried below a limit. If none is worth a confirmation, the limit is too small."""
Pair = tuple[int, int]
"""A training: the candidate's number, and the seed."""


@dataclass(slots=True)
class Candidate:
    """A network with its recipe that the search proposed."""

    number: int
    values: Mapping[str, Value]
    """A value for each dimension of the space."""
    origin: str
    """How it was proposed, in words."""
    generation: int
    limit: int
    """The parameter limit that it was made for."""
    parameters: int
    fingerprint: str
    passed: dict[int, bool] = field(default_factory=dict)
    """Whether each seed met the budget."""
    accuracy: dict[int, float] = field(default_factory=dict)
    """Percent, mean of the judged epochs, by seed; diverged seeds have none."""
    losses: dict[int, float] = field(default_factory=dict)
    """Mean validation loss of the judged epochs, by seed; infinite for a diverged seed."""
    test: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Correct and all test images of the final model, by fresh seed: for the report, no decision uses them."""
    failed: dict[int, str] = field(default_factory=dict)
    """The reason by seed, for trainings that no worker could finish; they count as diverged."""
    seconds: float = 0.0
    """Of all its trainings."""


@dataclass(slots=True)
class Trial:
    """The confirmation of one candidate on fresh seeds."""

    number: int
    candidate: int
    test: Confirmation | None
    """None where the budget has no accuracy: then a fixed number of seeds is measured."""
    seeds: range
    decision: Decision | Literal["measured"] | None = None


class SearchState:
    """Everything that follows from the events of a search.

    *Arguments*: `settings`: the aim and the extent. `limit`: the first parameter limit. `judged`: whether the budget
    has an accuracy that a confirmation can test.
    """

    def __init__(self, settings: SearchSettings, limit: int, *, judged: bool) -> None:
        self.settings, self.judged = settings, judged
        self.race = Race()
        self.candidates: dict[int, Candidate] = {}
        self.trials: list[Trial] = []
        self.limit, self.generation = limit, 0
        self.limits: list[tuple[int, str]] = [(limit, "the budget")]
        """The limit of each generation, and the reason for it."""
        self.too_small: int | None = None
        """The largest limit below the confirmed candidate at which nothing good was found."""
        self.exhausted = False
        """Whether the space has no further candidate within the present limit."""
        self.round: tuple[Pair, ...] = ()
        """The trainings of the last round of a deterministic search, in the order in which it learns their results."""
        self.failed_in_row = 0
        """The number of trainings that failed since the last one that ended otherwise."""
        self.seconds = 0.0
        """The time of the search so far, without the pauses between its commands."""

    def apply(self, event: Event) -> None:
        """Applies one event.

        *Raises* KeyError, IndexError, TypeError, ValueError or AttributeError where it does not belong here.
        """
        getattr(self, f"_apply_{event['kind']}")(event)

    def _apply_search(self, event: Event) -> None:
        """The first line; see `drilldown.search.running`."""

    def _apply_candidate(self, event: Event) -> None:
        values: dict[str, Any] = {name: event[name] for name in event if name in Candidate.__slots__}
        candidate = Candidate(**values)
        self.candidates[candidate.number] = candidate
        self.race.add(candidate.number, candidate.generation)

    def _apply_result(self, event: Event) -> None:
        candidate, seed = self.candidates[event["candidate"]], event["seed"]
        loss = math.inf if event["loss"] is None else event["loss"]
        candidate.passed[seed], candidate.losses[seed] = event["passed"], loss
        if event["accuracy"] is not None:
            candidate.accuracy[seed] = event["accuracy"]
        if "test" in event:
            correct, total = event["test"]
            candidate.test[seed] = correct, total
        if "failed" in event:
            candidate.failed[seed] = event["failed"]
        self.failed_in_row = self.failed_in_row + 1 if "failed" in event else 0
        candidate.seconds += event["seconds"]
        self.seconds = event["clock"]
        if seed < RUNGS[-1]:
            self.race.result(candidate.number, seed, loss)

    def _apply_limit(self, event: Event) -> None:
        self.limit, self.too_small, self.exhausted = event["limit"], event["too_small"], False
        self.generation += 1
        self.limits.append((self.limit, event["reason"]))
        for candidate in self.candidates.values():  # results of networks that are small enough still count
            if candidate.parameters <= self.limit:
                self.race.add(candidate.number, self.generation)

    def _apply_exhausted(self, event: Event) -> None:  # noqa: ARG002
        self.exhausted = True

    def _apply_round(self, event: Event) -> None:
        self.round = tuple((self.candidates[number].number, seed) for number, seed in event["trainings"])

    def _apply_confirmation(self, event: Event) -> None:
        number = len(self.trials)
        test = None
        if self.judged:
            confirm = self.settings.confirm
            test = Confirmation(confirm.rate, confirm.most, level(ALPHA, self._failures))
        self.trials.append(Trial(number, event["candidate"], test, fresh_seeds(number, self.settings.confirm.most)))

    def _apply_decision(self, event: Event) -> None:
        self.trials[-1].decision = event["decision"]

    # What follows from the events.

    @property
    def incumbent(self) -> int | None:
        """The best candidate of the present generation so far; None where no training of it has ended well.

        After a limit was lowered, the race still knows only larger networks. They must not be confirmed any more.
        """
        return self.race.incumbent_of(self.generation)

    def wanted_race(self, *, closing: bool = False) -> list[Pair]:
        """The trainings that the race of the present generation needs, see `Race.wanted`."""
        return self.race.wanted(closing=closing) if self.race.generation == self.generation else []

    @property
    def open_round(self) -> list[Pair]:
        """The trainings of the last round that have no result yet, in their order."""
        return [(number, seed) for number, seed in self.round if seed not in self.candidates[number].losses]

    @property
    def open_trial(self) -> Trial | None:
        """The confirmation that has no decision yet."""
        return self.trials[-1] if self.trials and self.trials[-1].decision is None else None

    @property
    def confirmed(self) -> Candidate | None:
        """The candidate that was confirmed last; with goal "smallest", it is the smallest confirmed one."""
        accepted = [trial for trial in self.trials if trial.decision in ("accepted", "measured")]
        return self.candidates[accepted[-1].candidate] if accepted else None

    @property
    def winner(self) -> Candidate | None:
        """The answer of the search so far: confirmed, or else the best of the race."""
        if self.confirmed is not None:
            return self.confirmed
        for generation in range(self.generation, -1, -1):
            number = self.race.incumbent_of(generation)
            if number is not None:
                return self.candidates[number]
        return None

    def trial_of(self, candidate: int) -> Trial | None:
        """The confirmation of a candidate, or None."""
        return next((trial for trial in reversed(self.trials) if trial.candidate == candidate), None)

    def fresh_results(self, trial: Trial) -> list[bool]:
        """Whether the fresh seeds met the budget, in their order, up to the first one without a result."""
        return in_seed_order(self.candidates[trial.candidate].passed, trial.seeds)

    def decide(self, trial: Trial) -> Decision | Literal["measured"] | None:
        """The decision that the results allow; None where more seeds are needed."""
        passes = self.fresh_results(trial)
        if trial.test is None:
            return "measured" if len(passes) >= self._measured_seeds else None
        return trial.test.decide(passes)

    def wanted_fresh(self, trial: Trial) -> list[Pair]:
        """The trainings that a confirmation needs whatever their results, as (candidate, seed)."""
        passes = self.fresh_results(trial)
        count = self._measured_seeds - len(passes) if trial.test is None else trial.test.least_left(passes)
        results = self.candidates[trial.candidate].passed
        after = [seed for seed in trial.seeds[len(passes) : len(passes) + count] if seed not in results]
        return [(trial.candidate, seed) for seed in after]

    def promising(self, candidate: Candidate) -> bool | None:
        """Whether the candidate's race is worth a confirmation; None where it may still become so.

        It is when the share of its seeds that met the budget reaches the rate that a confirmation asks for.
        """
        passes = [candidate.passed[seed] for seed in range(RUNGS[-1]) if seed in candidate.passed]
        if sum(passes) + RUNGS[-1] - len(passes) < self.passes_needed:
            return False
        return True if len(passes) == RUNGS[-1] else None

    @property
    def passes_needed(self) -> int:
        """The number of seeds of a whole race that must meet the budget before a confirmation."""
        return math.ceil(self.settings.confirm.rate * RUNGS[-1] - 1e-9)  # 0.8 of 10 is 8, also in floating point

    def wanted_proof(self) -> list[Pair]:
        """The seeds that the best candidate needs before its confirmation, the next rung at a time."""
        incumbent = self.incumbent
        if incumbent is None or self.trial_of(incumbent) or self.promising(self.candidates[incumbent]) is not None:
            return []
        done = self.race.losses(incumbent)
        rung = next(rung for rung in RUNGS if any(seed not in done for seed in range(rung)))
        return [(incumbent, seed) for seed in range(rung) if seed not in done]

    def tried(self, generation: int) -> int:
        """The number of candidates that were proposed for a generation and have a result."""
        return sum(
            candidate.generation == generation and bool(candidate.losses) for candidate in self.candidates.values()
        )

    def next_limit(self) -> tuple[int, int | None, str] | None:
        """The next parameter limit of a search for the smallest, the largest that is too small, and the reason.

        Limits go down by steps after each confirmation, and half-way back (on a logarithmic scale) after a limit at
        which nothing good was found. None where the present limit stays, or where the search has ended.
        """
        bracket = self._bracket
        if bracket is None or self.ended:
            return None
        too_small, confirmed = bracket
        if confirmed.parameters <= self.limit:
            reason = f"candidate {confirmed.number} with {confirmed.parameters:,} parameters was confirmed"
        else:
            reason = f"no candidate below {self.limit:,} parameters was good enough"
        limit = FIRST_STEP * confirmed.parameters
        if too_small is not None:
            limit = max(math.sqrt(too_small * confirmed.parameters), too_small + 1)
        return int(limit), too_small, reason

    @property
    def ended(self) -> bool:
        """Whether no smaller limit is worth a try."""
        bracket = self._bracket
        if bracket is None:
            return False
        too_small, confirmed = bracket[0] or 0, bracket[1].parameters
        return confirmed < RESOLUTION * too_small or confirmed <= too_small + 1  # no number lies between the two

    @property
    def _bracket(self) -> tuple[int | None, Candidate] | None:
        """The largest limit that is too small, and the confirmed candidate; None while the present limit is tried."""
        confirmed = self.confirmed
        if confirmed is None or self.settings.goal == "best":
            return None
        if confirmed.parameters <= self.limit:
            return self.too_small, confirmed
        return (self.limit, confirmed) if self.gave_up else None

    @property
    def is_full(self) -> bool:
        """Whether the present limit has all the candidates that it gets; it is given up or not when they are done.

        Without this, several workers would always have a candidate in training, and no limit would ever be given up.
        """
        if self.settings.goal == "best" or self.confirmed is None or self.confirmed.parameters <= self.limit:
            return False
        return sum(candidate.generation == self.generation for candidate in self.candidates.values()) >= PATIENCE

    @property
    def gave_up(self) -> bool:
        """Whether the present limit is too small: enough candidates were tried, or all of the space, and none is
        good enough."""
        if not (self.exhausted or self.tried(self.generation) >= PATIENCE) or self.wanted_race():
            return False
        incumbent = self.incumbent
        if incumbent is None or self.trial_of(incumbent):
            return True
        return self.promising(self.candidates[incumbent]) is False

    def told(self) -> list[Told]:
        """The candidates as the sampler knows them."""
        return [
            Told(
                number=candidate.number,
                values=candidate.values,
                loss=self.race.mean_loss(candidate.number),
                generation=candidate.generation,
            )
            for candidate in self.candidates.values()
        ]

    def front(self) -> list[Candidate]:
        """The candidates of which none is both smaller and better, by mean loss in the race; the smallest first."""
        front: list[Candidate] = []
        scored = [
            (candidate.parameters, self.race.mean_loss(candidate.number), candidate)
            for candidate in self.candidates.values()
        ]
        best = math.inf
        for _, loss, candidate in sorted(scored, key=lambda entry: (entry[0], entry[1] or 0.0)):
            if loss is not None and loss < best:
                best = loss
                front.append(candidate)
        return front

    @property
    def _failures(self) -> int:
        return sum(trial.decision in ("rejected", "undecided") for trial in self.trials)

    @property
    def _measured_seeds(self) -> int:
        return min(RUNGS[-1], self.settings.confirm.most)


def rebuild(events: Iterable[Event], settings: SearchSettings, limit: int, *, judged: bool) -> SearchState:
    """The state after these events."""
    state = SearchState(settings, limit, judged=judged)
    for event in events:
        state.apply(event)
    return state
