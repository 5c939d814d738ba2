"""Runs a search: takes the next training from its state, hears the results, and writes every decision down."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.experiment import Experiment
from drilldown.runs.folder import DIVERGED, FINISHED, RUNNING
from drilldown.runs.pool import Outcome, Pool, PoolCallback, Task, work
from drilldown.runs.run import Run
from drilldown.search.confirmation import FIRST_FRESH_SEED
from drilldown.search.journal import Event, Journal, open_journal
from drilldown.search.proposing import propose_candidate
from drilldown.search.reading import SearchFile
from drilldown.search.state import Candidate, SearchState, Trial, rebuild
from drilldown.settings import Folders

BATCH = 8
"""Candidates that are proposed together in a deterministic search, whatever the number of workers."""
RESERVED = 16
"""About the trainings that the last seeds of a race and a confirmation take."""
HELD = ("number", "values", "origin", "generation", "limit", "parameters", "fingerprint")
"""The fields of a candidate that its event holds."""
Pair = tuple[int, int]
"""A training: the candidate's number, and the seed."""


class SearchCallback(PoolCallback):
    """Is called while a search runs, beside the events of its runs."""

    def on_search(self, search: SearchFile, state: SearchState) -> None:
        """Called before anything is trained, with the state of the commands before this one."""

    def on_candidate(self, candidate: Candidate) -> None:
        """Called when a candidate was proposed."""

    def on_result(self, candidate: Candidate, seed: int) -> None:
        """Called when a training of a candidate has ended."""

    def on_trial(self, trial: Trial) -> None:
        """Called when a confirmation begins, and when it has a decision."""

    def on_limit(self, limit: int, reason: str) -> None:
        """Called when the parameter limit changes."""

    def on_wait(self, task: Task) -> None:
        """Called when another process trains what this search needs next."""


def search_folder(search: SearchFile, runs_dir: Path) -> Path:
    """The folder of a search: `RUNS/study/step-search-fingerprint`, beside the folders of its candidates."""
    return Run.of(search.base.located(name=f"{search.name}-search"), 0, runs_dir).path.parent.with_name(
        f"{search.name.split('/', 1)[1]}-search-{search.fingerprint}"
    )


def first_limit(search: SearchFile) -> int:
    """The parameter limit of a search: the budget's, or else the parameters of the network that is varied."""
    return search.base.budget.parameters or search.base.model_summary.parameters


def check_validation(search: SearchFile, *, on_test: bool) -> None:
    """Refuses a search that would choose its winner on the test images.

    *Raises* DrilldownError where the recipe has no validation split, and `on_test` is false.
    """
    if search.base.recipe.holdout is None and not on_test:
        by_writer = search.base.recipe.dataset == "mnist"
        setting = "'recipe.holdout={ images = 10_000, by = \"writer\" }'" if by_writer else "recipe.holdout=…"
        raise DrilldownError(
            Problem(
                file=search.path,
                place="recipe.holdout",
                found="a search chooses among many networks, and this recipe has no validation images to choose on",
                expected="images held out of the training set",
                suggestion=f"add --set {setting}; or --on-test, which flatters the winner and is stamped on every page",
            )
        )


def run_search(
    search: SearchFile,
    pool: Pool,
    callback: SearchCallback,
    *,
    folders: Folders,
    deterministic: bool = False,
    on_test: bool = False,
) -> SearchState:
    """Runs a search until it has ended, or its candidates or hours are used up.

    It can be stopped at any moment; the next call continues it.

    *Arguments*: `deterministic`: propose the same candidates for any number of workers. `on_test`: choose on the test
    images where the recipe has no validation images.

    *Raises* DrilldownError where the search is refused, where its folder cannot be written, or where another process
    works on it.
    """
    check_validation(search, on_test=on_test)
    folder = search_folder(search, folders.runs)
    with open_journal(folder) as journal:
        queue = SearchQueue(search, journal, pool, callback, folders, deterministic=deterministic)
        callback.on_search(search, queue.state)
        work(queue, pool)
        return queue.state


def load_state(search: SearchFile, events: list[Event]) -> SearchState:
    """The state of a search after the events of its journal.

    *Raises* DrilldownError where the events do not belong to this search.
    """
    try:
        judged = search.base.budget.accuracy is not None
        return rebuild(events, search.settings, first_limit(search), judged=judged)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DrilldownError(
            Problem(file=search.path, found=f"the journal of the search does not belong to it ({error!r})")
        ) from None


class SearchQueue:
    """The trainings that a search needs; see `drilldown.runs.pool.Queue`."""

    def __init__(
        self,
        search: SearchFile,
        journal: Journal,
        pool: Pool,
        callback: SearchCallback,
        folders: Folders,
        *,
        deterministic: bool,
    ) -> None:
        self.search, self.journal, self.pool, self.callback, self.folders = search, journal, pool, callback, folders
        self.deterministic = deterministic
        self.state = load_state(search, journal.events)
        self._experiments: dict[int, Experiment] = {}
        self._running: dict[Pair, Task] = {}
        self._elsewhere: dict[Pair, Task] = {}
        """Trainings that another process does; they are looked at again when this one has nothing else to do."""
        self._round: list[Pair] = []
        self._unheard: list[Event] = []
        """Results of the present round, which a deterministic search learns at its end."""
        self._exhausted = False
        self._before, self._began = self.state.seconds, time.monotonic()
        if not journal.events:
            self._note({"kind": "search", "fingerprint": search.fingerprint, "name": search.name})

    def next(self) -> Task | None:
        """The next training; what is finished on disk already is heard at once."""
        while (pair := self._next_in_round() if self.deterministic else self._next_wanted()) is not None:
            task = self._task(*pair)
            if task.ended:
                self._hear(pair, task)
            elif task.run.status == RUNNING:
                self._elsewhere[pair] = task
            else:
                self._running[pair] = task
                return task
        return None

    def end(self, outcome: Outcome) -> None:
        """Hears the result of a training."""
        pair = next(pair for pair, task in self._running.items() if task is outcome.task)
        del self._running[pair]
        if outcome.ending == "failed":
            raise DrilldownError(f"{outcome.task}: {outcome.reason}")
        if outcome.ending == "busy":
            self._elsewhere[pair] = outcome.task
        else:
            self._hear(pair, outcome.task)

    @property
    def left(self) -> bool:
        """Whether the search needs further trainings."""
        return bool(self._elsewhere or self._round or self._wanted() or not (self._closing or self.state.ended))

    def idle(self) -> None:
        """Looks again at the trainings of other processes."""
        if self._elsewhere:
            self.callback.on_wait(next(iter(self._elsewhere.values())))
        if self.deterministic:
            self._round += self._elsewhere
        self._elsewhere.clear()

    # Which training comes next.

    def _next_wanted(self) -> Pair | None:
        """The most urgent training that does not run; proposes a candidate where there is none."""
        for pair in self._wanted():
            if pair not in self._running and pair not in self._elsewhere:
                return pair
        return self._propose()

    def _next_in_round(self) -> Pair | None:
        """The next training of the present round; a round begins when all results of the one before are there."""
        if not self._round and not self._running and not self._elsewhere:
            for event in sorted(self._unheard, key=lambda event: (event["candidate"], event["seed"])):
                self._learn(event)
            self._unheard.clear()
            # A killed process may have proposed a part of a batch.
            while (len(self.state.candidates) % BATCH or not self._wanted()) and self._propose():
                pass
            self._round = self._wanted()
        return self._round.pop(0) if self._round else None

    def _wanted(self) -> list[Pair]:
        """The trainings that follow from the present results, the most urgent first."""
        self._decide()
        state = self.state
        if self._used >= 3600 * (state.settings.hours or math.inf):
            return []
        fresh = state.wanted_fresh(state.open_trial) if state.open_trial else []
        if state.ended or (fresh and state.settings.goal == "best"):
            return fresh
        if state.settings.goal == "best":
            return [*fresh, *state.race.wanted(closing=self._closing)]
        return list(dict.fromkeys([*fresh, *state.wanted_proof(), *state.race.wanted()]))

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
            elif (candidate := self._to_confirm()) is not None:
                self._note({"kind": "confirmation", "candidate": candidate})
                self.callback.on_trial(state.trials[-1])
            elif not self._closing and (change := state.next_limit()) is not None:
                limit, too_small, reason = change
                self._note({"kind": "limit", "limit": limit, "too_small": too_small, "reason": reason})
                self.callback.on_limit(limit, reason)
            else:
                return

    def _to_confirm(self) -> int | None:
        """The candidate whose confirmation should begin now."""
        state, incumbent = self.state, self.state.race.incumbent
        if incumbent is None or state.trial_of(incumbent):
            return None
        if state.settings.goal == "best":  # once, when the race is over
            over = self._closing and not state.trials and not state.race.wanted(closing=True)
            return incumbent if over else None
        return incumbent if state.promising(state.candidates[incumbent]) else None

    def _propose(self) -> Pair | None:
        if self._closing or self.state.ended:
            return None
        proposed = propose_candidate(self.search, self.state)
        if proposed is None:
            self._exhausted = True
            return None
        candidate, self._experiments[proposed[0].number] = proposed
        held = asdict(candidate)
        self._note({"kind": "candidate", **{name: held[name] for name in HELD}})
        self.callback.on_candidate(candidate)
        return candidate.number, 0

    @property
    def _closing(self) -> bool:
        """Whether no further candidate will be proposed: time is kept for the last seeds and the confirmation."""
        state = self.state
        if len(state.candidates) >= state.settings.candidates or self._exhausted:
            return True
        if state.settings.hours is None:
            return False
        trainings = sum(len(candidate.losses) for candidate in state.candidates.values())
        each = sum(candidate.seconds for candidate in state.candidates.values()) / max(1, trainings)
        return self._used + RESERVED * each / max(1, self.pool.slots) >= 3600 * state.settings.hours

    @property
    def _used(self) -> float:
        """The seconds that the search has worked, without the pauses between its commands."""
        return self._before + time.monotonic() - self._began

    # What is learned.

    def _task(self, number: int, seed: int) -> Task:
        if number not in self._experiments:
            candidate = self.state.candidates[number]
            experiment = self.search.space.experiment(candidate.values, number)
            if experiment.fingerprint != candidate.fingerprint:
                raise DrilldownError(
                    Problem(
                        file=self.journal.file,
                        found=f"candidate {number} is now experiment {experiment.fingerprint}",
                        expected=f"{candidate.fingerprint}, as when it was proposed",
                        suggestion="has the file, the dataset or drilldown changed? --set search.seed=1 starts afresh",
                    )
                )
            self._experiments[number] = experiment
        experiment = self._experiments[number]
        return Task(experiment, seed, Run.of(experiment, seed, self.folders.runs))

    def _hear(self, pair: tuple[int, int], task: Task) -> None:
        event = result_event(pair[0], task)
        if self.deterministic:
            self._unheard.append(event)
        else:
            self._learn(event)

    def _learn(self, event: Event) -> None:
        self._note({**event, "clock": round(self._used, 1)})
        self.callback.on_result(self.state.candidates[event["candidate"]], event["seed"])

    def _note(self, event: Mapping[str, Any]) -> None:
        self.journal.write(event)
        self.state.apply(event)


def result_event(number: int, task: Task) -> Event:
    """What a search learns from a run that has ended."""
    event: dict[str, Any] = {"kind": "result", "candidate": number, "seed": task.seed}
    if task.run.status == DIVERGED:
        return event | {"loss": None, "passed": False, "accuracy": None, "seconds": 0.0}
    assert task.run.status == FINISHED
    run = task.run.read()
    hold = len(run.summary.accuracy.last)
    loss = run.loss(hold)
    if task.seed >= FIRST_FRESH_SEED:
        event["test"] = [run.summary.test.correct, run.summary.test.total]
    return event | {
        "loss": loss, "passed": run.passed, "accuracy": run.accuracy(hold), "seconds": run.summary.seconds,
    }  # fmt: skip
