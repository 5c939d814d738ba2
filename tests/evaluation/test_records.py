from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.evaluation.records import EpochRecord, Tally

FINITE = st.floats(0, allow_nan=False, allow_infinity=False)


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    total = draw(st.integers(1, 10**7))
    return Tally(draw(FINITE), draw(st.integers(0, total)), total)


EPOCHS = st.builds(
    EpochRecord,
    epoch=st.integers(1, 10_000),
    lr=FINITE,
    train=tallies(),
    test=tallies(),
    held_out=st.booleans(),
    raw_test_correct=st.none() | st.integers(0, 10**7),
    train_seconds=FINITE,
    test_seconds=FINITE,
)


@settings(max_examples=150, deadline=None)
@given(EPOCHS)
def test_a_record_is_unchanged_after_writing_and_reading(epoch: EpochRecord) -> None:
    line = json.dumps(epoch.to_json(), allow_nan=False)
    assert "\n" not in line
    assert EpochRecord.from_json(json.loads(line)) == epoch


def test_a_line_has_the_documented_keys() -> None:
    def line(**options: Any) -> dict[str, Any]:
        tallies = {"train": Tally(0.5, 3, 4), "test": Tally(0.25, 1, 2)}
        given: dict[str, Any] = {**tallies, "train_seconds": 1.5, "test_seconds": 0.5}
        return EpochRecord(epoch=1, lr=0.1, **{**given, **options}).to_json()

    assert line() == {
        "epoch": 1, "lr": 0.1, "train_loss": 0.5, "train_correct": 3, "train_total": 4,
        "test_loss": 0.25, "test_correct": 1, "test_total": 2, "train_seconds": 1.5, "test_seconds": 0.5,
    }  # fmt: skip
    assert line(raw_test_correct=2)["raw_test_correct"] == 2
    held_out = line(held_out=True, raw_test_correct=2)
    assert (held_out["val_loss"], held_out["val_correct"], held_out["val_total"]) == (0.25, 1, 2)
    assert held_out["raw_val_correct"] == 2
    assert not any(key.startswith(("test_loss", "test_correct", "raw_test")) for key in held_out)


@pytest.mark.parametrize("correct", range(9_900, 10_001))
def test_accuracy_is_exact_where_a_float_is_not(correct: int) -> None:
    accuracy = Tally(0.0, correct, 10_000).accuracy
    assert accuracy == Fraction(Decimal(correct) / 100)
    assert accuracy - Tally(0.0, correct - 1, 10_000).accuracy == Fraction(1, 100)


def test_floats_would_put_ten_of_these_counts_below_their_own_bar() -> None:
    short = [count for count in range(9_900, 10_001) if count / 10_000 * 100 < float(Decimal(count) / 100)]
    assert len(short) == 10
    assert all(Tally(0.0, count, 10_000).accuracy >= Fraction(Decimal(count) / 100) for count in short)


@given(st.integers(1, 10**7), st.data())
@settings(max_examples=100, deadline=None)
def test_accuracy_is_percent_of_the_total(total: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, total))
    assert Tally(0.0, correct, total).accuracy * total == 100 * correct


def test_a_tally_reads_as_a_percentage() -> None:
    assert str(Tally(0.1, 9_940, 10_000)) == "99.40 %"
    assert str(Tally(0.1, 0, 3)) == "0.00 %"


RECORD = EpochRecord(
    epoch=1, lr=0.1, train=Tally(0.5, 3, 4), test=Tally(0.4, 1, 2), train_seconds=1.0, test_seconds=0.5
).to_json()


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": "1"},
        {"epoch": -1},
        {"epoch": True},
        {"lr": None},
        {"train_loss": float("nan")},
        {"train_loss": [0.5]},
        {"train_correct": 5},
        {"test_correct": 3},
        {"test_total": 0},
        {"test_seconds": {}},
        {"raw_test_correct": "many"},
    ],
    ids=str,
)
def test_an_impossible_record_is_refused(change: dict[str, Any]) -> None:
    assert EpochRecord.from_json(RECORD).to_json() == RECORD
    with pytest.raises(ValueError, match=r"\w"):
        EpochRecord.from_json(RECORD | change)


@pytest.mark.parametrize("key", RECORD)
def test_a_record_without_a_value_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        EpochRecord.from_json({name: value for name, value in RECORD.items() if name != key})


@pytest.mark.parametrize("document", [None, [], "epoch", 3])
def test_a_record_that_is_no_table_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="not a table"):
        EpochRecord.from_json(document)
