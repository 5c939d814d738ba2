"""The race: which trainings it wants, and whom it drops."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.search.race import PRIOR_DEVIATION, RUNGS, TOLERANCE, Race

LOSSES = st.sampled_from([math.inf, 0.0, 0.02, 0.02]) | st.floats(0.015, 0.05)


def race_with(*candidates: list[float], rungs: tuple[int, ...] = RUNGS) -> Race:
    """A race whose candidates 0, 1, … have these losses for the seeds 0, 1, …."""
    race = Race(rungs)
    for candidate, losses in enumerate(candidates):
        race.add(candidate)
        for seed, loss in enumerate(losses):
            race.result(candidate, seed, loss)
    return race


def run(race: Race, candidates: int, loss: Callable[[int, int], float], workers: int = 1, shuffle: int = 0) -> int:
    """Runs a race to its end, as a search does, and returns the number of trainings."""
    order = random.Random(shuffle)
    added = trainings = 0
    running: list[tuple[int, int]] = []
    while True:
        waiting = [training for training in race.wanted(closing=added == candidates) if training not in running]
        while len(running) < workers and (waiting or added < candidates):
            if not waiting:
                race.add(added)
                waiting = [(added, seed) for seed in range(race.rungs[0])]
                added += 1
            running.append(waiting.pop(0))
        if not running:
            return trainings
        candidate, seed = running.pop(order.randrange(len(running)))
        race.result(candidate, seed, loss(candidate, seed))
        trainings += 1


def test_an_empty_race_wants_nothing() -> None:
    race = Race()
    assert (race.wanted(), race.wanted(closing=True), race.incumbent, race.generation) == ([], [], None, 0)
    assert race.deviation == PRIOR_DEVIATION


def test_each_candidate_gets_the_first_seed() -> None:
    race = race_with([], [], [])
    assert race.wanted() == [(0, 0), (1, 0), (2, 0)]
    assert (race.standing(0).state, race.standing(0).reason) == ("racing", "waits for its first result")
    assert (race.mean_loss(0), race.incumbent) == (None, None)


def test_the_first_candidate_is_the_incumbent_and_gets_no_further_seed_alone() -> None:
    race = race_with([0.03])
    assert (race.incumbent, race.wanted()) == (0, [])
    assert race.wanted(closing=True) == [(0, 1)]
    assert race.standing(0).reason == "lowest loss: 0.0300 on 1 seed"


def test_a_better_candidate_becomes_the_incumbent_and_a_much_worse_one_is_dropped() -> None:
    race = race_with([0.03], [0.0275], [0.0312])
    assert race.incumbent == 1
    assert [race.standing(candidate).state for candidate in range(3)] == ["dropped", "racing", "dropped"]
    assert race.standing(2).reason == "loss 0.0312 against 0.0275 of candidate 1 on the same seed"
    assert race.wanted() == []


def test_a_close_candidate_gets_more_seeds_after_the_incumbent() -> None:
    race = race_with([0.0300], [0.0305])
    assert race.wanted() == [(0, 1), (1, 1)]
    race.result(0, 1, 0.0300)
    assert race.wanted() == [(1, 1)]
    race.result(1, 1, 0.0301)
    assert race.wanted() == [(0, 2), (0, 3), (1, 2), (1, 3)]
    race.result(1, 3, 0.05)
    assert race.wanted() == [(0, 2), (0, 3), (1, 2)]


def test_a_candidate_with_more_seeds_comes_before_one_with_fewer_and_before_a_new_one() -> None:
    race = race_with([0.030] * 4, [0.0301], [0.0300, 0.0300], [])
    assert race.wanted() == [(2, 2), (2, 3), (1, 1), (3, 0)]


def test_the_incumbent_has_the_most_seeds_and_of_those_the_lowest_mean() -> None:
    assert race_with([0.03] * 2, [0.02]).incumbent == 0
    assert race_with([0.03] * 2, [0.04, 0.01]).incumbent == 1
    assert race_with([0.03] * 2, [0.03] * 2).incumbent == 0


def test_a_finished_challenger_takes_the_place_of_the_incumbent_if_its_mean_is_lower() -> None:
    race = race_with([0.0300] * 8, [0.0299] * 8, [0.0301] * 8)
    assert race.incumbent == 1
    assert race.standing(1).reason == "lowest loss: 0.0299 on 8 seeds"
    assert race.standing(2).reason == "loss 0.0301 against 0.0299 of candidate 1 on the same 8 seeds"
    assert {race.standing(candidate).state for candidate in range(3)} == {"finished"}
    assert race.wanted(closing=True) == []


@pytest.mark.parametrize("seeds", [1, 2, 4])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_candidate_is_dropped_above_the_tolerated_number_of_standard_errors(seeds: int, side: int) -> None:
    """All differences are equal, so that they say nothing new about their spread except with several seeds."""
    incumbent = 0.03
    # The prior counts as 4 pairs; the equal differences of n seeds are n - 1 further ones, without any spread.
    deviation = PRIOR_DEVIATION * math.sqrt(4 / (4 + seeds - 1))
    limit = TOLERANCE * deviation * incumbent / math.sqrt(seeds)
    race = race_with([incumbent] * seeds, [incumbent + limit * (1 + side * 1e-6)] * seeds)
    assert race.standing(1).state == ("dropped" if side > 0 else "racing")


def test_the_spread_is_measured_on_pairs() -> None:
    """Seeds that are hard for all candidates cancel in the differences."""
    draw = np.random.default_rng(3)
    hard = draw.normal(0, 0.01, 8)
    losses = 0.1 + hard + draw.normal(0, 0.002, (400, 8))
    race = race_with(losses[0].tolist(), *losses[1:].tolist())
    pooled = np.std(losses - losses[race.incumbent or 0], axis=1, ddof=1)
    true = math.sqrt(float(np.mean(pooled**2))) / float(losses[race.incumbent or 0].mean())
    assert race.deviation == pytest.approx(true, rel=0.08)


@pytest.mark.parametrize("n", [2, 4, 8])
def test_the_measured_spread_does_not_depend_on_the_number_of_seeds(n: int) -> None:
    draw = np.random.default_rng(4)
    losses = 1 + draw.normal(0, 0.05, (600, n))
    losses[0] = 1 - 1e-9  # the incumbent has no spread of its own, and stays the incumbent
    losses += np.where(np.arange(600)[:, None] == 0, 0, 0.3)
    assert race_with(*losses.tolist()).deviation == pytest.approx(0.05, rel=0.08)


def test_one_training_that_nearly_diverged_does_not_make_the_race_keep_everything() -> None:
    draw = np.random.default_rng(5)
    losses = np.exp(draw.normal(-4, 0.07, (20, 2)))
    calm = race_with(*losses.tolist()).deviation
    losses[7, 1] = 2.3
    assert race_with(*losses.tolist()).deviation < 1.5 * calm


def test_a_diverged_training_drops_a_candidate_despite_good_other_seeds() -> None:
    race = race_with([0.03] * 4, [0.01, 0.01, math.inf, 0.01], [math.inf])
    assert race.incumbent == 0
    assert race.standing(1).state == race.standing(2).state == "dropped"
    assert race.standing(1).reason == "the training with seed 2 diverged"
    assert (race.mean_loss(1), race.wanted()) == (math.inf, [])


def test_an_incumbent_that_diverges_is_followed_by_the_next_best() -> None:
    race = race_with([0.01, 0.01], [0.03], [0.02])
    assert race.incumbent == 0
    race.result(0, 3, math.inf)
    assert (race.incumbent, race.standing(0).state) == (2, "dropped")


def test_a_race_in_which_everything_diverged_has_no_incumbent() -> None:
    race = race_with([math.inf], [math.inf])
    assert (race.incumbent, race.wanted(closing=True)) == (None, [])


def test_a_loss_of_zero_is_a_loss() -> None:
    race = race_with([0.0], [0.0], [1e-9])
    assert race.incumbent == 0
    assert [race.standing(candidate).state for candidate in range(3)] == ["racing", "racing", "dropped"]


@pytest.mark.parametrize(
    ("losses", "text"),
    [
        ((0.0275, 0.0312), "loss 0.0312 against 0.0275"),
        ((0.015812, 0.021049), "loss 0.0210 against 0.0158"),
        ((0.5, 1.25), "loss 1.2500 against 0.5000"),
        ((0.0000123, 0.0000456), "loss 0.0000456 against 0.0000123"),
        ((0.030001, 0.030009), "loss 0.03001 against 0.03000"),
        ((0.0, 0.5), "loss 0.5000 against 0.0000"),
    ],
)
def test_the_reason_shows_losses_with_digits_that_differ(losses: tuple[float, float], text: str) -> None:
    race = race_with([losses[0]] * 8, [losses[1]])
    assert race.standing(1).reason == f"{text} of candidate 0 on the same seed"


def test_a_new_generation_races_alone_and_keeps_the_measured_spread() -> None:
    draw = np.random.default_rng(6)
    race = race_with(*np.exp(draw.normal(-4, 0.03, (30, 8))).tolist(), [0.02])
    spread, old = race.deviation, race.incumbent
    race.add(31, generation=1)
    assert (race.generation, race.incumbent, race.incumbent_of(0)) == (1, None, old)
    assert race.wanted() == [(31, 0)]
    assert race.deviation == spread != PRIOR_DEVIATION
    race.result(31, 0, 5.0)
    assert (race.incumbent, race.standing(31).state) == (31, "racing")
    assert {race.standing(candidate).state for candidate in range(30)} == {"finished"}


def test_a_smaller_limit_ends_the_race_of_the_former_candidates() -> None:
    race = race_with([0.03], [0.0301], [0.06], [])
    race.add(4, generation=1)
    assert [(standing.state, standing.reason) for standing in map(race.standing, range(4))] == [
        ("finished", "lowest loss: 0.0300 on 1 seed"),
        ("finished", "loss 0.0301 against 0.0300 of candidate 0 on the same seed; then a smaller limit was set"),
        ("dropped", "loss 0.0600 against 0.0300 of candidate 0 on the same seed"),
        ("finished", "a smaller limit was set before its first result"),
    ]


def test_a_candidate_that_meets_the_smaller_limit_moves_with_its_results() -> None:
    race = race_with([0.03, 0.03], [0.0301])
    race.add(0, generation=1)
    race.add(2, generation=1)
    race.add(0, generation=0)  # it does not move back
    assert (race.incumbent, race.incumbent_of(0), dict(race.losses(0))) == (0, 1, {0: 0.03, 1: 0.03})
    assert race.wanted() == [(2, 0)]


def test_a_training_that_was_done_twice_counts_once() -> None:
    race = race_with([0.03])
    race.result(0, 0, 0.01)
    assert dict(race.losses(0)) == {0: 0.03}


def test_losses_cannot_be_changed_from_outside() -> None:
    losses = race_with([0.03]).losses(0)
    with pytest.raises(TypeError):
        losses[1] = 0.1  # type: ignore[index]


@pytest.mark.parametrize("rungs", [(), (0, 1), (2, 2), (4, 2)])
def test_rungs_that_do_not_increase_are_an_error(rungs: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected numbers of seeds that increase"):
        Race(rungs)


@pytest.mark.parametrize(("seed", "loss"), [(8, 0.1), (-1, 0.1), (0, math.nan), (0, -0.1), (0, -math.inf)])
def test_seeds_outside_the_race_and_losses_that_are_none_are_errors(seed: int, loss: float) -> None:
    race = race_with([])
    with pytest.raises(ValueError, match="expected 0"):
        race.result(0, seed, loss)


def test_a_result_of_an_unknown_candidate_is_an_error() -> None:
    with pytest.raises(KeyError):
        Race().result(5, 0, 0.1)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7), LOSSES), max_size=40), st.data())
def test_all_answers_depend_on_the_set_of_results_alone(
    results: list[tuple[int, int, float]], data: st.DataObject
) -> None:
    results = list({result[:2]: result for result in results}.values())
    generations = data.draw(st.lists(st.integers(0, 1), min_size=6, max_size=6))
    answers = []
    for order in (results, data.draw(st.permutations(results))):
        race = Race()
        for candidate in data.draw(st.permutations(range(6))):
            race.add(candidate, generations[candidate])
        for result in order:
            race.result(*result)
        standings = [race.standing(candidate) for candidate in range(6)]
        means = [race.mean_loss(candidate) for candidate in range(6)]
        answers.append((race.incumbent, race.deviation, race.wanted(), race.wanted(closing=True), standings, means))
    assert answers[0] == answers[1]


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 5),
    st.sampled_from([(1, 2, 4, 8), (1,), (2, 3), (1, 5)]),
    st.integers(0, 99),
    st.data(),
)
def test_a_race_ends_with_the_best_of_the_finished_candidates(
    candidates: int, workers: int, rungs: tuple[int, ...], shuffle: int, data: st.DataObject
) -> None:
    size = candidates * rungs[-1]
    drawn = data.draw(st.lists(LOSSES, min_size=size, max_size=size))
    losses = np.reshape(drawn, (candidates, rungs[-1]))
    race = Race(rungs)
    trainings = run(race, candidates, lambda candidate, seed: float(losses[candidate, seed]), workers, shuffle)
    assert trainings == sum(len(race.losses(candidate)) for candidate in range(candidates)) <= size
    complete = [
        candidate
        for candidate in range(candidates)
        if len(race.losses(candidate)) == rungs[-1] and np.isfinite(losses[candidate]).all()
    ]
    if race.incumbent is None:
        assert not complete
    else:
        assert math.fsum(losses[race.incumbent]) == min(math.fsum(losses[candidate]) for candidate in complete)
    for candidate in range(candidates):
        standing = race.standing(candidate)
        assert standing.state != "racing"
        diverged = any(math.isinf(loss) for loss in race.losses(candidate).values())
        assert standing.reason.endswith("diverged") == diverged
        assert standing.state == "dropped" or len(race.losses(candidate)) == rungs[-1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7), LOSSES), max_size=40))
def test_only_missing_results_of_racing_candidates_are_wanted(results: list[tuple[int, int, float]]) -> None:
    race = race_with(*[[] for _ in range(6)])
    for result in results:
        race.result(*result)
    wanted = race.wanted()
    assert len(set(wanted)) == len(wanted)
    for candidate, seed in wanted:
        assert seed not in race.losses(candidate)
        assert race.standing(candidate).state == "racing"
    if race.incumbent is not None:
        for candidate in range(6):
            if race.standing(candidate).state == "racing":
                complete = next((n for n in range(9) if n not in race.losses(candidate)), 8)
                compared = range(max((rung for rung in RUNGS if rung <= complete), default=0))
                assert set(compared) <= race.losses(race.incumbent).keys()
