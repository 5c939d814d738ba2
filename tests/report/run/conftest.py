"""A finished run with its report, shared by the tests of a run's page."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page

from drilldown import Compute, Folders, Run, load, perform
from drilldown.report.run.writing import write_run_report
from support.browser import HOSTILE, Open
from support.cli import world


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of an experiment that extends another and whose texts try to be more than text."""
    folder = tmp_path_factory.mktemp("shown")
    world(folder, epochs=6, accuracy=50.0)
    quoted = json.dumps(HOSTILE)
    (folder / "wider.toml").write_text(
        f'extends = "tiny.toml"\ntitle = {quoted}\ntarget = {quoted}\nremark = {quoted}\n'
        '[network]\nlayers = ["conv 3x3 6, bn, relu, dropout 0.1", "maxpool 4", "gap", "linear 10"]\n'
        f"[recipe]\nbatch_size = 16\nema = 0.5\n[reported]\ntest = 99.46\nnote = {quoted}\n"
    )
    finished = perform(
        load(folder / "wider.toml"), compute=Compute(engine="torch"), folders=Folders(runs=folder / "runs")
    )
    write_run_report(finished)
    return finished


@pytest.fixture
def page(open_page: Open, run: Run) -> Page:
    """The report of the run."""
    return open_page(run.path / "report.html", viewport={"width": 1200, "height": 900}).page
