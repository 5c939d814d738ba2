"""Reading a search from its own folder: `search.toml` says what was searched for, the journal what happened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from drilldown.errors import DrilldownError, Problem
from drilldown.search.journal import JOURNAL, Event, read_journal
from drilldown.search.reading import SearchFile, read_search
from drilldown.search.running import SEARCH


def is_search_folder(folder: Path) -> bool:
    """Whether a folder is that of a search."""
    return os.path.isfile(folder / JOURNAL)  # Path's own raises where a name is too long


def read_stored_search(folder: Path, overrides: Sequence[str] = ()) -> tuple[SearchFile, list[Event]]:
    """Reads a search from its folder, under the name that it had when it began, and the events of its journal.

    *Arguments*: `overrides`: settings as in `--set`, such as `search.candidates=100`.

    *Raises* DrilldownError where the folder lacks one of the two files, or one is damaged.
    """
    file = folder / SEARCH
    if not os.path.isfile(file):
        raise DrilldownError(
            Problem(
                file=file,
                found="no such file",
                expected="the file that describes the search",
                suggestion="repeat the command of the search: it writes the file",
            )
        )
    events = read_journal(folder)
    name = events[0].get("name") if events else None
    # The name becomes that of a folder: that of a damaged or foreign journal must not lead anywhere else.
    valid = isinstance(name, str) and name.count("/") == 1 and all(name.split("/"))
    return read_search(file, overrides, name=name if valid else None), events
