"""Writes the report of a run into its folder: `report.html`, and `report.md` with its figures beside it."""

from __future__ import annotations

from pathlib import Path

from drilldown.errors import check_argument
from drilldown.files import write_atomically
from drilldown.report.folder import ReportFiles, write_figures, writing_report
from drilldown.report.run.evidence import gather_run
from drilldown.report.run.figures import run_figures
from drilldown.report.run.html import run_page
from drilldown.report.run.markdown import run_markdown
from drilldown.runs.folder import REPORT_FILES
from drilldown.runs.run import Run


def write_run_report(run: Run, data_dir: Path | str | None = None) -> ReportFiles:
    """Writes `report.html`, `report.md` and the figures of a run into its folder.

    *Arguments*: `data_dir`: the first place to look for the dataset.

    *Raises* DrilldownError where the run is not finished or the folder cannot be written.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_run_report(drilldown.perform(experiment, folders=drilldown.Folders(runs=folder))).html.name
    'report.html'
    """
    check_argument("run", run, Run, "a run, as drilldown.perform returns it")
    run.check_finished()  # before the lock creates a folder
    with writing_report(run.path):  # a repetition of the run waits until its files have been read
        evidence = gather_run(run, data_dir)
        report = report_files(run)
        write_figures(run.path, run_figures(evidence))
        write_atomically(report.markdown, run_markdown(evidence).encode())
        write_atomically(report.html, run_page(evidence).encode())
    return report


def report_files(run: Run) -> ReportFiles:
    """The places of a run's report."""
    return ReportFiles(*(run.path / name for name in REPORT_FILES))
