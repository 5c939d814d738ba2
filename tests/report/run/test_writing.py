"""The files of a run's report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from drilldown import DrilldownError, Run, write_report


def test_every_figure_in_the_markdown_is_a_file(run: Run) -> None:
    page = (run.path / "report.md").read_text("utf-8")
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)
    names = ("activation", "curves", "samples", "confusion", "misclassified")
    assert set(shown) == {f"figures/{name}.png" for name in names}
    for name in shown:
        with Image.open(run.path / name) as image:
            assert min(image.size) > 100


def test_only_finished_runs_have_a_report(tmp_path: Path) -> None:
    with pytest.raises(DrilldownError, match="interrupted"):
        write_report(Run(tmp_path))
