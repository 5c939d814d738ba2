"""A run folder while it is written: what a commit costs, and what a killed writer leaves behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from drilldown import Compute, load
from drilldown.errors import DrilldownError
from drilldown.runs.folder import INTERRUPTED, TRAINED_FILES
from drilldown.runs.perform import perform, resume_run
from drilldown.runs.run import Run
from drilldown.runs.writer import RunWriter
from drilldown.training.training import Training
from support.cli import world


@pytest.fixture
def training(tmp_path: Path) -> Training:
    """A training of one second that has not begun."""
    return Training(load(world(tmp_path, epochs=4)), compute=Compute(threads=1))


def interrupted(uninterrupted: Path, folder: Path) -> Run:
    """A copy of the finished run without what its end wrote."""
    copy = folder / "seed-0"
    shutil.copytree(uninterrupted, copy)
    for name in ("summary.json", "weights.safetensors", "predictions.safetensors"):
        (copy / name).unlink()
    return Run(copy)


def test_a_torn_record_and_one_without_a_state_are_cut_off(uninterrupted: Path, tmp_path: Path) -> None:
    run = interrupted(uninterrupted, tmp_path)
    whole = (run.path / "epochs.jsonl").read_bytes()
    epochs = run.epochs
    for more in (b'{"epoch": 61, "lr"', whole.splitlines(keepends=True)[-1], b"\xff" * 100):
        (run.path / "epochs.jsonl").write_bytes(whole + more)
        assert run.epochs == epochs
        resume_run(run)
        assert (run.path / "epochs.jsonl").read_bytes() == whole
        (run.path / "summary.json").unlink()


@pytest.mark.parametrize("spoil", ["shorter", "changed", "missing", "another run's"])
def test_records_that_the_state_does_not_vouch_for_are_refused(spoil: str, uninterrupted: Path, tmp_path: Path) -> None:
    run = interrupted(uninterrupted, tmp_path)
    file = run.path / "epochs.jsonl"
    whole = file.read_bytes()
    file.unlink()
    if spoil == "shorter":
        file.write_bytes(whole[:-1])
    elif spoil == "changed":
        file.write_bytes(whole.replace(b'"test_correct": ', b'"test_correct": 1', 1))
    elif spoil == "another run's":
        file.write_bytes(b"\n".join(reversed(whole.splitlines())) + b"\n")
    state = (run.path / "state.safetensors").read_bytes()
    for ask in (lambda: run.epochs, lambda: resume_run(run)):
        with pytest.raises(DrilldownError, match=r"epochs\.jsonl"):
            ask()
    assert (run.path / "state.safetensors").read_bytes() == state


def test_a_commit_into_a_file_that_another_program_changes_is_refused(training: Training, tmp_path: Path) -> None:
    run = Run(tmp_path / "seed-0")
    record = next(iter(training))
    with run.lock():
        writer = RunWriter(run, training)
        (run.path / "epochs.jsonl").write_text("something else\n")
        with pytest.raises(DrilldownError, match="another program has changed the file"):
            writer.commit(record)
    assert (run.path / "epochs.jsonl").read_text() == "something else\n"


def test_writing_follows_no_link(training: Training, tmp_path: Path) -> None:
    """A folder from a stranger may contain links to files of the user."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    run = Run(tmp_path / "seed-0")
    run.path.mkdir()
    for name in (*TRAINED_FILES, "experiment.toml", ".lock"):
        (run.path / name).symlink_to(precious)
    (run.path / "summary.json").unlink()  # otherwise the run counts as finished
    (run.path / "diverged.json").unlink()
    (run.path / "state.safetensors").unlink()
    with pytest.raises(DrilldownError, match="cannot be written"):
        perform(training.experiment, run_dir=run.path)
    (run.path / ".lock").unlink()
    perform(training.experiment, run_dir=run.path)
    assert precious.read_text() == "mine"
    assert json.loads((run.path / "summary.json").read_text())["epochs"] == 4


def test_a_killed_repetition_leaves_no_result_of_the_earlier_training(uninterrupted: Path, tmp_path: Path) -> None:
    """After each file that a repetition removes, the folder tells either the earlier result or none."""
    for removed in range(1, len(TRAINED_FILES) + 1):
        copy = tmp_path / str(removed) / "seed-0"
        shutil.copytree(uninterrupted, copy)
        for name in TRAINED_FILES[:removed]:
            (copy / name).unlink(missing_ok=True)
        run = Run(copy)
        assert run.status == INTERRUPTED
        resume_run(run)
        assert run.verdict == Run(uninterrupted).verdict
        assert run.epochs[-1].test == Run(uninterrupted).epochs[-1].test


def test_a_new_title_reaches_a_resumed_run(tmp_path: Path) -> None:
    """The title is not part of the fingerprint; the state must vouch for the new file at once."""
    file = world(tmp_path, epochs=4)
    run = perform(load(file), run_dir=tmp_path / "seed-0")
    for name in ("summary.json", "weights.safetensors", "predictions.safetensors"):
        (run.path / name).unlink()
    file.write_text(file.read_text().replace('title = "Tiny"', 'title = "Renamed"'))
    training = Training(load(file), checkpoint=run.checkpoint(load(file), 0))
    with run.lock():
        RunWriter(Run(run.path), training)  # killed here
    assert Run(run.path).experiment.title == "Renamed"
    resume_run(Run(run.path))
    assert Run(run.path).read().summary.title == "Renamed"
