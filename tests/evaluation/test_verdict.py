from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    (match,) = (line for line in verdict.lines if line.name == name)
    return match


@pytest.mark.parametrize("correct", range(9_900, 10_001))
def test_each_count_meets_its_own_bar_and_one_image_less_does_not(correct: int) -> None:
    budget = Budget(accuracy=float(Decimal(correct) / 100), hold=1)
    for count in (correct - 1, correct, min(correct + 1, TOTAL)):
        should = Decimal(100 * count) / TOTAL >= Decimal(str(budget.accuracy))
        assert judge(budget, 1, run([count])).passed is should
        assert meets_bar(run([count])[0], budget.accuracy) is should


def test_9940_of_10000_meets_99_4_percent_and_9939_does_not() -> None:
    budget = Budget(accuracy=99.4, hold=1)
    assert [judge(budget, 1, run([correct])).passed for correct in (9_939, 9_940)] == [False, True]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 70_000), st.just(Decimal(0)) | st.decimals("1.001", 100, places=3), st.data())
def test_bar_and_images_to_spare_are_exact_for_any_total(total: int, bar: Decimal, data: st.DataObject) -> None:
    exact = int((bar * total / 100).to_integral_value(rounding="ROUND_CEILING"))
    correct = data.draw(st.integers(max(0, exact - 2), min(total, exact + 2)))
    accuracy = line("accuracy", judge(Budget(accuracy=float(bar), hold=1), 1, run([correct], total=total)))
    assert accuracy.met is (100 * correct >= bar * total)
    spare = abs(correct - exact)
    side = "to spare" if accuracy.met else "short"
    assert accuracy.by.startswith(f"{spare} image{'' if spare == 1 else 's'} {side}")


def test_only_the_last_epochs_must_each_meet_the_bar() -> None:
    budget = Budget(accuracy=99.4, hold=3)
    assert judge(budget, 1, run([1, 2, 9_940, 9_950, 9_945])).passed
    for index in (2, 3, 4):
        counts = [9_999] * 5
        counts[index] = 9_930
        accuracy = line("accuracy", judge(budget, 1, run(counts)))
        assert not accuracy.met
        assert accuracy.by == "10 images short, 1 of 3 epochs below"
        assert accuracy.found == "at least 99.30 % (9,930 of 10,000)"


def test_the_best_epoch_never_saves_a_run() -> None:
    assert not judge(Budget(accuracy=99.4, hold=2), 1, run([10_000, 10_000, 10_000, 9_939])).passed


@pytest.mark.parametrize("epochs", range(5))
def test_a_run_with_fewer_epochs_than_must_hold_the_bar_fails(epochs: int) -> None:
    accuracy = line("accuracy", judge(Budget(accuracy=99.4, hold=5), 1, run([TOTAL] * epochs)))
    assert not accuracy.met
    assert (accuracy.found, accuracy.by) == (f"{epochs} of 5 epochs", "too few to judge")
    assert judge(Budget(accuracy=99.4, hold=5), 1, run([TOTAL] * 5)).passed


@pytest.mark.parametrize(
    ("parameters", "met", "by"),
    [(7_999, True, "1 to spare"), (8_000, True, "0 to spare"), (9_200, False, "1,200 too many")],
)
def test_the_limit_of_parameters_is_inclusive(parameters: int, met: bool, by: str) -> None:
    verdict = judge(Budget(parameters=8_000), parameters, run([1]))
    assert verdict.lines == (
        VerdictLine(name="parameters", limit="at most 8,000", found=f"{parameters:,}", met=met, by=by),
    )
    assert verdict.passed is met


@pytest.mark.parametrize(("epochs", "met"), [(14, True), (15, True), (16, False)])
def test_the_limit_of_epochs_is_inclusive(epochs: int, met: bool) -> None:
    verdict_line = line("epochs", judge(Budget(epochs=15), 1, run([1] * epochs)))
    assert (verdict_line.met, verdict_line.found, verdict_line.limit) == (met, str(epochs), "at most 15")


def test_one_line_that_is_not_met_fails_the_verdict() -> None:
    budget = Budget(parameters=8_000, epochs=6, accuracy=99.4, hold=5)
    good = [9_950] * 6
    assert judge(budget, 8_000, run(good)).passed
    assert not judge(budget, 8_001, run(good)).passed
    assert not judge(budget, 8_000, run([*good, 9_950])).passed
    assert not judge(budget, 8_000, run([*good[:5], 9_939])).passed


def test_an_empty_budget_is_met() -> None:
    verdict = judge(Budget(), 10**9, run([0]))
    assert verdict.lines == ()
    assert verdict.passed
    assert meets_bar(run([0])[0], None)


def test_a_verdict_names_its_split_and_is_unchanged_after_json() -> None:
    budget = Budget(parameters=8_000, epochs=6, accuracy=99.4, hold=2)
    for held_out, split in ((False, "test"), (True, "validation")):
        verdict = judge(budget, 9_000, run([9_950, 9_930], held_out=held_out))
        assert verdict.split == split
        document = json.loads(json.dumps(verdict.to_json()))
        assert Verdict.from_json(document) == verdict
        assert document["passed"] is False
        assert [document[name]["met"] for name in ("parameters", "epochs", "accuracy")] == [False, True, False]


def test_a_distance_above_a_thousand_is_whole_in_the_short_line() -> None:
    accuracy = line("accuracy", judge(Budget(accuracy=99.4, hold=2), 1, run([8_706, 8_706])))
    assert accuracy.text == "worst of last 2: 87.06 % (limit 99.4 %), 1,234 images short"
