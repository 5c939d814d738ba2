"""The list of experiments that a command is about to train."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown import load
from drilldown.runs.worklist import list_tasks, plan_work
from drilldown.terminal.todo_list import MOST_LINES, todo_lines


def lines(tmp_path: Path, count: int) -> list[str]:
    first = load("under-8k", ["recipe.dataset=glyphs"])
    experiments = [
        load("under-8k", ["recipe.dataset=glyphs", f"recipe.epochs={number}"]).located(name=f"study/step-{number:02}")
        for number in range(1, count + 1)
    ]
    return todo_lines(plan_work(list_tasks(experiments or [first], range(3), tmp_path)))


@pytest.mark.parametrize("count", [2, MOST_LINES])
def test_each_experiment_has_a_line(count: int, tmp_path: Path) -> None:
    shown = lines(tmp_path, count)
    assert shown[0] == "  step-01  seeds 0 to 2"
    assert len(shown) == count


def test_a_long_list_is_folded(tmp_path: Path) -> None:
    shown = lines(tmp_path, MOST_LINES + 8)
    assert len(shown) == MOST_LINES
    assert shown[-1] == "  … and 9 more experiments"


def test_a_single_experiment_needs_no_list(tmp_path: Path) -> None:
    assert lines(tmp_path, 1) == []
