"""A verdict in a terminal: one line of 80 columns for each line of a budget, and nothing cut off where it is narrow."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from drilldown.evaluation.records import EpochRecord, Tally
from drilldown.evaluation.verdict import Verdict, judge
from drilldown.experiment.budget import Budget
from drilldown.terminal.console import PLAIN
from drilldown.terminal.tables import print_verdict


def epochs(counts: list[int], total: int, *, held_out: bool) -> list[EpochRecord]:
    return [
        EpochRecord(
            epoch=index + 1, lr=0.1, train=Tally(0.1, 1, 1), test=Tally(0.1, count, total), held_out=held_out,
            train_seconds=1, test_seconds=1,
        )
        for index, count in enumerate(counts)
    ]  # fmt: skip


def printed(verdict: Verdict, width: int) -> list[str]:
    sink = io.StringIO()
    print_verdict(Console(file=sink, width=width, **PLAIN), verdict)
    return sink.getvalue().splitlines()


@settings(max_examples=200, deadline=None)
@given(
    bar=st.sampled_from([95.0, 99.0, 99.4, 99.43]),
    hold=st.integers(1, 10),
    total=st.sampled_from([100, 1_000, 10_000, 60_000, 100_000]),
    share=st.floats(0, 1) | st.floats(0.98, 1),
    parameters=st.integers(1, 2_000_000),
    limit=st.sampled_from([8_000, 10_000, 1_000_000]),
    held_out=st.booleans(),
)
def test_each_line_of_a_budget_is_one_line_of_80_columns(
    bar: float, hold: int, total: int, share: float, parameters: int, limit: int, held_out: bool
) -> None:
    records = epochs([round(share * total)] * 20, total, held_out=held_out)
    verdict = judge(Budget(parameters=limit, epochs=15, accuracy=bar, hold=hold), parameters, records)
    for shown in (verdict, Verdict.from_json(verdict.to_json())):  # old runs hold the texts alone
        lines = printed(shown, 80)
        assert len(lines) == 1 + len(verdict.lines)
        assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("width", [20, 30, 40, 60])
@pytest.mark.parametrize("counts", [[9_945] * 5, [9_937] * 5, [9_945] * 2])
def test_a_narrow_terminal_cuts_nothing_off(width: int, counts: list[int]) -> None:
    verdict = judge(Budget(parameters=8_000, epochs=15, accuracy=99.4), 7_662, epochs(counts, 10_000, held_out=True))
    text = "".join(printed(verdict, width))
    assert all(len(line) <= width for line in printed(verdict, width)[1:])
    for line in verdict.lines:
        for word in re.findall(r"[\w.,]+", line.text):
            assert word in text.replace(" ", "")


def test_the_lines_say_limit_result_and_distance() -> None:
    budget = Budget(parameters=8_000, epochs=15, accuracy=99.4)
    assert [line.text for line in judge(budget, 7_662, epochs([9_945] * 15, 10_000, held_out=False)).lines] == [
        "7,662 (limit 8,000), 338 to spare",
        "15 (limit 15), 0 to spare",
        "worst of last 5: 99.45 % (limit 99.4 %), 5 images to spare",
    ]
    assert [line.text for line in judge(budget, 8_001, epochs([9_939] * 16, 10_000, held_out=False)).lines] == [
        "8,001 (limit 8,000), 1 too many",
        "16 (limit 15), 1 too many",
        "worst of last 5: 99.39 % (limit 99.4 %), 1 image short",
    ]
    last = Budget(accuracy=99.4, hold=1)
    assert judge(last, 1, epochs([9_940], 10_000, held_out=False)).lines[0].text == (
        "last epoch: 99.40 % (limit 99.4 %), 0 images to spare"
    )
    assert judge(Budget(accuracy=99.4), 1, epochs([9_940], 10_000, held_out=False)).lines[0].text == (
        "1 of 5 epochs, too few to judge (limit 99.4 %)"
    )
