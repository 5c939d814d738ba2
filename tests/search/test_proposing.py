"""Proposals: a pure function of the events, never above the limit, no network twice, and an end where there is none."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from drilldown.errors import DrilldownError
from drilldown.search.fit import fit
from drilldown.search.proposing import ORIGINAL, propose_candidate
from drilldown.search.reading import SearchFile, read_search
from drilldown.search.running import load_state
from support.stand_in import Result, StandInPool, search_with, write_search

SMALL_SPACES = {
    "one combination": "w1 = { int = [4, 4] }\nw2 = { int = [5, 5] }\n",
    "one that fits": 'w1 = { int = [2, 3] }\nw2 = { int = [5, 5] }\n"recipe.batch_size" = { one_of = [32] }\n',
    "few": 'w1 = { int = [2, 12], step = 5 }\nw2 = { int = [2, 4] }\n"recipe.batch_size" = { one_of = [16, 32] }\n',
    "most of it above the limit": (
        "w1 = { int = [2, 2] }\nw2 = { one_of = [2, 4, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100] }\n"
        '"recipe.batch_size" = { one_of = [16, 32, 64] }\n'
    ),
    "start and middle": 'w1 = { int = [2, 8], start = 3 }\nw2 = { int = [2, 8], step = 3 }\n',
}  # fmt: skip


def all_networks(search: SearchFile, limit: int) -> set[str]:
    """The fingerprints of all networks that keep the limit, each combination of values made as wide as it allows."""
    dimensions = search.space.dimensions
    ranges = [dimension.range for dimension in dimensions.values()]
    sizes = [range(each.size or 0) for each in ranges]
    found = set()
    for indices in itertools.product(*sizes):
        values = {name: each.at(i) for name, each, i in zip(dimensions, ranges, indices, strict=True)}
        fitted = fit(search.space, values, limit)
        if fitted is not None:
            found.add(search.space.experiment(fitted.values).fingerprint)
    return found


@pytest.mark.parametrize("goal", ["best", "smallest"])
@pytest.mark.parametrize("slots", [1, 3])
def test_each_candidate_follows_from_the_lines_above_its_own(goal: str, slots: int, tmp_path: Path) -> None:
    file = write_search(tmp_path, goal=goal, candidates=24)
    _, events = search_with(file, StandInPool(slots=slots))
    search = read_search(file)
    proposed = 0
    for index, event in enumerate(events):
        if event["kind"] == "candidate":
            state = load_state(search, [{"clock": 0.0, **before} for before in events[:index]])
            candidate, experiment = propose_candidate(search, state) or pytest.fail("nothing was proposed")
            assert {key: getattr(candidate, key) for key in event if key != "kind"} == {
                key: value for key, value in event.items() if key != "kind"
            }
            assert experiment.fingerprint == event["fingerprint"]
            assert experiment.name.endswith(f"-candidate-{candidate.number}")
            proposed += 1
    assert proposed == 24


@pytest.mark.parametrize("goal", ["best", "smallest"])
def test_no_candidate_is_above_its_limit_or_proposed_twice(goal: str, tmp_path: Path) -> None:
    file = write_search(tmp_path, goal=goal, candidates=60)
    state, _ = search_with(file, StandInPool(slots=2))
    search = read_search(file)
    limits = [limit for limit, _ in state.limits]
    fingerprints = set()
    for candidate in state.candidates.values():
        experiment = search.space.experiment(candidate.values)
        parameters = sum(weights.numel() for weights in experiment.build(0).parameters())  # PyTorch counts them
        assert parameters == candidate.parameters <= candidate.limit == limits[candidate.generation]
        assert experiment.fingerprint == candidate.fingerprint
        fingerprints.add(candidate.fingerprint)
    assert len(fingerprints) == len(state.candidates) > 30
    origins = {candidate.origin.split(" candidate")[0] for candidate in state.candidates.values()}
    assert {"the sampler", "a neighbour of"} <= origins


def test_another_seed_proposes_other_candidates(tmp_path: Path) -> None:
    file = write_search(tmp_path, candidates=5)
    one, _ = search_with(file, StandInPool())
    other, _ = search_with(file, StandInPool(), "search.seed=1")
    assert {c.fingerprint for c in one.candidates.values()} != {c.fingerprint for c in other.candidates.values()}


@pytest.mark.parametrize("space", SMALL_SPACES.values(), ids=SMALL_SPACES.keys())
@pytest.mark.parametrize("deterministic", [False, True])
def test_a_small_space_is_tried_as_a_whole_and_ends_the_search(space: str, deterministic: bool, tmp_path: Path) -> None:
    file = write_search(tmp_path, candidates=500, space=space, limit=900)
    state, events = search_with(file, StandInPool(slots=2), deterministic=deterministic)
    networks = all_networks(read_search(file), 900)
    originals = {c.fingerprint for c in state.candidates.values() if c.origin == ORIGINAL}  # it is not made wider
    assert {candidate.fingerprint for candidate in state.candidates.values()} == networks | originals
    assert state.exhausted
    assert sum(event["kind"] == "exhausted" for event in events) == 1
    assert state.trials  # the race is closed, and the best is confirmed
    _, later = search_with(file, StandInPool(slots=2), deterministic=deterministic)
    assert later == events


def test_a_space_without_a_network_below_the_limit_ends_at_once(tmp_path: Path) -> None:
    pool = StandInPool()
    state, _ = search_with(write_search(tmp_path, limit=20), pool)
    assert (state.candidates, state.winner, pool.trained) == ({}, None, [])


def test_the_original_is_the_first_candidate_and_is_fitted_where_it_is_too_large(tmp_path: Path) -> None:
    space = 'w1 = { int = [2, 12], start = 12 }\nw2 = { int = [2, 24], start = 20 }\n'  # fmt: skip
    for limit, origin in ((5000, ORIGINAL), (1000, "the original, fitted to the limit")):
        file = write_search(tmp_path / str(limit), space=space, limit=limit, candidates=2)
        state, _ = search_with(file, StandInPool())
        assert state.candidates[0].origin == origin
        widths = state.candidates[0].values["w1"], state.candidates[0].values["w2"]
        assert (widths == (12, 20)) == (origin == ORIGINAL)


def test_after_a_limit_was_lowered_the_confirmed_network_is_made_smaller(tmp_path: Path) -> None:
    state, _ = search_with(write_search(tmp_path, goal="smallest", candidates=40), StandInPool())
    firsts = [
        next((c for c in state.candidates.values() if c.generation == generation), None)
        for generation in range(1, state.generation + 1)
    ]
    confirmed = [trial.candidate for trial in state.trials if trial.decision == "accepted"]
    assert confirmed
    assert firsts[0] is not None
    assert firsts[0].origin == f"candidate {confirmed[0]}, fitted to the smaller limit"


def test_combinations_that_make_no_network_are_passed_over(tmp_path: Path) -> None:
    space = 'w1 = { int = [2, 6] }\nw2 = { one_of = ["4 groups=4", "6 groups=6", "8"] }\n'  # fmt: skip
    file = write_search(tmp_path, candidates=100, space=space)
    state, _ = search_with(file, StandInPool())
    made = set()
    search = read_search(file)
    for w1, w2 in itertools.product(range(2, 7), ("4 groups=4", "6 groups=6", "8")):
        try:
            search.space.experiment({"w1": w1, "w2": w2})
        except DrilldownError:
            continue
        made.add(w2)
    assert {candidate.values["w2"] for candidate in state.candidates.values()} == made
    assert state.exhausted


def test_a_search_whose_trainings_all_diverge_tries_different_places_and_ends(tmp_path: Path) -> None:
    pool = StandInPool(lambda _: Result(ending="diverged"), slots=2)
    state, _ = search_with(write_search(tmp_path, candidates=40), pool)
    assert len(pool.trained) == len(state.candidates) == 40
    assert state.winner is None
    rates: list[Any] = [candidate.values["recipe.optimizer.lr"] for candidate in state.candidates.values()]
    assert max(rates) / min(rates) > 10
