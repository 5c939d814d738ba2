"""The pages of a study's runs: packed into the page of the study, or beside it where they would make it too large."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drilldown.analysis.study import StudyEvidence
from drilldown.data.conventions import Orientation
from drilldown.data.dataset import Dataset
from drilldown.data.image_settings import ImageSettings
from drilldown.errors import DrilldownError
from drilldown.files import write_atomically
from drilldown.report.folder import report_digest, writing_report
from drilldown.report.run.evidence import gather_run
from drilldown.report.run.html import run_page
from drilldown.runs.folder import REPORT_FILES
from drilldown.runs.run import FinishedRun

MAX_PACKED_BYTES = 25_000_000
"""The largest size of all packed pages together; with more, a browser opens the study's page slowly."""


@dataclass(frozen=True, slots=True)
class RunPages:
    """The pages of runs by `page_key`, and the reason why some are missing."""

    packed: dict[str, str] = field(default_factory=dict)
    """Pages that the study's page contains: gzip in base64."""
    links: dict[str, str] = field(default_factory=dict)
    """Pages beside it: their addresses, relative to the study's folder."""
    obstacle: str = ""


def page_key(run: FinishedRun) -> str:
    """The name of a run's page within the page of its study."""
    return f"{run.run.path.parent.name}/{run.seed}"


def collect_pages(evidence: StudyEvidence, data_dir: Path | None = None) -> RunPages:
    """Makes the pages of a study's runs.

    Up to MAX_PACKED_BYTES they are packed. A larger study links the `report.html` of each run, which is written where
    it is missing or old.

    *Arguments*: `data_dir`: the first place to look for datasets. Without the dataset there are no pages.
    """
    finished = [run for step in evidence.measured for run in step.seeds.finished]
    shown = [run for run in finished if run.run.has_model]
    without = len(finished) - len(shown)
    obstacle = f"the weights of {without} of {len(finished)} runs are not kept, only their records" if without else ""
    packed: dict[str, str] = {}
    size = 0
    try:
        for run, page in _pages(shown, data_dir):
            packed[page_key(run)] = base64.b64encode(gzip.compress(page.encode(), mtime=0)).decode()
            size += len(packed[page_key(run)])
            if size * len(shown) / len(packed) > MAX_PACKED_BYTES:  # already the expected size of all
                return RunPages(links=_link_pages(shown, evidence.folder, data_dir), obstacle=obstacle)
    except DrilldownError as error:
        return RunPages(obstacle=str(error))
    return RunPages(packed=packed, obstacle=obstacle)


def _pages(runs: Sequence[FinishedRun], data_dir: Path | None) -> Iterator[tuple[FinishedRun, str]]:
    datasets: dict[tuple[str, Orientation | None, ImageSettings | None], Dataset] = {}
    for run in runs:
        recipe = run.run.experiment.recipe
        key = recipe.dataset, recipe.orientation, recipe.image
        datasets[key] = datasets.get(key) or recipe.load_without_writers(data_dir)
        yield run, run_page(gather_run(run.run, data_dir, datasets[key]))


def _link_pages(runs: Sequence[FinishedRun], folder: Path, data_dir: Path | None) -> dict[str, str]:
    """Writes the pages that are missing or old; returns the addresses of all."""
    html, _ = REPORT_FILES
    old = [run for run in runs if report_digest(run.run.path / html) != run.run.report_digest]
    for run, page in _pages(old, data_dir):
        with writing_report(run.run.path):
            write_atomically(run.run.path / html, page.encode())
    return {page_key(run): (run.run.path / html).relative_to(folder).as_posix() for run in runs}
