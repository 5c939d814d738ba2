"""The state of a search: a pure function of its events, the limits of a search for the smallest, and confirmations."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.search.confirmation import ALPHA
from drilldown.search.queue import SearchQueue
from drilldown.search.race import RUNGS
from drilldown.search.state import PATIENCE, RESOLUTION, SearchState, rebuild
from drilldown.search.tables import SearchSettings
from support.stand_in import Result, StandInPool, learning_curve, search_with, write_search

SEEDS = RUNGS[-1]


def snapshot(state: SearchState) -> dict[str, Any]:
    """Everything that a state says."""
    own = {name: value for name, value in vars(state).items() if name not in ("settings", "race")}
    race = {
        number: (dict(state.race.losses(number)), state.race.standing(number), state.race.mean_loss(number))
        for number in state.candidates
    }
    wanted = state.wanted_race(), state.wanted_race(closing=True), state.wanted_proof(), state.open_round
    answers = state.incumbent, state.winner, state.confirmed, state.next_limit(), state.ended, state.front()
    return {**own, "race": race, "wanted": wanted, "answers": answers}


class Story:
    """A state with short words for its events."""

    def __init__(self, limit: int = 2000, goal: str = "smallest", *, judged: bool = True, most: int = 20) -> None:
        options: dict[str, Any] = {"goal": goal, "confirm": {"rate": 0.8, "most": most}}
        self.settings = SearchSettings.model_validate(options)
        self.judged, self.first = judged, limit
        self.state = SearchState(self.settings, limit, judged=judged)
        self.events: list[dict[str, Any]] = []

    def add(self, kind: str, **values: Any) -> None:
        self.events.append({"kind": kind, **values})
        self.state.apply(self.events[-1])

    def candidate(self, parameters: int) -> int:
        number = len(self.state.candidates)
        self.add(
            "candidate", number=number, values={}, origin="a test", generation=self.state.generation,
            limit=self.state.limit, parameters=parameters, fingerprint=f"{number:08x}",
        )  # fmt: skip
        return number

    def result(self, number: int, seed: int, loss: float | None, passed: bool) -> None:
        self.add(
            "result", candidate=number, seed=seed, loss=loss, passed=passed, accuracy=None if loss is None else 90.0,
            seconds=1.0, clock=float(len(self.events)),
        )  # fmt: skip

    def race(self, number: int, loss: float, passed: bool) -> None:
        for seed in range(SEEDS):
            self.result(number, seed, loss, passed)

    def confirm(self, number: int, passes: bool) -> None:
        """Runs a confirmation whose fresh seeds all have the same verdict."""
        self.add("confirmation", candidate=number)
        trial = self.state.trials[-1]
        while (decision := self.state.decide(trial)) is None:
            wanted = self.state.wanted_fresh(trial)
            assert wanted
            for candidate, seed in wanted:
                self.result(candidate, seed, 0.1, passes)
        self.add("decision", decision=decision)

    def lower(self) -> None:
        change = self.state.next_limit()
        assert change is not None
        self.add("limit", limit=change[0], too_small=change[1], reason=change[2])


@pytest.mark.parametrize("goal", ["best", "smallest"])
@pytest.mark.parametrize("deterministic", [False, True])
def test_the_events_give_the_running_state_after_each_of_them(
    goal: str, deterministic: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: list[dict[str, Any]] = []
    note = SearchQueue._note

    def note_and_look(queue: SearchQueue, event: Any) -> None:
        note(queue, event)
        running.append(snapshot(rebuild(queue.journal.events, queue.state.settings, 2000, judged=True)))
        assert running[-1] == snapshot(queue.state)

    monkeypatch.setattr(SearchQueue, "_note", note_and_look)
    file = write_search(tmp_path, goal=goal, candidates=14)
    _, events = search_with(file, StandInPool(slots=3), deterministic=deterministic)
    assert len(running) == len(events) - 1  # the first line is that of the search
    assert {event["kind"] for event in events} >= {"candidate", "result", "confirmation", "decision"}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), goal=st.sampled_from(["best", "smallest"]))
def test_the_order_of_results_between_two_decisions_changes_nothing(seed: int, goal: str) -> None:
    story, draw = Story(goal=goal), random.Random(seed)
    for _ in range(8):
        story.candidate(draw.randint(10, 2000))
    losses = {(n, s): draw.choice([None, draw.uniform(0.1, 0.2)]) for n in range(8) for s in range(draw.choice(RUNGS))}
    orders = []
    for _ in range(2):
        pairs = list(losses)
        draw.shuffle(pairs)
        told = Story(goal=goal)
        for event in story.events:
            told.add(**event)
        for number, seed_ in pairs:
            told.result(number, seed_, losses[number, seed_], passed=losses[number, seed_] is not None)
        found = snapshot(told.state)
        orders.append({key: value for key, value in found.items() if key != "seconds"})
    assert orders[0] == orders[1]


def test_a_confirmed_candidate_lowers_the_limit_by_a_quarter() -> None:
    story = Story(limit=2000)
    number = story.candidate(1600)
    story.race(number, 0.1, passed=True)
    assert story.state.promising(story.state.candidates[number])
    story.confirm(number, passes=True)
    assert story.state.confirmed is story.state.candidates[number]
    assert story.state.next_limit() == (1200, None, "candidate 0 with 1,600 parameters was confirmed")
    story.lower()
    assert (story.state.limit, story.state.generation) == (1200, 1)
    assert story.state.incumbent is None  # the one of the larger limit counts no more
    assert story.state.wanted_race() == story.state.wanted_proof() == []


def test_larger_networks_do_not_race_on_after_the_limit_was_lowered() -> None:
    """Their seeds would cost time, and the best of them could be confirmed although it is not smaller."""
    story = Story(limit=2000)
    small, large = story.candidate(1000), story.candidate(1990)
    story.race(small, 0.10, passed=True)
    story.result(large, 0, 0.10, passed=True)
    assert (large, 1) in story.state.wanted_race()
    story.confirm(small, passes=True)
    story.lower()
    assert story.state.wanted_race(closing=True) == []


def test_small_networks_of_before_race_on_below_a_lower_limit() -> None:
    story = Story(limit=2000)
    large, small = story.candidate(1800), story.candidate(1000)
    story.race(large, 0.10, passed=True)
    story.race(small, 0.14, passed=True)
    story.confirm(large, passes=True)
    story.lower()
    assert story.state.incumbent == small


def test_a_limit_at_which_nothing_is_good_goes_half_way_back() -> None:
    story = Story(limit=2000)
    story.race(story.candidate(2000), 0.1, passed=True)
    story.confirm(0, passes=True)
    story.lower()
    for count in range(PATIENCE):
        assert story.state.next_limit() is None, count
        story.race(story.candidate(1500), 0.2, passed=False)
    limit, too_small, reason = story.state.next_limit() or (0, 0, "")
    assert (limit, too_small) == (math.isqrt(1500 * 2000), 1500)
    assert reason == "no candidate below 1,500 parameters was good enough"


def test_a_limit_below_which_there_are_few_networks_is_given_up_when_all_were_tried() -> None:
    story = Story(limit=2000)
    story.race(story.candidate(2000), 0.1, passed=True)
    story.confirm(0, passes=True)
    story.lower()
    story.race(story.candidate(1500), 0.2, passed=False)
    story.add("exhausted")
    assert story.state.gave_up
    story.lower()
    assert not story.state.exhausted
    story.add("exhausted")  # without a single candidate
    assert story.state.gave_up


@settings(max_examples=100, deadline=None)
@given(first=st.integers(1, 100_000), share=st.floats(0, 1), data=st.data())
def test_the_limits_close_in_on_the_smallest_good_network_and_end(
    first: int, share: float, data: st.DataObject
) -> None:
    """All networks from `smallest` parameters on are good, and the search may find any of those below its limit."""
    smallest = max(1, round(first * share))
    story = Story(limit=first)
    for step in itertools.count():
        assert step < 200
        state = story.state
        if state.limit >= smallest:
            number = story.candidate(data.draw(st.integers(smallest, state.limit)))
            story.race(number, 0.1, passed=True)
            story.confirm(number, passes=True)
        else:
            for _ in range(PATIENCE):
                story.race(story.candidate(data.draw(st.integers(1, state.limit))), 0.2, passed=False)
        if state.ended:
            break
        low, high = state.too_small or 0, state.confirmed.parameters if state.confirmed else first
        story.lower()
        assert low < story.state.limit < high
    assert state.confirmed is not None
    found = state.confirmed.parameters
    assert smallest <= found
    assert found <= max(RESOLUTION * smallest, smallest + 1)
    assert state.next_limit() is None
    confirmed = [state.candidates[trial.candidate].parameters for trial in state.trials]
    assert all(later < earlier for earlier, later in itertools.pairwise(confirmed))


def test_each_confirmation_has_fresh_seeds_and_its_share_of_alpha() -> None:
    story = Story(limit=2000, most=20)
    verdicts = [False, True, False, False, True]
    used: list[int] = []
    failures = 0
    for number, passes in enumerate(verdicts):
        story.candidate(1000)
        story.confirm(number, passes)
        trial = story.state.trials[-1]
        assert trial.test is not None
        assert trial.test.alpha == pytest.approx(ALPHA / 2 ** (failures + 1))
        assert (trial.decision == "accepted") == passes
        failures += not passes
        used += trial.seeds
    assert len(used) == len(set(used)) == 20 * len(verdicts)
    assert min(used) >= 100 > SEEDS


def test_a_budget_without_an_accuracy_is_measured_on_as_many_seeds_as_a_race_has() -> None:
    story = Story(goal="best", judged=False)
    story.race(story.candidate(100), 0.1, passed=True)
    story.add("confirmation", candidate=0)
    wanted = story.state.wanted_fresh(story.state.trials[0])
    assert [seed for _, seed in wanted] == list(range(100, 100 + SEEDS))
    for number, seed in wanted:
        story.result(number, seed, 0.1, passed=True)
    assert story.state.decide(story.state.trials[0]) == "measured"


def test_a_failed_training_counts_as_diverged_with_its_reason() -> None:
    story = Story()
    story.candidate(100)
    result = {"candidate": 0, "loss": None, "passed": False, "accuracy": None, "seconds": 0.0, "clock": 1.0}
    story.add("result", seed=0, failed="it was killed", **result)
    assert story.state.candidates[0].failed == {0: "it was killed"}
    assert story.state.race.standing(0).state == "dropped"
    assert story.state.failed_in_row == 1
    story.add("result", seed=1, **result)
    assert story.state.failed_in_row == 0


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "unknown"},
        {"kind": "decision", "decision": "accepted"},
        {"kind": "result", "candidate": 3, "seed": 0},
        {"kind": "round", "trainings": [[7, 0]]},
        {"kind": "candidate", "number": 0},
        {"kind": "limit"},
    ],
)
def test_an_event_that_does_not_belong_here_raises(event: dict[str, Any]) -> None:
    with pytest.raises((LookupError, TypeError, ValueError, AttributeError)):
        Story().state.apply(event)


def test_the_front_has_the_best_network_of_each_size() -> None:
    story = Story(goal="best")
    sizes, losses = [500, 100, 300, 300, 400], [0.11, 0.20, 0.15, 0.14, 0.30]
    for size, loss in zip(sizes, losses, strict=True):
        story.result(story.candidate(size), 0, loss, passed=False)
    story.candidate(50)  # without a result
    dominated = {
        a for a in range(5) for b in range(5) if a != b and sizes[b] <= sizes[a] and losses[b] <= losses[a]
    }  # fmt: skip
    expected = sorted(set(range(5)) - dominated, key=lambda number: sizes[number])
    assert [candidate.number for candidate in story.state.front()] == expected


def test_the_winner_is_the_confirmed_one_else_the_best_of_the_latest_generation_with_a_result() -> None:
    story = Story(limit=2000)
    assert story.state.winner is None
    story.result(story.candidate(1900), 0, None, passed=False)
    assert story.state.winner is None  # diverged
    story.race(story.candidate(1800), 0.2, passed=True)
    assert story.state.winner is story.state.candidates[1]
    story.race(story.candidate(1700), 0.1, passed=True)
    assert story.state.winner is story.state.candidates[2]
    story.confirm(2, passes=True)
    story.lower()
    story.race(story.candidate(1000), 0.05, passed=False)
    assert story.state.winner is story.state.candidates[2]


def test_searches_with_diverging_and_failing_trainings_rebuild_too(tmp_path: Path) -> None:
    endings = itertools.cycle(["finished", "diverged", "failed"])

    def moody(task: Any) -> Result:
        return Result(learning_curve(task).loss, next(endings))

    state, events = search_with(write_search(tmp_path, candidates=20), StandInPool(moody, slots=2))
    told = [{**event, "clock": 0.0} for event in events]
    again = rebuild(told, state.settings, 2000, judged=True)
    again.seconds = state.seconds
    assert snapshot(again) == snapshot(state)
    assert any(candidate.failed for candidate in state.candidates.values())
