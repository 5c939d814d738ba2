"""The answer of a search in a terminal: what its report says first, in 80 columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown.report.search.answer import answer_sentences, find_answer
from drilldown.search.callback import SearchCallback
from drilldown.search.reading import read_search
from drilldown.search.running import load_state, run_search
from drilldown.settings import Folders
from drilldown.terminal.console import as_text
from drilldown.terminal.search import print_search
from support.stand_in import StandInPool, search_with, write_search


@pytest.mark.parametrize(
    ("goal", "accuracy", "sign"),
    [("best", 85.0, "✓"), ("smallest", 80.0, "✓"), ("best", 99.0, "✗"), ("best", None, "The winner")],
)
def test_the_first_lines_are_those_of_the_report(goal: str, accuracy: float | None, sign: str, tmp_path: Path) -> None:
    file = write_search(tmp_path, goal=goal, candidates=12, accuracy=accuracy)
    state, _ = search_with(file, StandInPool())
    search = read_search(file)
    answer = find_answer(search, state)
    assert answer is not None
    assert answer.fresh is not None
    text = as_text(print_search, search, state)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith(sign)
    assert answer.headline in lines[0]
    assert lines[1].strip() == answer.detail
    for (_, figures), line in zip(answer.rows, lines[3:], strict=False):
        assert figures.accuracy_text in line
        assert figures.loss_text in line
    words = " ".join(text.split())
    for sentence in answer_sentences(answer, state):
        assert sentence in words


def test_a_search_on_the_test_images_says_so_first(tmp_path: Path) -> None:
    file = write_search(tmp_path, candidates=2, accuracy=None)
    file.write_text(file.read_text().replace("holdout = 1000\n", ""))
    search = read_search(file)
    state = run_search(search, StandInPool(), SearchCallback(), folders=Folders(runs=tmp_path / "runs"), on_test=True)
    assert as_text(print_search, search, state).splitlines()[0] == "CHOSEN ON THE TEST IMAGES"


def test_a_search_without_results(tmp_path: Path) -> None:
    search = read_search(write_search(tmp_path))
    assert as_text(print_search, search, load_state(search, [])) == "no candidate has a result yet"
