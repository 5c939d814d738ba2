"""Runs that are killed, interrupted, refused or started twice end with the same result or with a message."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from drilldown import Compute, Folders, load
from drilldown.errors import DrilldownError
from drilldown.runs.folder import DIVERGED, FINISHED, INTERRUPTED, RUNNING
from drilldown.runs.perform import perform, resume_run
from drilldown.runs.run import Run
from drilldown.training.training import Training
from support.cli import LONG_RUN_EPOCHS, drilldown, environment, only_run, start, world
from support.outcome import outcome


def test_two_processes_train_the_same_bits(uninterrupted: Path, tmp_path: Path) -> None:
    world(tmp_path, epochs=LONG_RUN_EPOCHS)
    drilldown("run", "tiny.toml", cwd=tmp_path)
    assert outcome(only_run(tmp_path)) == outcome(uninterrupted)


def test_missing_files_are_written_again_from_the_state(uninterrupted: Path, tmp_path: Path) -> None:
    """All other files follow from the state and the records."""
    wanted = outcome(uninterrupted)
    derived = ["summary.json", "weights.safetensors", "predictions.safetensors", "train.log"]
    for lost in range(1, len(derived) + 1):
        copy = tmp_path / str(lost) / "seed-0"
        shutil.copytree(uninterrupted, copy)
        for name in derived[:lost]:
            (copy / name).unlink()
        leftover = copy / f".{'0' * 16}.partial"
        leftover.write_bytes(b"half a file of a killed writer")
        assert Run(copy).status == INTERRUPTED
        resume_run(Run(copy))
        assert outcome(copy) == wanted
        assert not leftover.exists()


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_keeps_finished_epochs_and_prints_the_resume_command(
    sign: signal.Signals, code: int, tmp_path: Path
) -> None:
    world(tmp_path, epochs=500)
    process = start("run", "tiny.toml", cwd=tmp_path)
    assert process.stdout is not None
    shown = ""
    for line in process.stdout:
        shown += line
        if line.strip().startswith("3 "):
            break
    process.send_signal(sign)
    begun = time.monotonic()
    _, rest = process.communicate(timeout=30)
    assert process.returncode == code, shown + rest
    assert time.monotonic() - begun < 5
    assert "drilldown resume" in rest
    assert "Traceback" not in rest
    run = Run(only_run(tmp_path))
    assert run.status == INTERRUPTED
    assert len(run.epochs) >= 3


def test_a_finished_run_is_shown_and_repeated_only_with_again(uninterrupted: Path) -> None:
    folder = uninterrupted.parents[3]
    written = (uninterrupted / "state.safetensors").stat().st_mtime_ns
    shown = drilldown("run", "tiny.toml", cwd=folder)
    assert "Budget met" in shown.stdout
    assert (uninterrupted / "state.safetensors").stat().st_mtime_ns == written
    repeated = drilldown("run", "tiny.toml", "--again", cwd=folder)
    assert repeated.returncode == 0
    assert (uninterrupted / "state.safetensors").stat().st_mtime_ns > written


@pytest.mark.parametrize("wrong", [{"engine": "natve"}, {"device": "tpu"}, {"threads": 0}], ids=str)
def test_a_refused_repetition_keeps_the_finished_run(
    uninterrupted: Path, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    shutil.copytree(uninterrupted, tmp_path / "seed-0")
    with pytest.raises(DrilldownError):
        perform(Run(uninterrupted).experiment, run_dir=tmp_path / "seed-0", again=True, compute=Compute(**wrong))
    assert Run(tmp_path / "seed-0").status == FINISHED
    assert outcome(tmp_path / "seed-0") == outcome(uninterrupted)


def test_a_run_resumes_on_the_device_that_it_began_on(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(uninterrupted, tmp_path / "seed-0")
    run = Run(tmp_path / "seed-0")
    checkpoint = run.checkpoint(run.experiment, 0)
    assert checkpoint is not None
    assert checkpoint.device == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)  # as on another machine, or with a new card
    assert Training(run.experiment, seed=0, checkpoint=checkpoint).engine.device.type == "cpu"


def test_a_second_process_cannot_train_the_same_run(tmp_path: Path) -> None:
    world(tmp_path, epochs=500)
    first = start("run", "tiny.toml", cwd=tmp_path)
    assert first.stdout is not None
    for line in first.stdout:
        if line.strip().startswith("1 "):
            break
    assert Run(only_run(tmp_path)).status == RUNNING
    second = drilldown("run", "tiny.toml", cwd=tmp_path)
    assert second.returncode == 2
    assert "another process is training this run" in second.stderr
    assert first.poll() is None
    first.kill()
    first.communicate()
    assert Run(only_run(tmp_path)).status == INTERRUPTED


def test_a_folder_deleted_during_training_gives_a_message(tmp_path: Path) -> None:
    world(tmp_path, epochs=500)
    process = start("run", "tiny.toml", cwd=tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip().startswith("1 "):
            break
    (tmp_path / "runs").rename(
        tmp_path / "gone"
    )  # one step: a folder deleted file by file could be written to in between
    shutil.rmtree(tmp_path / "gone")
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "deleted or moved" in rest
    assert "Traceback" not in rest


def test_a_full_disk_gives_a_message_and_keeps_the_saved_epochs(uninterrupted: Path, tmp_path: Path) -> None:
    world(tmp_path, epochs=LONG_RUN_EPOCHS)

    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))  # too little for the state

    # Without the measurement of coverage, whose database does not fit either.
    uncovered = {name: value for name, value in environment().items() if not name.startswith("COVERAGE_")}
    refused = subprocess.run(
        [sys.executable, "-m", "drilldown", "run", "tiny.toml"],
        cwd=tmp_path, env=uncovered, capture_output=True, text=True, preexec_fn=limit_file_size, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    assert "no space left" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not [entry for entry in only_run(tmp_path).iterdir() if entry.name.endswith(".partial")]
    assert drilldown("run", "tiny.toml", cwd=tmp_path).returncode == 0
    assert outcome(only_run(tmp_path)) == outcome(uninterrupted)


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    world(tmp_path)
    (tmp_path / "taken").write_text("a file where a folder should be")
    refused = drilldown("run", "tiny.toml", "--runs", "taken", cwd=tmp_path)
    assert refused.returncode == 2
    assert "taken" in refused.stderr
    assert refused.stdout == ""


def test_a_damaged_state_is_reported_and_not_overwritten(uninterrupted: Path, tmp_path: Path) -> None:
    copy = tmp_path / "seed-0"
    shutil.copytree(uninterrupted, copy)
    (copy / "summary.json").unlink()
    whole = (copy / "state.safetensors").read_bytes()
    for torn in (b"", whole[:100], whole[:-1], b"\xff" * 50):
        (copy / "state.safetensors").write_bytes(torn)
        with pytest.raises(DrilldownError, match="cannot be read"):
            resume_run(Run(copy))
        assert (copy / "state.safetensors").read_bytes() == torn


def test_a_diverged_run_names_epoch_step_and_learning_rate(tmp_path: Path) -> None:
    world(tmp_path)
    failed = drilldown("run", "tiny.toml", "--set", "recipe.optimizer.lr=1e30", cwd=tmp_path)
    assert failed.returncode == 4
    assert "epoch 1, step" in failed.stderr
    assert "learning rate" in failed.stderr
    run = Run(only_run(tmp_path))
    assert run.status == DIVERGED
    assert "step" in run.divergence
    assert drilldown("verdict", str(run.path), cwd=tmp_path).returncode == 4
    assert drilldown("run", "tiny.toml", "--set", "recipe.optimizer.lr=1e30", cwd=tmp_path).returncode == 4


def test_a_holdout_judges_the_epochs_and_the_test_set_is_evaluated_once(tmp_path: Path) -> None:
    file = world(tmp_path)
    run = perform(load(file, ["recipe.holdout=50"]), folders=Folders(runs=tmp_path / "runs"))
    summary = run.read().summary
    assert summary.verdict.split == "validation"
    assert {epoch.test.total for epoch in run.epochs} == {50}
    assert {epoch.train.total for epoch in run.epochs} == {250}
    assert summary.test.total == 100
    assert "val_correct" in (run.path / "epochs.jsonl").read_text()


def test_a_run_folder_holds_the_users_module_and_resumes_from_it(tmp_path: Path) -> None:
    file = world(tmp_path)
    (tmp_path / "model.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 10))\n"
    )
    run = perform(load(file, ["network.python=model.py:Net"]), folders=Folders(runs=tmp_path / "runs"))
    (tmp_path / "model.py").unlink()
    before = outcome(run.path)
    for name in ("summary.json", "weights.safetensors"):
        (run.path / name).unlink()
    resume_run(run)
    assert outcome(run.path) == before


@pytest.mark.parametrize(("step", "seed"), [("x-deadbeef", "seed-0"), ("x", "seed-3")])
def test_a_folder_with_the_name_of_another_run_is_refused_before_training(
    step: str, seed: str, uninterrupted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / step / seed
    folder.mkdir(parents=True)
    shutil.copy(uninterrupted / "experiment.toml", folder)
    with pytest.raises(DrilldownError, match="as the folder's name says"):
        perform(Run(uninterrupted).experiment, run_dir=folder)
    assert [entry.name for entry in folder.iterdir()] == ["experiment.toml"]


def test_a_network_whose_layers_share_a_tensor_is_saved(tmp_path: Path) -> None:
    file = world(tmp_path, epochs=2)
    (tmp_path / "model.py").write_text(
        "from torch import nn\n"
        "class Tied(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.first, self.again, self.last = nn.Linear(784, 784), nn.Linear(784, 784), nn.Linear(784, 10)\n"
        "        self.again.weight = self.first.weight\n"
        "    def forward(self, images):\n"
        "        return self.last(self.again(self.first(images.flatten(1)).relu()).relu())\n"
    )
    run = perform(load(file, ["network.python=model.py:Tied"]), folders=Folders(runs=tmp_path / "runs"))
    state = run.model().state_dict()
    assert state["first.weight"].data_ptr() == state["again.weight"].data_ptr()
    assert run.predictions().tally.total == 100
