"""The report of a search on disk: from the search, or again from its folder alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from drilldown import DrilldownError, load
from drilldown.report.search.evidence import SearchEvidence
from drilldown.report.search.winner import WINNER, winner_experiment
from drilldown.report.search.writing import write_search_report, write_stored_search_report
from drilldown.search.running import load_state
from drilldown.search.state import Candidate
from drilldown.search.stored import read_stored_search
from drilldown.settings import Folders
from drilldown.terminal.console import as_text
from drilldown.terminal.search import print_search
from report.search.conftest import search_in
from support.browser import HOSTILE
from support.stand_in import write_search
from support.study import command
from support.teachers import random_shares, write_teacher

FILES = {"report.html", "report.md", "winner.toml", "search.toml", "search.jsonl", "figures"}


@pytest.fixture
def kept(smallest: SearchEvidence, tmp_path: Path) -> Path:
    """The two files of a search that are kept, in another place, without runs."""
    folder = tmp_path / "results" / "searches" / smallest.folder.name
    folder.mkdir(parents=True)
    for name in ("search.toml", "search.jsonl"):
        shutil.copy(smallest.folder / name, folder)
    return folder


def without_commands(report: str) -> str:
    return report[: report.index("## How to go on")]


def test_the_folder_alone_gives_the_same_report(smallest: SearchEvidence, kept: Path) -> None:
    folders = Folders(runs=smallest.folder.parent.parent)
    first = write_search_report(smallest.search, smallest.state, folders, "drilldown search stand.toml")
    again = write_stored_search_report(kept)
    assert first.html.parent == smallest.folder
    assert again.html.parent == kept
    for folder in (smallest.folder, kept):
        assert {path.name for path in folder.iterdir()} - {".lock"} == FILES
        assert {path.name for path in (folder / "figures").iterdir()} == {"front.png", "dimensions.png", "race.png"}
    assert without_commands(again.markdown.read_text()) == without_commands(first.markdown.read_text())
    assert (kept / WINNER).read_text() == (smallest.folder / WINNER).read_text()
    html = first.html.read_text()
    assert "drilldown search stand.toml --candidates 80" in html
    assert f"drilldown search {kept} --runs {kept.parent.parent}" in again.html.read_text()


def test_the_command_writes_the_report_of_a_folder(kept: Path) -> None:
    out, _ = command("report", str(kept), cwd=kept.parent)
    assert Path(out.strip()) == kept / "report.html"
    assert (kept / "report.md").exists()


def test_a_search_whose_candidates_have_a_teacher_says_so(tmp_path: Path) -> None:
    file = write_search(tmp_path, candidates=2)
    write_teacher(tmp_path / "big.npz", p_train=random_shares(6000), teacher="a friend")
    file.write_text(file.read_text().replace('dataset = "glyphs"', 'dataset = "glyphs"\nteacher = "./big.npz"'))
    evidence = search_in(tmp_path / "runs", file)
    words = "Each candidate learned from a teacher: a friend."
    report = write_stored_search_report(evidence.folder)
    assert words in report.html.read_text()
    assert words in report.markdown.read_text()
    assert "each candidate learned from a teacher: a friend" in as_text(print_search, evidence.search, evidence.state)


def test_the_stored_search_is_the_same_search(smallest: SearchEvidence, kept: Path) -> None:
    search, events = read_stored_search(kept)
    assert (search.fingerprint, search.name) == (smallest.search.fingerprint, smallest.search.name)
    assert load_state(search, events).winner == smallest.state.winner


def test_a_folder_without_the_file_of_its_search_is_one_message(kept: Path) -> None:
    (kept / "search.toml").unlink()
    with pytest.raises(DrilldownError, match=r"search\.toml: no such file; expected the file that describes"):
        write_stored_search_report(kept)


def test_the_winner_trains_on_all_training_images(best: SearchEvidence, tmp_path: Path) -> None:
    write_search_report(best.search, best.state, Folders(runs=best.folder.parent.parent), "drilldown search a.toml")
    winner = load(best.folder / WINNER)
    candidate = best.state.winner
    assert candidate is not None
    trained = best.search.space.experiment(candidate.values, candidate.number)
    assert winner.recipe.holdout is None
    assert winner.recipe.model_copy(update={"holdout": trained.recipe.holdout}) == trained.recipe
    assert (winner.network, winner.budget) == (trained.network, trained.budget)
    assert winner.title == f"{trained.title}, on all training images"
    out, _ = command("new", "mine.toml", "--from", str(best.folder / WINNER), cwd=tmp_path)
    assert "mine.toml" in out


def test_a_winner_that_is_another_experiment_today_is_not_written(best: SearchEvidence) -> None:
    candidate = best.state.winner
    assert isinstance(candidate, Candidate)
    changed = Candidate(**{name: getattr(candidate, name) for name in Candidate.__slots__} | {"fingerprint": "0"})
    assert winner_experiment(best.search, changed) is None
    assert winner_experiment(best.search, candidate) is not None


def test_texts_stay_texts_in_markdown(best: SearchEvidence) -> None:
    report = write_search_report(best.search, best.state, Folders(runs=best.folder.parent.parent), "a `b\n```\nc")
    text = report.markdown.read_text()
    assert "<script>" not in text
    assert "<img" not in text
    assert "{{ 7" not in text.replace("\\{\\{ 7", "")
    assert HOSTILE.strip() not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    widths = {line.replace("\\|", "").count("|") for line in tables}
    assert widths <= {3, 4, 5, 6, 7, 10}
    rows = [line for line in tables if line.replace("\\|", "").count("|") == 10]
    assert len(rows) == len(best.rows) + 2


def test_a_search_on_the_test_images_is_stamped_in_markdown(on_test: SearchEvidence) -> None:
    folders = Folders(runs=on_test.folder.parent.parent)
    report = write_search_report(on_test.search, on_test.state, folders, "drilldown search a.toml --on-test")
    assert report.markdown.read_text().splitlines()[2] == "> # Chosen on the test images"
    assert load(on_test.folder / WINNER).title.endswith(f"candidate {on_test.state.winner.number}")  # type: ignore[union-attr]


def test_the_report_of_a_search_without_results_removes_an_old_winner(best: SearchEvidence, tmp_path: Path) -> None:
    folders = Folders(runs=tmp_path)
    empty = load_state(best.search, [])
    folder = write_search_report(best.search, empty, folders, "drilldown search a.toml").html.parent
    (folder / WINNER).write_text("old")
    write_search_report(best.search, empty, folders, "drilldown search a.toml")
    assert {path.name for path in folder.iterdir()} == {".lock", "report.html", "report.md"}
