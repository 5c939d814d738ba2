"""Writes the report of a search."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from drilldown.files import write_atomically
from drilldown.report.folder import write_figures, writing_report
from drilldown.report.search.analysis import further_commands
from drilldown.report.search.evidence import SearchEvidence
from drilldown.report.search.figures import search_figures
from drilldown.report.search.html import search_page
from drilldown.report.search.markdown import search_markdown
from drilldown.report.search.winner import write_winner
from drilldown.search.journal import read_journal
from drilldown.search.reading import SearchFile
from drilldown.search.running import load_state, search_folder
from drilldown.search.state import SearchState
from drilldown.search.stored import read_stored_search
from drilldown.settings import RUNS_DIR, Folders


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """The files of a report."""

    html: Path
    markdown: Path


def write_search_report(search: SearchFile, state: SearchState, folders: Folders, command: str) -> WrittenReport:
    """Writes `report.html`, `report.md` with its figures, and `winner.toml` into the folder of the search.

    *Arguments*: `command`: the command that resumes the search.

    *Raises* DrilldownError where the folder cannot be written.
    """
    folder = search_folder(search, folders.runs)
    return _write(SearchEvidence(search, state, read_journal(folder), folder), command)


def write_stored_search_report(folder: Path) -> WrittenReport:
    """Writes the report of a search from its folder, as `write_search_report` does.

    It needs only `search.toml` and the journal, not the runs.

    *Raises* DrilldownError where the folder holds no search, or cannot be written.
    """
    search, events = read_stored_search(folder)
    return _write(SearchEvidence(search, load_state(search, events), events, folder), _resume_command(folder, search))


def _write(evidence: SearchEvidence, command: str) -> WrittenReport:
    folder = evidence.folder
    report = WrittenReport(folder / "report.html", folder / "report.md")
    with writing_report(folder):
        winner = evidence.answer.candidate if evidence.answer else None
        commands = further_commands(evidence, command, has_winner=write_winner(evidence.search, winner, folder))
        figures = search_figures(evidence)
        if figures:
            write_figures(folder, figures)
        write_atomically(report.markdown, search_markdown(evidence, commands, [*figures]).encode())
        write_atomically(report.html, search_page(evidence, commands).encode())
    return report


def _resume_command(folder: Path, search: SearchFile) -> str:
    """The command that resumes a search from its folder, which lies two levels below the folder of all runs."""
    runs = folder.resolve().parent.parent
    words = ["drilldown", "search", str(folder)]
    if search.base.recipe.holdout is None:
        words.append("--on-test")
    return shlex.join(words if runs == RUNS_DIR.resolve() else [*words, "--runs", str(folder.parent.parent)])
