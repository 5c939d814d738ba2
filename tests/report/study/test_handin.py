"""The README of a drill-down: target, result and analysis of each step."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown.errors import DrilldownError
from support.study import command, write_study


def test_the_readme_has_targets_results_and_analyses_and_is_never_written_over_a_persons_file(tmp_path: Path) -> None:
    study = write_study(tmp_path, steps=2)
    first = study / "01-plain.toml"
    first.write_text('analysis = "It **learns**."\n' + first.read_text())
    arguments = ("study", "climb", "--seeds", "2", "--markdown", "docs/README.md")
    command(*arguments, cwd=tmp_path)
    text = (tmp_path / "docs" / "README.md").read_text("utf-8")
    for part in (
        "## 1. Plain", "[`01-plain`](../climb/01-plain.toml)", "**Target.** Something \\| to improve.",
        "> It **learns**.", "## 2. Batch norm", "compared with `01-plain`", "2 seeds: ", "Seeds that met the budget: ",
        "drilldown study climb --seeds 2",
    ):  # fmt: skip
        assert part in text, part
    assert all(
        (tmp_path / "docs" / "figures" / name).stat().st_size > 1000
        for name in ("README-curves.png", "README-parameters.png")
    )
    first.write_text(first.read_text().replace("learns", "remembers"))
    _, log = command(*arguments, cwd=tmp_path)
    assert "nothing left to train" in log  # the words make no other run
    assert "remembers" in (tmp_path / "docs" / "README.md").read_text("utf-8")
    page = (tmp_path / "runs" / "climb" / "report.html").read_text("utf-8")
    assert "It <strong>remembers</strong>." in page
    (tmp_path / "own.md").write_text("mine")
    with pytest.raises(DrilldownError, match="was not made by this command"):
        command("study", "climb", "--seeds", "2", "--markdown", "own.md", cwd=tmp_path)
    assert (tmp_path / "own.md").read_text() == "mine"
