"""The queue of a search: rounds, hours, failures, other processes, and how quickly the next training is there."""

from __future__ import annotations

import itertools
import random
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from drilldown.errors import DrilldownError
from drilldown.runs.pool import Outcome, Task
from drilldown.runs.run import Run
from drilldown.search.callback import SearchCallback
from drilldown.search.fit import fit
from drilldown.search.journal import Journal, SearchBusyError, open_journal, read_journal
from drilldown.search.queue import BATCH, FAILURES, SearchQueue
from drilldown.search.reading import SearchFile, read_search
from drilldown.search.running import load_state, search_folder
from drilldown.search.state import SearchState
from drilldown.settings import Folders
from support.stand_in import (
    Listener,
    Result,
    StandInPool,
    StoppingPool,
    learning_curve,
    search_with,
    write_finished,
    write_search,
)

CANDIDATES, TRIES = 1000, 9
SECONDS = 0.2
PATIENCE = 4
"""Tests run beside others on a shared machine: their bound is this many times the wanted one."""


# Speed.


def long_search(search: SearchFile) -> SearchState:
    """The state of a search with many finished candidates, drawn at random."""
    state, draw = load_state(search, []), random.Random(0)
    known = set()
    while len(state.candidates) < CANDIDATES:
        fitted = fit(search.space, search.space.sample(draw), state.limit)
        if fitted is None:
            continue
        number = len(state.candidates)
        fingerprint = search.space.experiment(fitted.values, number).fingerprint
        if fingerprint not in known:
            known.add(fingerprint)
            state.apply(
                {"kind": "candidate", "number": number, "values": fitted.values, "origin": "a test", "generation": 0,
                 "limit": state.limit, "parameters": fitted.parameters, "fingerprint": fingerprint}
            )  # fmt: skip
            state.apply(result(number, 0, 0.05 + draw.random()))
    while wanted := state.wanted_race():
        for number, seed in wanted:
            state.apply(result(number, seed, state.candidates[number].losses[0] * draw.gauss(1, 0.05)))
    return state


def result(number: int, seed: int, loss: float) -> dict[str, Any]:
    return {
        "kind": "result", "candidate": number, "seed": seed, "loss": loss, "passed": False, "accuracy": 50.0,
        "seconds": 1.0, "clock": 1.0,
    }  # fmt: skip


def test_with_a_thousand_candidates_the_next_one_is_there_at_once(tmp_path: Path) -> None:
    small = ["recipe.dataset=glyphs", "recipe.epochs=1", "recipe.holdout=1000", "search.candidates=2000"]
    search = read_search("under-8k", small)
    state = long_search(search)
    queue = SearchQueue(
        search, state, Journal(tmp_path), StandInPool(), SearchCallback(), Folders(runs=tmp_path), deterministic=False
    )  # fmt: skip
    seconds = []
    for _ in range(TRIES + 1):
        began = time.perf_counter()
        task = queue.next()
        seconds.append(time.perf_counter() - began)
        assert task is not None
        write_finished(task, learning_curve(task))
        queue.end(Outcome(task, "finished"))
    assert len(state.candidates) > CANDIDATES
    assert statistics.median(seconds[1:]) < PATIENCE * SECONDS  # the first call imports Optuna


# Deterministic searches.


@pytest.mark.parametrize("goal", ["best", "smallest"])
def test_a_deterministic_search_is_the_same_for_any_number_of_workers_in_any_order(goal: str, tmp_path: Path) -> None:
    def curve(task: Task) -> Result:  # some trainings diverge
        fate = random.Random(f"{task.experiment.fingerprint} {task.seed} fate").random()
        return Result(ending="diverged") if fate < 0.05 else learning_curve(task)

    file = write_search(tmp_path, goal=goal, candidates=30)
    journals: list[list[dict[str, Any]]] = []
    for slots, order in [(1, 0), (2, 1), (3, 2), (3, 3), (7, 4), (7, 5)]:
        pool = StandInPool(curve, slots=slots, order=order)
        _, events = search_with(file, pool, runs=tmp_path / f"{slots}-{order}", deterministic=True)
        journals.append(events)
    assert all(events == journals[0] for events in journals[1:])
    rounds = [event["trainings"] for event in journals[0] if event["kind"] == "round"]
    assert len(rounds[0]) == BATCH
    results = [[event["candidate"], event["seed"]] for event in journals[0] if event["kind"] == "result"]
    assert results == [pair for one in rounds for pair in one]


def test_a_usual_search_learns_results_in_the_order_in_which_they_come(tmp_path: Path) -> None:
    file = write_search(tmp_path, candidates=20)
    listener = Listener()
    _, events = search_with(file, StandInPool(slots=5, order=3), listener=listener)
    told = [value for kind, value in listener.told if kind == "result"]
    assert told == [(event["candidate"], event["seed"]) for event in events if event["kind"] == "result"]
    assert told != sorted(told)


def test_a_deterministic_search_may_continue_as_a_usual_one_and_back(tmp_path: Path) -> None:
    file = write_search(tmp_path, candidates=30)
    for after, deterministic in [(5, True), (7, False), (11, True), (6, False)]:
        with pytest.raises(KeyboardInterrupt):
            search_with(file, StoppingPool(after, slots=2), deterministic=deterministic)
    state, _ = search_with(file, StandInPool(slots=2), deterministic=True)
    assert len(state.candidates) == 30
    assert state.confirmed is not None


# Hours.


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("slots", [1, 3])
def test_no_training_begins_when_the_hours_are_used_up(deterministic: bool, slots: int, tmp_path: Path) -> None:
    begun: list[float] = []
    began = time.monotonic()

    class Slow(StandInPool):
        def submit(self, task: Task) -> None:
            begun.append(time.monotonic() - began)
            super().submit(task)

        def wait(self, seconds: float) -> list[Outcome]:
            time.sleep(0.1)
            return super().wait(seconds)

    file = write_search(tmp_path, candidates=10_000)
    read_search(file)  # so that it is not part of the time
    hours = 2.0
    pool = Slow(slots=slots)
    state, events = search_with(file, pool, f"search.hours={hours / 3600}", deterministic=deterministic)
    assert max(begun) < hours + 0.7  # the search itself begins a little later than this test
    assert len(state.candidates) < 100
    assert state.winner is not None
    learned = sum(event["kind"] == "result" for event in events)
    assert learned == len(pool.trained)  # also those that ended later
    again = Slow(slots=slots)
    search_with(file, again, f"search.hours={hours / 3600}", deterministic=deterministic)
    assert len(again.trained) <= 3  # the time since the last result is not known
    longer, _ = search_with(file, StandInPool(slots=slots), "search.candidates=20", deterministic=deterministic)
    assert longer.confirmed is not None


def test_time_is_kept_for_the_last_seeds_and_the_confirmation(tmp_path: Path) -> None:
    """Trainings say that they took a second, so 16 of them are kept of the 17 seconds."""
    file = write_search(tmp_path, candidates=1000)
    state, _ = search_with(file, StandInPool(), f"search.hours={17 / 3600}")
    assert len(state.candidates) < 1000
    assert state.confirmed is not None


# Faults.


def test_a_failed_training_drops_its_candidate_and_the_search_continues(tmp_path: Path) -> None:
    def curve(task: Task) -> Result:
        number = int(task.experiment.name.rpartition("-")[2])
        return Result(ending="failed") if number in (1, 4) else learning_curve(task)

    state, events = search_with(write_search(tmp_path, candidates=10), StandInPool(curve, slots=2))
    for number in (1, 4):
        assert state.candidates[number].failed == {0: "a reason"}
        assert state.race.standing(number).state == "dropped"
    assert state.confirmed is not None
    assert [event["candidate"] for event in events if "failed" in event] == [1, 4]


@pytest.mark.parametrize("deterministic", [False, True])
def test_several_failures_in_a_row_stop_the_search_which_wastes_no_candidate_when_repeated(
    deterministic: bool, tmp_path: Path
) -> None:
    file = write_search(tmp_path, candidates=10)
    for _ in range(4):
        with pytest.raises(DrilldownError, match=f"{FAILURES} trainings in a row failed; the last one: a reason"):
            search_with(file, StandInPool(lambda _: Result(ending="failed")), deterministic=deterministic)
    state, events = search_with(file, StandInPool(), deterministic=deterministic)
    assert sum("failed" in event for event in events) == FAILURES - 1
    assert state.confirmed is not None


def first_task(file: Path, number: int = 0, seed: int = 0) -> Task:
    """A task of a search that has run."""
    search = read_search(file)
    state = load_state(search, read_journal(search_folder(search, file.parent / "runs")))
    experiment = search.space.experiment(state.candidates[number].values, number)
    return Task(experiment, seed, Run.of(experiment, seed, file.parent / "runs"))


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_training_of_another_process_is_waited_for(deterministic: bool, tmp_path: Path) -> None:
    file = write_search(tmp_path, candidates=1)
    with pytest.raises(KeyboardInterrupt):
        search_with(file, StoppingPool(0), deterministic=deterministic)
    task = first_task(file)

    def train_slowly() -> None:
        with task.run.lock():
            locked.set()
            time.sleep(2.5)  # longer than two looks
            write_finished(task, learning_curve(task))

    locked = threading.Event()
    other = threading.Thread(target=train_slowly)
    other.start()
    locked.wait()
    listener, pool = Listener(), StandInPool()
    state, _ = search_with(file, pool, listener=listener, deterministic=deterministic)
    other.join()
    assert listener.told.count(("wait", str(task))) == 1  # said once, not every second
    assert (task.experiment.fingerprint, 0) not in pool.trained
    assert state.confirmed is not None


def test_a_training_that_another_process_has_just_begun_is_taken_up_when_that_one_is_killed(tmp_path: Path) -> None:
    endings = itertools.chain(["busy", "busy"], itertools.repeat("finished"))

    def taken(task: Task) -> Result:
        return Result(learning_curve(task).loss, next(endings))

    state, _ = search_with(write_search(tmp_path, candidates=6), StandInPool(taken, slots=2))
    assert all(0 in candidate.losses for candidate in state.candidates.values())


def test_a_second_process_on_one_search_is_refused(tmp_path: Path) -> None:
    file = write_search(tmp_path)
    with open_journal(search_folder(read_search(file), tmp_path / "runs")):
        pool = StandInPool()
        with pytest.raises(SearchBusyError, match="another process works on this search"):
            search_with(file, pool)
        assert pool.trained == []
