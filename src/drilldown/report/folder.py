"""The folder that a report is written into."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import filelock

from drilldown.files import explain_write_errors


class ReportFiles(NamedTuple):
    """Where the two forms of a report lie."""

    html: Path
    """One file that holds everything, for people."""
    markdown: Path
    """The same as text, with figures as PNG, for repositories and diffs."""


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing a report into a folder: those that shared a study all end by it."""
    with explain_write_errors(folder), filelock.FileLock(folder / ".lock"):
        yield
