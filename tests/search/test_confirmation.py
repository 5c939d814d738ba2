"""The confirmation: exact chances, prefix decisions, and the difference between race and fresh seeds."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from drilldown.search.confirmation import (
    ALPHA,
    BETA,
    Confirmation,
    fresh_seeds,
    in_seed_order,
    level,
    measure_shrinkage,
)

SMALL = st.builds(
    Confirmation,
    rate=st.sampled_from([0.55, 0.7, 0.8, 0.9]),
    most=st.integers(1, 9),
    alpha=st.sampled_from([0.05, 0.3]),
)
RESULTS = st.lists(st.booleans(), max_size=30)


@cache
def sequences(most: int) -> list[tuple[bool, ...]]:
    return list(itertools.product((True, False), repeat=most))


def probability(sequence: tuple[bool, ...], rate: float) -> float:
    return math.prod(rate if passed else 1 - rate for passed in sequence)


def log_ratio(test: Confirmation, passed: int, failed: int) -> float:
    return passed * math.log(test.good / test.too_low) + failed * math.log((1 - test.good) / (1 - test.too_low))


def accepts_with_bound(test: Confirmation, sequence: tuple[bool, ...], bound: float) -> bool:
    """Wald's test as he wrote it, with any bound for acceptance."""
    passed = failed = 0
    for one in sequence:
        passed, failed = passed + one, failed + (not one)
        ratio = log_ratio(test, passed, failed)
        if ratio >= bound - 1e-9:
            return True
        if ratio <= math.log(BETA / (1 - test.alpha)):
            return False
    return False


def test_the_two_rates_have_twice_and_half_the_failures() -> None:
    test = Confirmation(rate=0.8)
    assert [test.too_low, test.good] == pytest.approx([0.6, 0.9])


@settings(max_examples=40, deadline=None)
@given(SMALL, st.floats(0, 1))
def test_chances_are_sums_over_all_sequences(test: Confirmation, rate: float) -> None:
    total = {"accepted": 0.0, "rejected": 0.0, "undecided": 0.0}
    seeds = seeds_accepted = 0.0
    for sequence in sequences(test.most):
        n, decision = next(
            (n, decision) for n in range(test.most + 1) if (decision := test.decide(sequence[:n])) is not None
        )
        total[decision] += probability(sequence, rate)
        seeds += n * probability(sequence, rate)
        seeds_accepted += n * probability(sequence, rate) * (decision == "accepted")
    chances = test.chances(rate)
    found = [chances.accepted, chances.rejected, chances.undecided, chances.seeds]
    assert found == pytest.approx([*total.values(), seeds], abs=1e-12)
    if total["accepted"]:
        assert chances.seeds_accepted == pytest.approx(seeds_accepted / total["accepted"])
    else:
        assert math.isnan(chances.seeds_accepted)


@settings(max_examples=25, deadline=None)
@given(SMALL)
def test_the_bound_is_the_lowest_that_keeps_alpha(test: Confirmation) -> None:
    def error(bound: float) -> float:
        return sum(
            probability(sequence, test.too_low)
            for sequence in sequences(test.most)
            if accepts_with_bound(test, sequence, bound)
        )

    pairs = [(passed, failed) for passed in range(1, test.most + 1) for failed in range(test.most - passed + 1)]
    bounds = sorted({round(log_ratio(test, *pair), 9) for pair in pairs if log_ratio(test, *pair) > 0})
    lowest = next((bound for bound in bounds if error(bound) <= test.alpha), math.inf)
    for sequence in sequences(test.most):
        accepted = any(test.decide(sequence[:n]) == "accepted" for n in range(test.most + 1))
        assert accepted == accepts_with_bound(test, sequence, lowest)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.51, 0.99), st.integers(1, 60), st.floats(0.0005, 0.3))
def test_no_candidate_below_the_low_rate_is_accepted_more_often_than_alpha(
    rate: float, most: int, alpha: float
) -> None:
    test = Confirmation(rate, most, alpha)
    for share in (1, 0.9, 0.5, 0):
        chances = test.chances(share * test.too_low)
        assert chances.accepted <= alpha
        assert chances.accepted + chances.rejected + chances.undecided == pytest.approx(1)
        assert chances.seeds <= most
    needed = test.passes_needed
    assert all(failed + passes <= most for failed, passes in enumerate(needed))
    assert list(needed) == sorted(needed)


def test_the_default_accepts_most_candidates_of_rate_0_9_on_about_12_seeds() -> None:
    """Against 100,000 simulated confirmations."""
    test = Confirmation(alpha=level(ALPHA, 0))
    draw = np.random.default_rng(1)
    passes = draw.random((100_000, test.most)) < 0.9
    passed = passes.cumsum(axis=1)
    failed = (~passes).cumsum(axis=1)
    needed = np.array([*test.passes_needed, *[99] * 99])
    reached = passed >= needed[failed]
    accepted = reached.any(axis=1)  # one failure more never undoes an acceptance, and rejection is rare
    seeds = reached.argmax(axis=1)[accepted] + 1
    chances = test.chances(0.9)
    assert chances.accepted == pytest.approx(accepted.mean(), abs=0.01)
    assert chances.seeds_accepted == pytest.approx(seeds.mean(), abs=0.1)
    assert 11 < chances.seeds_accepted < 13
    assert 11 < chances.seeds < 13
    assert chances.accepted > 0.75
    assert test.chances(0.6).seeds < 9


def test_walds_bound_would_accept_fewer_good_candidates() -> None:
    """The two shares that the docstring names."""
    test = Confirmation(rate=0.8, most=20, alpha=0.05)
    draw = np.random.default_rng(2)
    passes = draw.random((20_000, 20)) < 0.9
    ratios = passes.cumsum(axis=1) * log_ratio(test, 1, 0) + (~passes).cumsum(axis=1) * log_ratio(test, 0, 1)
    low, high = (ratios <= math.log(BETA / 0.95)), (ratios >= math.log(0.95 / 0.05))
    first = np.where(high.any(axis=1), high.argmax(axis=1), 99) < np.where(low.any(axis=1), low.argmax(axis=1), 99)
    assert first.mean() == pytest.approx(0.81, abs=0.01)
    assert test.chances(0.9).accepted == pytest.approx(0.90, abs=0.005)


def test_a_confirmation_by_hand() -> None:
    """With an alpha of 0.05: 7 passes without a failure, 11 with one, 14 with two, 17 with three."""
    test = Confirmation(rate=0.8, most=20, alpha=0.05)
    assert test.decide([]) is None
    assert test.decide([True] * 7) == "accepted"
    assert test.decide([False] + [True] * 10) is None
    assert test.decide([False] + [True] * 11) == "accepted"
    assert test.decide([True, False] * 3 + [True] * 13) is None
    assert test.decide([True, False] * 3 + [True] * 14) == "accepted"
    # After four failures the 17 further passes that were needed do not fit into 20 seeds.
    assert test.decide([True, False] * 3 + [True] * 5 + [False]) == "undecided"
    # Six passes and four failures are (0.9/0.6)^6·(0.1/0.4)^4 = 1/22 times as likely for 0.9 as for 0.6.
    assert test.decide([True] * 6 + [False] * 4) == "rejected"


@settings(max_examples=100, deadline=None)
@given(SMALL | st.just(Confirmation()), RESULTS, RESULTS)
def test_results_after_the_decision_change_nothing(test: Confirmation, passes: list[bool], more: list[bool]) -> None:
    decision = test.decide(passes)
    assert decision is None or test.decide(passes + more) == decision
    if len(passes) >= test.most:
        assert decision is not None


@settings(max_examples=60, deadline=None)
@given(SMALL, RESULTS)
def test_only_the_counts_of_each_prefix_matter(test: Confirmation, passes: list[bool]) -> None:
    """Without a decision before, another order of the results gives the same."""
    if any(test.decide(passes[:n]) for n in range(len(passes))):
        return
    for order in itertools.islice(itertools.permutations(passes), 50):
        if not any(test.decide(order[:n]) for n in range(len(order))):
            assert test.decide(order) == test.decide(passes)


@settings(max_examples=40, deadline=None)
@given(SMALL, st.lists(st.booleans(), max_size=5))
def test_the_seeds_that_are_needed_in_any_case(test: Confirmation, passes: list[bool]) -> None:
    shortest = next(
        n
        for n in range(test.most + 1)
        if any(test.decide((*passes, *further)) for further in itertools.product((True, False), repeat=n))
    )
    assert test.least_left(passes) == shortest


@pytest.mark.parametrize("most", [1, 5])
def test_too_few_seeds_for_any_acceptance_are_undecided_at_once(most: int) -> None:
    test = Confirmation(rate=0.8, most=most, alpha=0.025)
    assert test.too_low**most > test.alpha
    assert (test.passes_needed, test.decide([]), test.least_left([])) == ((), "undecided", 0)
    assert str(test.chances(0.9)) == "accepted 0 %, rejected 0 %, undecided 100 %; 0.0 seeds on average"


@pytest.mark.parametrize(
    "settings_",
    [{"rate": 0.5}, {"rate": 1.0}, {"rate": math.nan}, {"most": 0}, {"alpha": 0.0}, {"alpha": 1.0}],
)
def test_settings_outside_their_limits_are_errors(settings_: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Confirmation(**settings_)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan])
def test_chances_of_an_impossible_rate_are_an_error(rate: float) -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        Confirmation().chances(rate)


def test_the_levels_of_all_confirmations_sum_to_alpha() -> None:
    levels = [level(ALPHA, failures) for failures in range(60)]
    assert sum(levels) == pytest.approx(ALPHA)
    assert sum(levels) <= ALPHA
    assert levels == sorted(levels, reverse=True)
    # Qiu, Guo and Lynch (2015), procedure for β = ½ and any number of hypotheses: (1 - β)·β^failures·α.
    assert levels[:5] == pytest.approx([0.5 * 0.5**failures * ALPHA for failures in range(5)])


def test_no_two_confirmations_share_a_seed_with_each_other_or_with_the_race() -> None:
    seeds = [*range(8), *itertools.chain.from_iterable(fresh_seeds(number, 20) for number in range(10))]
    assert len(set(seeds)) == len(seeds) == 208


@given(st.dictionaries(st.integers(100, 106), st.booleans()))
def test_results_count_up_to_the_first_seed_that_is_missing(results: dict[int, bool]) -> None:
    ordered = in_seed_order(results, fresh_seeds(0, 7))
    assert ordered == [results[100 + index] for index in range(len(ordered))]
    assert len(ordered) == 7 or 100 + len(ordered) not in results


def test_decisions_in_the_order_of_arrival_would_accept_too_often() -> None:
    """The reason for the order of the seeds: with four workers, failing trainings may take longer than passing ones."""
    test = Confirmation(alpha=0.025)
    draw = np.random.default_rng(7)
    accepted = {"seeds": 0, "arrival": 0}
    for passes in (draw.random((3000, test.most)) < test.too_low).tolist():
        arrival = [one for start in range(0, test.most, 4) for one in sorted(passes[start : start + 4], reverse=True)]
        for order, results in (("seeds", passes), ("arrival", arrival)):
            decisions = (test.decide(results[:n]) for n in range(test.most + 1))
            accepted[order] += next(filter(None, decisions)) == "accepted"
    assert accepted["seeds"] <= stats.binom.ppf(0.999, 3000, 0.025)
    assert accepted["arrival"] > accepted["seeds"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(90, 100), min_size=3, max_size=9), st.lists(st.floats(90, 100), min_size=3, max_size=20))
def test_the_interval_of_the_difference_is_welchs(race: list[float], fresh: list[float]) -> None:
    shrinkage = measure_shrinkage(race, fresh)
    assert shrinkage.difference == pytest.approx(np.mean(fresh) - np.mean(race), abs=1e-9)
    if min(np.std(race), np.std(fresh)) < 1e-6:  # SciPy warns; the other side alone gives the interval
        assert shrinkage.low <= shrinkage.difference <= shrinkage.high
        return
    expected = stats.ttest_ind(fresh, race, equal_var=False).confidence_interval(0.95)
    assert (shrinkage.low, shrinkage.high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)


def test_a_side_without_spread_adds_nothing_to_the_interval() -> None:
    race, fresh = [99.5, 99.5, 99.5], [99.4, 99.6, 99.5, 99.3]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(fresh) - 99.5, scale=stats.sem(fresh))
    shrinkage = measure_shrinkage(race, fresh)
    assert (shrinkage.low, shrinkage.high) == pytest.approx((low, high))


def test_equal_figures_have_an_interval_without_width() -> None:
    shrinkage = measure_shrinkage([99.5] * 4, [99.4] * 5)
    assert (shrinkage.low, shrinkage.high) == pytest.approx((-0.1, -0.1))


def test_few_seeds_have_no_interval() -> None:
    shrinkage = measure_shrinkage([99.5], [99.4, 99.4, 99.4])
    assert math.isnan(shrinkage.low)
    assert shrinkage.text(2) == "99.40 ± 0.00 on 3 fresh seeds, 99.50 on the 1 seed of the race: difference -0.10"


@pytest.mark.parametrize(("race", "fresh"), [([], [1.0]), ([1.0], []), ([1.0, math.inf], [1.0]), ([1.0], [math.nan])])
def test_figures_that_are_missing_or_not_finite_are_errors(race: list[float], fresh: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        measure_shrinkage(race, fresh)


def test_the_best_of_fifty_equal_candidates_shrinks_by_the_expected_maximum() -> None:
    """Five seeds each, 0.04 points between seeds: the winner looks better by the mean of the largest of 50 normals."""
    draw = np.random.default_rng(8)
    differences = []
    for _ in range(300):
        candidates = draw.normal(99.4, 0.04, (50, 5))
        winner = candidates[candidates.mean(axis=1).argmax()]
        differences.append(measure_shrinkage(winner.tolist(), draw.normal(99.4, 0.04, 12).tolist()).difference)
    largest = float(draw.normal(size=(20_000, 50)).max(axis=1).mean())
    assert np.mean(differences) == pytest.approx(-0.04 / math.sqrt(5) * largest, abs=0.004)
