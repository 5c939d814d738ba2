"""Runs are found by their folder and as `last`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from drilldown import load, perform
from drilldown.errors import DrilldownError
from drilldown.report.folder import is_current
from drilldown.runs.finding import all_runs, find_run, rebudget
from drilldown.runs.run import Run
from support.cli import world
from support.study import command


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


def met(run: Run) -> bool:
    verdict = run.verdict
    assert verdict is not None
    return verdict.passed


def test_a_finished_run_has_the_words_and_the_budget_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lab").mkdir()
    file = world(Path("lab"), epochs=2)
    run = perform(load(file))
    assert met(find_run("last"))
    text = file.read_text()
    file.write_text('analysis = "It learns."\n' + text.replace("accuracy = 0.0", "accuracy = 99.99"))
    found = find_run("last")
    assert (found.path.resolve(), found.experiment.analysis) == (run.path.resolve(), "It learns.")
    assert not met(found)
    assert met(rebudget(found, ["budget.accuracy=2"]))
    with pytest.raises(DrilldownError, match="trained already"):
        rebudget(found, ["recipe.epochs=3"])
    command("report", "last", cwd=tmp_path)
    page = (run.path / "report.html").read_text("utf-8")
    assert "Analysis by the author" in page
    assert "It learns." in page
    assert is_current(found)
    assert not is_current(run)  # as it was trained
    file.write_text(text.replace("batch_size = ", "batch_size = 1"))
    assert find_run("last").experiment.analysis == ""  # the file trains something else now
    file.write_text("not TOML")
    assert find_run("last").experiment.analysis == ""


def test_a_budget_that_guessing_meets_is_questioned(tmp_path: Path) -> None:
    for accuracy, doubt in ((9.4, "did you mean 99.4?"), (20.0, None), (99.4, None)):
        found = load(world(tmp_path), [f"budget.accuracy={accuracy}"]).doubt
        assert (found is None) == (doubt is None)
        assert (found or "").endswith(doubt or "")
