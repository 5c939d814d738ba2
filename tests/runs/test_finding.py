"""Runs are found by their folder and as `last`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from drilldown.errors import DrilldownError
from drilldown.runs.finding import all_runs, find_run
from drilldown.runs.run import Run


def test_runs_are_found_by_folder_and_as_last(uninterrupted: Path) -> None:
    root = uninterrupted.parents[2]
    assert find_run(str(uninterrupted), root) == Run(uninterrupted)
    assert find_run(str(uninterrupted.parent), root) == Run(uninterrupted)
    assert find_run("last", root) == all_runs(root)[0]
    with pytest.raises(DrilldownError, match="no run here"):
        find_run("nowhere", root)
    with pytest.raises(DrilldownError, match="no runs here"):
        find_run("last", root / "empty")


def test_name_and_seed_come_from_the_folder_in_any_working_directory(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs" / "some" / "step-01234567" / "seed-3"
    folder.mkdir(parents=True)
    shutil.copy(uninterrupted / "experiment.toml", folder)  # killed before its first epoch was saved
    for place, reference in ((folder, "."), (folder.parent, "seed-3"), (tmp_path, str(folder))):
        monkeypatch.chdir(place)
        assert (Run(Path(reference)).name, Run(Path(reference)).seed) == ("some/step", 3)
