"""Reports are written by one process at a time, and only into their own folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from drilldown import Folders, load
from drilldown.errors import DrilldownError
from drilldown.report.folder import report_digest, write_figures
from drilldown.report.run.writing import write_run_report
from drilldown.runs.perform import perform
from drilldown.runs.run import Run
from support.cli import start, world


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run without a report."""
    folder = tmp_path_factory.mktemp("finished")
    return perform(load(world(folder, epochs=2)), folders=Folders(runs=folder / "runs"))


def test_reports_that_are_written_at_the_same_time_are_whole(finished: Run, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished.path, tmp_path / "seed-0"))
    processes = [start("report", str(run), cwd=tmp_path) for _ in range(4)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert report_digest(run / "report.html") == report_digest(run / "report.md") == Run(run).report_digest
    assert (run / "report.html").read_text().rstrip().endswith("</html>")
    assert not [entry for entry in run.rglob("*") if entry.name.endswith(".partial")]


def test_a_planted_link_is_replaced_and_not_followed(finished: Run, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished.path, tmp_path / "seed-0"))
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for name in ("report.html", "report.md", ".report.html.partial", ".report.md.partial"):
        (run / name).symlink_to(precious)
    (run / "figures").mkdir()
    leftover = run / "figures" / f".{'0' * 16}.partial"
    leftover.symlink_to(precious)  # also of a killed writer
    write_run_report(Run(run))
    assert not leftover.is_symlink()
    assert precious.read_text() == "mine"
    assert not (run / "report.html").is_symlink()


def test_a_folder_of_figures_that_is_a_link_is_refused(finished: Run, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished.path, tmp_path / "seed-0"))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (run / "figures").symlink_to(pictures)
    with pytest.raises(DrilldownError, match="figures is a link, not a folder"):
        write_run_report(Run(run))
    assert list(pictures.iterdir()) == []


def test_a_file_without_a_mark_has_no_digest(tmp_path: Path) -> None:
    assert report_digest(tmp_path / "missing") is None
    (tmp_path / "old.html").write_text("<!doctype html>")
    assert report_digest(tmp_path / "old.html") is None
    write_figures(tmp_path, {"one.png": b"picture"})
    assert (tmp_path / "figures" / "one.png").read_bytes() == b"picture"
