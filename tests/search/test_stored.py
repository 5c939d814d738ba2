"""A search is read from its own folder, whatever it is called there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drilldown import DrilldownError
from drilldown.search.journal import JOURNAL, line_of, read_journal
from drilldown.search.reading import read_search
from drilldown.search.running import search_folder
from drilldown.search.stored import is_search_folder, read_stored_search
from support.stand_in import StandInPool, search_with, write_search


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file = write_search(tmp_path / "study", candidates=3)
    search_with(file, StandInPool(), runs=tmp_path / "runs")
    return search_folder(read_search(file), tmp_path / "runs")


def test_the_search_keeps_fingerprint_and_name(folder: Path, tmp_path: Path) -> None:
    original = read_search(tmp_path / "study" / "stand.toml")
    moved = folder.rename(tmp_path / "moved")
    assert is_search_folder(moved)
    stored, events = read_stored_search(moved, ["search.candidates=9"])
    assert (stored.fingerprint, stored.name) == (original.fingerprint, "study/stand")
    assert stored.settings.candidates == 9
    assert events == read_journal(moved)
    assert search_folder(stored, tmp_path / "runs") == folder
    assert stored.space.experiment(stored.space.centre, 5).name == "study/stand-candidate-5"


@pytest.mark.parametrize("name", ["../../etc", "a", "", None, 7, "/", "a/b/c"])
def test_a_forged_name_is_not_used(folder: Path, name: object) -> None:
    journal = folder / JOURNAL
    first, *rest = journal.read_bytes().splitlines(keepends=True)
    event = {key: value for key, value in json.loads(first).items() if key != "check"}
    journal.write_bytes(line_of({**event, "name": name}) + b"".join(rest))
    stored, _ = read_stored_search(folder)
    assert stored.name == f"{folder.name}/search"


def test_other_folders_are_no_searches(tmp_path: Path, folder: Path) -> None:
    assert not is_search_folder(tmp_path)
    assert not is_search_folder(Path("x" * 5000))
    (folder / "search.toml").unlink()
    with pytest.raises(DrilldownError, match="no such file"):
        read_stored_search(folder)
