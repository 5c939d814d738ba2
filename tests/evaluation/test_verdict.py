from __future__ import annotations

import json
import math
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from drilldown.evaluation.intervals import PassRate, measure_spread
from drilldown.evaluation.records import EpochRecord, Tally
from drilldown.evaluation.verdict import Verdict, VerdictLine, judge, meets_bar
from drilldown.experiment.budget import Budget

TOTAL = 10_000


def run(counts: Sequence[int], *, total: int = TOTAL, held_out: bool = False) -> list[EpochRecord]:
    return [
        EpochRecord(
            epoch=number,
            lr=0.1,
            train=Tally(0.1, 1, 1),
            test=Tally(0.1, correct, total),
            held_out=held_out,
            train_seconds=1.0,
            test_seconds=1.0,
        )
        for number, correct in enumerate(counts, start=1)
    ]


def line(name: str, verdict: Verdict) -> VerdictLine:
    (found,) = (line for line in verdict.lines if line.name == name)
    return found


@pytest.mark.parametrize("correct", range(9_900, 10_001))
def test_every_count_meets_its_own_bar_and_the_one_before_it_does_not(correct: int) -> None:
    budget = Budget(accuracy=float(Decimal(correct) / 100), hold=1)
    for found in (correct - 1, correct, min(correct + 1, TOTAL)):
        should = Decimal(100 * found) / TOTAL >= Decimal(str(budget.accuracy))
        assert judge(budget, 1, run([found])).passed is should
        assert meets_bar(run([found])[0], budget.accuracy) is should


def test_9940_of_10000_meets_99_4_percent_and_9939_does_not() -> None:
    budget = Budget(accuracy=99.4, hold=1)
    assert [judge(budget, 1, run([correct])).passed for correct in (9_939, 9_940)] == [False, True]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 70_000), st.just(Decimal(0)) | st.decimals("1.001", 100, places=3), st.data())
def test_a_bar_is_exact_whatever_the_total_and_so_are_the_images_to_spare(
    total: int, bar: Decimal, data: st.DataObject
) -> None:
    exact = int((bar * total / 100).to_integral_value(rounding="ROUND_CEILING"))
    correct = data.draw(st.integers(max(0, exact - 2), min(total, exact + 2)))
    found = line("accuracy", judge(Budget(accuracy=float(bar), hold=1), 1, run([correct], total=total)))
    assert found.met is (100 * correct >= bar * total)
    spare = abs(correct - exact)
    side = "to spare" if found.met else "short"
    assert found.by.startswith(f"{spare} image{'' if spare == 1 else 's'} {side}")


def test_every_one_of_the_last_epochs_must_meet_the_bar_and_earlier_ones_need_not() -> None:
    budget = Budget(accuracy=99.4, hold=3)
    assert judge(budget, 1, run([1, 2, 9_940, 9_950, 9_945])).passed
    for place in (2, 3, 4):
        counts = [9_999] * 5
        counts[place] = 9_930
        found = line("accuracy", judge(budget, 1, run(counts)))
        assert not found.met
        assert found.by == "10 images short, 1 of 3 epochs below"
        assert found.found == "at least 99.30 % (9,930 of 10,000)"


def test_the_best_epoch_never_saves_a_run() -> None:
    assert not judge(Budget(accuracy=99.4, hold=2), 1, run([10_000, 10_000, 10_000, 9_939])).passed


@pytest.mark.parametrize("epochs", range(5))
def test_a_run_with_fewer_epochs_than_must_hold_the_bar_fails(epochs: int) -> None:
    found = line("accuracy", judge(Budget(accuracy=99.4, hold=5), 1, run([TOTAL] * epochs)))
    assert not found.met
    assert (found.found, found.by) == (f"{epochs} of 5 epochs", "too few to judge")
    assert judge(Budget(accuracy=99.4, hold=5), 1, run([TOTAL] * 5)).passed


@pytest.mark.parametrize(
    ("parameters", "met", "by"),
    [(7_999, True, "1 to spare"), (8_000, True, "0 to spare"), (9_200, False, "1,200 too many")],
)
def test_parameters_may_be_as_many_as_the_budget_says(parameters: int, met: bool, by: str) -> None:
    verdict = judge(Budget(parameters=8_000), parameters, run([1]))
    assert verdict.lines == (
        VerdictLine(name="parameters", limit="at most 8,000", found=f"{parameters:,}", met=met, by=by),
    )
    assert verdict.passed is met


@pytest.mark.parametrize(("epochs", "met"), [(14, True), (15, True), (16, False)])
def test_epochs_may_be_as_many_as_the_budget_says(epochs: int, met: bool) -> None:
    found = line("epochs", judge(Budget(epochs=15), 1, run([1] * epochs)))
    assert (found.met, found.found, found.limit) == (met, str(epochs), "at most 15")


def test_one_line_that_is_not_met_fails_the_verdict() -> None:
    budget = Budget(parameters=8_000, epochs=6, accuracy=99.4, hold=5)
    good = [9_950] * 6
    assert judge(budget, 8_000, run(good)).passed
    assert not judge(budget, 8_001, run(good)).passed
    assert not judge(budget, 8_000, run([*good, 9_950])).passed
    assert not judge(budget, 8_000, run([*good[:5], 9_939])).passed


def test_a_budget_that_says_nothing_is_met() -> None:
    verdict = judge(Budget(), 10**9, run([0]))
    assert verdict.lines == ()
    assert verdict.passed
    assert meets_bar(run([0])[0], None)


def test_a_verdict_says_what_it_was_measured_on_and_reads_back_from_json() -> None:
    budget = Budget(parameters=8_000, epochs=6, accuracy=99.4, hold=2)
    for held_out, split in ((False, "test"), (True, "validation")):
        verdict = judge(budget, 9_000, run([9_950, 9_930], held_out=held_out))
        assert verdict.split == split
        said = json.loads(json.dumps(verdict.to_json()))
        assert Verdict.from_json(said) == verdict
        assert said["passed"] is False
        assert [said[name]["met"] for name in ("parameters", "epochs", "accuracy")] == [False, True, False]


FIGURES = st.lists(st.floats(90, 100), min_size=2, max_size=12)


@settings(max_examples=100, deadline=None)
@given(FIGURES)
def test_a_spread_is_what_numpy_and_students_t_say(values: list[float]) -> None:
    found = measure_spread(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(np.mean(values), rel=1e-12)
    assert found.median == pytest.approx(np.median(values), rel=1e-12)
    assert found.deviation == pytest.approx(np.std(values, ddof=1), rel=1e-6, abs=1e-12)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    if error > 1e-9:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=error)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def test_one_seed_has_no_interval_and_is_called_an_anecdote() -> None:
    found = measure_spread([99.41])
    assert (found.n, found.mean, found.median) == (1, 99.41, 99.41)
    assert all(math.isnan(value) for value in (found.deviation, found.low, found.high))
    assert str(found) == "99.41 (one seed: an anecdote)"


def test_two_seeds_are_too_few_for_an_interval() -> None:
    found = measure_spread([99.5, 99.5])
    assert (found.text(2), found.ends, str(found)) == ("99.50", (99.5, 99.5), "99.500 (n = 2, too few for an interval)")


def test_an_interval_says_what_it_is_over() -> None:
    # Student's t for two degrees of freedom is 4.302653 (any table); the standard error is 0.1/√3.
    half = 4.302653 * 0.1 / math.sqrt(3)
    said = f"99.500 [{99.5 - half:.3f}, {99.5 + half:.3f}] (n = 3, 95 % t interval over seeds)"
    assert str(measure_spread([99.6, 99.4, 99.5])) == said


def test_the_interval_holds_the_truth_in_95_of_100_experiments() -> None:
    generator = np.random.default_rng(2024)
    experiments = 3_000
    draws = generator.normal(99.42, 0.05, size=(experiments, 5))
    intervals = [measure_spread(values) for values in draws.tolist()]
    covered = sum(found.low <= 99.42 <= found.high for found in intervals) / experiments
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize(
    ("passed", "n", "low", "high"),
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_rate_is_wilsons(passed: int, n: int, low: float, high: float) -> None:
    assert PassRate(passed, n).interval == pytest.approx((low, high), abs=5.1e-5)


@pytest.mark.parametrize(
    ("n", "needed"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4), (6, 5), (7, 6), (9, 8), (10, 8), (15, 12), (20, 16)]
)
def test_four_seeds_in_five_must_meet_the_budget(n: int, needed: int) -> None:
    assert PassRate(0, n).needed == needed
    assert [PassRate(passed, n).met for passed in range(n + 1)] == [passed >= needed for passed in range(n + 1)]


def test_no_seed_at_all_meets_nothing() -> None:
    assert not PassRate(0, 0).met


def test_a_pass_rate_reads_as_a_sentence() -> None:
    assert str(PassRate(0, 20)) == "0 of 20 seeds (95 % interval 0–16 %)"
