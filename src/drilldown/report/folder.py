"""The folder that a report is written into."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import filelock

from drilldown.files import explain_write_errors


class ReportFiles(NamedTuple):
    """The two files of a report."""

    html: Path
    """One file with everything, for a browser."""
    markdown: Path
    """The same facts as text, with PNG figures, for repositories and diffs."""


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Locks a folder while a report is written; all processes that share a study write its report at the end.

    *Raises* DrilldownError where the folder cannot be written.
    """
    with explain_write_errors(folder), filelock.FileLock(folder / ".lock"):
        yield
