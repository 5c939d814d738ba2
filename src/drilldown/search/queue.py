"""The queue of a search: takes the next training from its state, hears the results, writes every decision down."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.experiment import Experiment
from drilldown.runs.folder import DIVERGED, FINISHED, RUNNING
from drilldown.runs.pool import Outcome, Pool, Task
from drilldown.runs.run import Run
from drilldown.search.callback import SearchCallback
from drilldown.search.confirmation import FIRST_FRESH_SEED
from drilldown.search.journal import Event, Journal
from drilldown.search.proposing import propose_candidate
from drilldown.search.reading import SearchFile
from drilldown.search.state import Pair, SearchState
from drilldown.settings import Folders

BATCH = 8
"""Candidates that are proposed together in a deterministic search, whatever the number of workers."""
RESERVED = 16
"""About the trainings that the last seeds of a race and a confirmation take."""
FAILURES = 3
"""The number of failed trainings in a row after which the search stops: the fault is then not the candidate's."""
HELD = ("number", "values", "origin", "generation", "limit", "parameters", "fingerprint")
"""The fields of a candidate that its event holds."""


class SearchQueue:
    """The trainings that a search needs; see `drilldown.runs.pool.Queue`.

    Usually it hears each result as it comes, and decides at once. A *deterministic* search works in rounds instead.
    The trainings of a round are written down before they begin. Their results are learned in the order in which they
    were written down, and everything is decided after the last one. So nothing depends on the number of workers, on
    the order in which they end, or on the moment at which a process was killed.
    """

    def __init__(
        self,
        search: SearchFile,
        state: SearchState,
        journal: Journal,
        pool: Pool,
        callback: SearchCallback,
        folders: Folders,
        *,
        deterministic: bool,
    ) -> None:
        self.search, self.state, self.journal, self.pool = search, state, journal, pool
        self.callback, self.folders, self.deterministic = callback, folders, deterministic
        self._experiments: dict[int, Experiment] = {}
        self._running: dict[Pair, Task] = {}
        self._elsewhere: dict[Pair, Task] = {}
        """Trainings that another process does; they are looked at again when a training of this one has ended."""
        self._reported: Pair | None = None
        """The training of another process that the callback knows of."""
        self._unheard: dict[Pair, Event] = {}
        """Results of the present round that wait for earlier ones."""
        self._first: Task | None = None
        """The next training, where `left` had to find it."""
        self._failed_in_row = self.state.failed_in_row
        self._before, self._began = self.state.seconds, time.monotonic()

    def next(self) -> Task | None:
        """The next training; what is finished on disk already is heard at once."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        while (pair := self._next_in_round() if self.deterministic else self._next_wanted()) is not None:
            task = self._task(*pair)
            status = task.run.status
            if status in (FINISHED, DIVERGED):
                self._hear(pair, result_event(pair[0], task))
            elif status == RUNNING:
                self._elsewhere[pair] = task
            else:
                self._running[pair] = task
                return task
        return None

    def end(self, outcome: Outcome) -> None:
        """Hears the result of a training.

        *Raises* DrilldownError where several trainings in a row failed.
        """
        pair = next(pair for pair, task in self._running.items() if task is outcome.task)
        del self._running[pair]
        self._elsewhere.clear()  # they may have ended too
        if outcome.ending == "busy":
            self._elsewhere[pair] = outcome.task
            return
        if outcome.ending != "failed":
            self._failed_in_row = 0
            self._hear(pair, result_event(pair[0], outcome.task))
            return
        self._failed_in_row += 1
        if self._failed_in_row >= FAILURES:
            found = f"{FAILURES} trainings in a row failed; the last one: {outcome.reason}"
            raise DrilldownError(
                Problem(place=str(outcome.task), found=found, suggestion="repeat the command to resume")
            )
        self._hear(pair, failure_event(pair, outcome.reason))

    @property
    def left(self) -> bool:
        """Whether the search needs further trainings."""
        if self._first is None:
            self._first = self.next()
        return self._first is not None or bool(self._elsewhere)

    def idle(self) -> None:
        """Looks again at the trainings of other processes."""
        if self._elsewhere and self._reported not in self._elsewhere:
            self._reported, task = next(iter(self._elsewhere.items()))
            self.callback.on_wait(task)
        self._elsewhere.clear()

    # Which training comes next.

    def _next_wanted(self) -> Pair | None:
        """The most urgent training that does not run; proposes a candidate where there is none."""
        while True:
            self._decide()
            for pair in self._wanted():
                if pair not in self._running and pair not in self._elsewhere:
                    return pair
            if not self._propose():
                return None

    def _next_in_round(self) -> Pair | None:
        """The next training of the present round; begins a round when all results of the one before are there."""
        if not self.state.open_round:
            self._begin_round()
        if self._time_is_over:
            if not self._running:
                self._learn_round(gaps=True)
            return None
        begun = self._running.keys() | self._elsewhere.keys() | self._unheard.keys()
        return next((pair for pair in self.state.open_round if pair not in begun), None)

    def _begin_round(self) -> None:
        self._decide()
        # A killed process may have proposed a part of a batch.
        while (len(self.state.candidates) % BATCH or not self._wanted()) and self._propose():
            self._decide()
        if wanted := self._wanted():
            self._note({"kind": "round", "trainings": wanted})

    def _wanted(self) -> list[Pair]:
        """The trainings that follow from the present results, the most urgent first."""
        state = self.state
        if self._time_is_over:
            return []
        fresh = state.wanted_fresh(state.open_trial) if state.open_trial else []
        if state.ended:
            return fresh
        if state.settings.goal == "best":
            return [*fresh, *state.wanted_race(closing=self._closing)]
        return list(dict.fromkeys([*fresh, *state.wanted_proof(), *state.wanted_race()]))

    def _decide(self) -> None:
        """Writes down every decision that follows from the results: confirmations and limits."""
        state = self.state
        while True:
            trial = state.open_trial
            if trial is not None:
                decision = state.decide(trial)
                if decision is None:
                    return
                self._note({"kind": "decision", "decision": decision})
                self.callback.on_trial(trial)
            elif self._time_is_over:
                return
            elif (change := state.next_limit()) is not None:  # first: no other network of this limit is worth seeds
                limit, too_small, reason = change
                self._note({"kind": "limit", "limit": limit, "too_small": too_small, "reason": reason})
                self.callback.on_limit(limit, reason)
            elif (candidate := self._to_confirm()) is not None:
                self._note({"kind": "confirmation", "candidate": candidate})
                self.callback.on_trial(state.trials[-1])
            else:
                return

    def _to_confirm(self) -> int | None:
        """The candidate whose confirmation should begin now."""
        state, incumbent = self.state, self.state.incumbent
        if incumbent is None or state.trial_of(incumbent) or state.ended:
            return None
        if state.settings.goal == "best":  # when the race is over; again if a repeated command has found a better one
            return incumbent if self._closing and not state.wanted_race(closing=True) else None
        return incumbent if state.promising(state.candidates[incumbent]) else None

    def _propose(self) -> bool:
        """Writes down a further candidate, or that there is none; returns whether something was written."""
        if self._closing or self.state.ended or self.state.is_full:
            return False
        proposed = propose_candidate(self.search, self.state)
        if proposed is None:
            self._note({"kind": "exhausted"})
            return True
        candidate, self._experiments[proposed[0].number] = proposed
        held = asdict(candidate)
        self._note({"kind": "candidate", **{name: held[name] for name in HELD}})
        self.callback.on_candidate(candidate)
        return True

    @property
    def _closing(self) -> bool:
        """Whether no further candidate will be proposed within the present limit: candidates, hours or the space are
        used up. Of the hours, some time is kept for the last seeds and the confirmation."""
        state = self.state
        if state.exhausted or len(state.candidates) >= state.settings.candidates:
            return True
        if state.settings.hours is None:
            return False
        trainings = sum(len(candidate.losses) for candidate in state.candidates.values())
        each = sum(candidate.seconds for candidate in state.candidates.values()) / max(1, trainings)
        return self._used + RESERVED * each / max(1, self.pool.slots) >= 3600 * state.settings.hours

    @property
    def _time_is_over(self) -> bool:
        """Whether no training may begin any more."""
        return self._used >= 3600 * (self.state.settings.hours or math.inf)

    @property
    def _used(self) -> float:
        """The seconds that the search has worked, without the pauses between its commands."""
        return self._before + time.monotonic() - self._began

    # What is learned.

    def _task(self, number: int, seed: int) -> Task:
        if number not in self._experiments:
            candidate = self.state.candidates[number]
            experiment = self.search.space.experiment(candidate.values, number)
            if candidate.fingerprint not in (experiment.fingerprint, experiment.earlier_fingerprint):
                raise DrilldownError(
                    Problem(
                        file=self.journal.file,
                        found=f"candidate {number} is now experiment {experiment.fingerprint}",
                        expected=f"{candidate.fingerprint}, as when it was proposed",
                        suggestion="has the file, the dataset or drilldown changed? try --set search.seed=1",
                    )
                )
            self._experiments[number] = experiment
        experiment = self._experiments[number]
        return Task(experiment, seed, Run.of(experiment, seed, self.folders.runs))

    def _hear(self, pair: Pair, event: Event) -> None:
        if self.deterministic:
            self._unheard[pair] = event
            self._learn_round(gaps=False)
        else:
            self._learn(event)

    def _learn_round(self, *, gaps: bool) -> None:
        """Learns results of the round in its order; `gaps`: also those behind a training without a result."""
        for pair in self.state.open_round:
            if pair in self._unheard:
                self._learn(self._unheard.pop(pair))
            elif not gaps:
                return

    def _learn(self, event: Event) -> None:
        self._note({**event, "clock": round(self._used, 1)})
        self.callback.on_result(self.state.candidates[event["candidate"]], event["seed"])

    def _note(self, event: Mapping[str, Any]) -> None:
        self.journal.write(event)
        self.state.apply(event)


def result_event(number: int, task: Task) -> Event:
    """What a search learns from a run that has ended."""
    if task.run.status == DIVERGED:
        return _lost_event((number, task.seed))
    run = task.run.read()
    hold = run.hold
    # For the report; no decision uses the test images.
    test = {"test": [run.summary.test.correct, run.summary.test.total]} if task.seed >= FIRST_FRESH_SEED else {}
    return {
        "kind": "result", "candidate": number, "seed": task.seed, "loss": run.loss(hold), "passed": run.passed,
        "accuracy": run.accuracy(hold), "seconds": run.summary.seconds, **test,
    }  # fmt: skip


def failure_event(pair: Pair, reason: str) -> Event:
    """What a search learns from a training that no worker could finish: it counts as diverged."""
    return {**_lost_event(pair), "failed": reason}


def _lost_event(pair: Pair) -> Event:
    number, seed = pair
    return {
        "kind": "result", "candidate": number, "seed": seed, "loss": None, "passed": False, "accuracy": None,
        "seconds": 0.0,
    }  # fmt: skip
