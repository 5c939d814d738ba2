"""Writes the report of a run into its folder: `report.html`, and `report.md` with its figures beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import filelock

from drilldown.files import unwritable_as_error, write_whole
from drilldown.report import figures, html, markdown
from drilldown.report.evidence import gather
from drilldown.runs import Run


class Report(NamedTuple):
    """Where the two forms of a report lie."""

    html: Path
    """One file that holds everything, for people."""
    markdown: Path
    """The same as text, with figures as PNG, for repositories and diffs."""


def write(run: Run, data_folder: Path | str | None = None) -> Report:
    """Writes a run's report, both forms of it.

    *Raises* DrilldownError where the run is not finished or the folder cannot be written.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(drilldown.perform(experiment, runs=folder)).html.name
    'report.html'
    """
    evidence = gather(run, data_folder)
    report = Report(run.path / "report.html", run.path / "report.md")
    with unwritable_as_error(run.path):
        folder = run.path / "figures"
        folder.mkdir(exist_ok=True)
        for name, content in figures.of_run(evidence).items():
            write_whole(folder / name, content)
        write_whole(report.markdown, markdown.render(evidence).encode())
        write_whole(report.html, html.render(evidence).encode())
    return report


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing a report into a folder: those that shared a study all end by it."""
    with unwritable_as_error(folder), filelock.FileLock(folder / ".lock"):
        yield
