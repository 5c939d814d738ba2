"""The lines of a verdict about a chip: bytes against limits, and figures that are missing."""

from __future__ import annotations

import pytest

from drilldown.evaluation.chips import ChipFigures
from drilldown.evaluation.verdict import Verdict, chip_lines, is_judged, judge
from drilldown.experiment.budget import Budget

FIGURES = ChipFigures(chip="avr", flash=9_000, ram=2_000, stack=100)


@pytest.mark.parametrize(
    ("limits", "met"),
    [({"flash": 9_000}, [True]), ({"flash": 8_999}, [False]), ({"ram": 2_100}, [True]), ({"ram": 2_099}, [False]),
     ({"flash": 9_001, "ram": 2_000}, [True, False])],
)  # fmt: skip
def test_flash_and_ram_with_stack_are_compared_with_their_limits(limits, met) -> None:
    budget = Budget(**limits, chip="avr")
    verdict = judge(budget, 1, [], chip=FIGURES)
    assert [line.met for line in verdict.lines] == met
    assert [line.name for line in verdict.lines] == list(limits)
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert is_judged(budget)


@pytest.mark.parametrize("figures", [None, ChipFigures(chip="avr", missing="avr-gcc is not installed")])
def test_a_limit_without_its_figure_is_not_met(figures: ChipFigures | None) -> None:
    (line,) = chip_lines(Budget(ram=2_048, chip="avr"), figures)
    assert not line.met
    assert line.text.startswith("not measured; ") or "not measured (limit 2,048 B on avr)" in line.text
    if figures is not None:
        assert "avr-gcc is not installed" in line.text


def test_a_budget_without_a_chip_has_no_such_line() -> None:
    assert judge(Budget(), 1, []).lines == ()
