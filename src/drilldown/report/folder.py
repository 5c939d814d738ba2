"""The folder that a report is written into."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import filelock

from drilldown.errors import DrilldownError
from drilldown.files import busy_folder, explain_write_errors, lock_folder, remove_leftovers, write_atomically
from drilldown.runs.folder import REPORT_FILES
from drilldown.runs.run import Run

MARK = re.compile(rb'(?:<meta name="drilldown-summary" content="|<!-- drilldown-summary )([0-9a-f]{64})')
"""The mark in a report with the SHA-256 of what it was made from, see `Run.report_digest`."""
MARK_WITHIN = 4096
"""The number of bytes at the beginning of a report that contain the mark."""


class ReportFiles(NamedTuple):
    """The two files of a report."""

    html: Path
    """One file with everything, for a browser."""
    markdown: Path
    """The same facts as text, with PNG figures, for repositories and diffs."""


@contextlib.contextmanager
def writing_report(folder: Path) -> Iterator[None]:
    """Holds the lock of all writers while a report is written; all processes that share a study write its report.

    *Raises* DrilldownError where the folder cannot be written, or where another process does not release it.
    """
    try:
        with explain_write_errors(folder), lock_folder(folder):
            yield
    except filelock.Timeout:
        raise DrilldownError(
            busy_folder(folder, "another process is writing here", "repeat the command later")
        ) from None


def write_figures(folder: Path, figures: dict[str, bytes]) -> None:
    """Writes figures, by file name, into `figures/` of a report's folder.

    *Raises* OSError where `figures` is a link, which could lead anywhere, or cannot be written.
    """
    target = folder / "figures"
    if target.is_symlink():
        raise NotADirectoryError(20, "figures is a link, not a folder", str(target))
    target.mkdir(exist_ok=True)
    remove_leftovers(target)
    for name, content in figures.items():
        write_atomically(target / name, content)


def is_current(run: Run) -> bool:
    """Whether a finished run has a report that was made from its summary, its words and its budget."""
    return {report_digest(run.path / name) for name in REPORT_FILES} == {run.report_digest}


def report_digest(report: Path) -> str | None:
    """The SHA-256 of what a report was made from; None without a report or a mark."""
    try:
        with report.open("rb") as file:
            mark = MARK.search(file.read(MARK_WITHIN))
    except OSError:
        return None
    return mark[1].decode() if mark else None
