"""Searches without any training: their results come from a formula."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from drilldown.report.search.evidence import SearchEvidence
from drilldown.runs.pool import Task
from drilldown.search.callback import SearchCallback
from drilldown.search.journal import read_journal
from drilldown.search.reading import read_search
from drilldown.search.running import run_search, search_folder
from drilldown.settings import Folders
from support.browser import HOSTILE
from support.stand_in import SPACE, Formula, Result, StandInPool, learning_curve, write_search

HEAD = 'head = { one_of = ["gap, linear 10", "conv 1x1 10, gap"] }\n'


def some_diverge(task: Task) -> Result:
    """The usual results, but one training in twelve diverges."""
    draw = random.Random(f"{task.experiment.fingerprint} {task.seed} ending").random()
    return Result(ending="diverged") if draw < 1 / 12 else learning_curve(task)


def search_in(folder: Path, file: Path, formula: Formula = some_diverge, *, on_test: bool = False) -> SearchEvidence:
    """Runs a search from its file; its runs lie in `folder`."""
    search = read_search(file)
    state = run_search(search, StandInPool(formula), SearchCallback(), folders=Folders(runs=folder), on_test=on_test)
    place = search_folder(search, folder)
    return SearchEvidence(search, state, read_journal(place), place)


@pytest.fixture(scope="session")
def best(tmp_path_factory: pytest.TempPathFactory) -> SearchEvidence:
    """A search for the best network whose winner is confirmed; its texts try to be more than text."""
    folder = tmp_path_factory.mktemp("best")
    file = write_search(folder, candidates=24, space=SPACE + HEAD)
    text = file.read_text().replace('"gap, linear 10"]', '"{head}"]')
    file.write_text(text.replace('title = "A stand-in"', f"title = {json.dumps(HOSTILE)}"))
    evidence = search_in(folder / "runs", file)
    evidence.state.candidates[3].origin = HOSTILE
    evidence.state.candidates[4].failed[0] = HOSTILE
    return evidence


@pytest.fixture(scope="session")
def failing(tmp_path_factory: pytest.TempPathFactory) -> SearchEvidence:
    """A search in which two candidates learn nothing."""

    def formula(task: Task) -> Result:
        fails = task.experiment.name.endswith(("-candidate-3", "-candidate-5"))
        return Result(30.0) if fails else learning_curve(task)

    folder = tmp_path_factory.mktemp("failing")
    return search_in(folder / "runs", write_search(folder, candidates=24), formula)


@pytest.fixture(scope="session")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> SearchEvidence:
    """A search for the smallest network, with several limits."""
    folder = tmp_path_factory.mktemp("smallest")
    return search_in(folder / "runs", write_search(folder, goal="smallest", candidates=40, accuracy=80.0))


@pytest.fixture(scope="session")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> SearchEvidence:
    """A search whose bar no network reaches."""
    folder = tmp_path_factory.mktemp("nothing")
    return search_in(folder / "runs", write_search(folder, candidates=6, accuracy=99.0))


@pytest.fixture(scope="session")
def on_test(tmp_path_factory: pytest.TempPathFactory) -> SearchEvidence:
    """A search that chooses on the test images, without a bar."""
    folder = tmp_path_factory.mktemp("on-test")
    file = write_search(folder, candidates=4, accuracy=None)
    file.write_text(file.read_text().replace("holdout = 1000\n", ""))
    return search_in(folder / "runs", file, on_test=True)
