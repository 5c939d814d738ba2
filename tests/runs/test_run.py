"""Runs that are killed, interrupted, starved of room, or started twice: nothing is lost, and nothing is made up."""

from __future__ import annotations

import hashlib
import json
import random
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
from drilldown.data.loading import load_dataset
from drilldown.errors import DrilldownError, TrainingDivergedError
from drilldown.files import write_atomically
from drilldown.runs.finding import all_runs, find_run
from drilldown.runs.folder import DIVERGED, FINISHED, INTERRUPTED, RUNNING
from drilldown.runs.perform import perform, resume_run
from drilldown.runs.run import Run
from drilldown.training.training import Training
from support.cli import drilldown, environment, start, world

TIMES = ("train_seconds", "test_seconds")
EPOCHS = 60
"""Of the run that is killed again and again: some two seconds of training, so that it can be."""


def outcome(run: Path) -> tuple[str, str, list[dict[str, object]]]:
    """What must not differ between two runs: weights, answers, records without their times."""
    weights, answers = (
        hashlib.sha256((run / f"{name}.safetensors").read_bytes()).hexdigest() for name in ("weights", "predictions")
    )
    records = [json.loads(line) for line in (run / "epochs.jsonl").read_text().splitlines()]
    return weights, answers, [{k: v for k, v in record.items() if k not in TIMES} for record in records]


def only_run(folder: Path) -> Path:
    (found,) = (folder / "runs").glob("*/*/seed-*")
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    world(folder, epochs=EPOCHS)
    done = drilldown("run", "tiny.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return only_run(folder)


def test_two_processes_train_the_same_bits(uninterrupted: Path, tmp_path: Path) -> None:
    world(tmp_path, epochs=EPOCHS)
    drilldown("run", "tiny.toml", cwd=tmp_path)
    assert outcome(only_run(tmp_path)) == outcome(uninterrupted)


def test_a_run_killed_again_and_again_ends_where_it_would_have(uninterrupted: Path, tmp_path: Path) -> None:
    world(tmp_path, epochs=EPOCHS)
    chance = random.Random(0)
    kills = 0
    for attempt in range(40):
        command = ("run", "tiny.toml") if attempt % 2 == 0 or not (tmp_path / "runs").exists() else None
        if command is None:
            runs = list((tmp_path / "runs").glob("*/*/seed-*"))
            command = (
                ("resume", str(runs[0])) if runs and (runs[0] / "experiment.toml").exists() else ("run", "tiny.toml")
            )
        process = start(*command, cwd=tmp_path)
        assert process.stderr is not None
        # Killed either somewhere in its start-up or, having begun to train, a random moment later.
        if attempt % 4 == 0:
            time.sleep(chance.uniform(0, 2))
        else:
            for line in process.stderr:
                if "epoch" in line:
                    break
            time.sleep(chance.uniform(0, 0.6))
        if process.poll() is None:
            process.kill()
            kills += 1
        process.communicate()
        if any((tmp_path / "runs").glob("*/*/*/summary.json")):
            break
    finished = drilldown("run", "tiny.toml", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert kills >= 3
    assert outcome(only_run(tmp_path)) == outcome(uninterrupted)


def test_a_folder_torn_at_any_write_is_mended(uninterrupted: Path, tmp_path: Path) -> None:
    """Whatever is missing of the files that follow the state is made again from it."""
    wanted = outcome(uninterrupted)
    derived = ["summary.json", "weights.safetensors", "predictions.safetensors", "epochs.jsonl", "train.log"]
    for lost in range(1, len(derived) + 1):
        copy = tmp_path / "runs" / uninterrupted.parent.parent.name / uninterrupted.parent.name / f"seed-{lost}"
        shutil.copytree(uninterrupted, copy)
        for name in derived[:lost]:
            (copy / name).unlink()
        (copy / ".state.safetensors.partial").write_bytes(b"half a file")
        assert Run(copy).status == INTERRUPTED
        resume_run(Run(copy))
        assert outcome(copy) == wanted


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_saves_and_says_how_to_go_on(sign: signal.Signals, code: int, tmp_path: Path) -> None:
    world(tmp_path, epochs=500)
    process = start("run", "tiny.toml", cwd=tmp_path)
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if line.strip().startswith("3 "):
            break
    process.send_signal(sign)
    begun = time.monotonic()
    _, rest = process.communicate(timeout=30)
    assert process.returncode == code, seen + rest
    assert time.monotonic() - begun < 5
    assert "drilldown resume" in rest
    assert "Traceback" not in rest
    run = Run(only_run(tmp_path))
    assert run.status == INTERRUPTED
    assert len(run.epochs) >= 3


def test_a_finished_run_is_shown_and_not_repeated_unless_asked(uninterrupted: Path) -> None:
    folder = uninterrupted.parents[3]
    written = (uninterrupted / "state.safetensors").stat().st_mtime_ns
    shown = drilldown("run", "tiny.toml", cwd=folder)
    assert "Budget met" in shown.stdout
    assert (uninterrupted / "state.safetensors").stat().st_mtime_ns == written
    repeated = drilldown("run", "tiny.toml", "--again", cwd=folder)
    assert repeated.returncode == 0
    assert (uninterrupted / "state.safetensors").stat().st_mtime_ns > written


@pytest.mark.parametrize("wrong", [{"engine": "natve"}, {"device": "tpu"}, {"threads": 0}], ids=str)
def test_what_cannot_be_repeated_is_not_forgotten(uninterrupted: Path, tmp_path: Path, wrong: dict[str, Any]) -> None:
    shutil.copytree(uninterrupted, tmp_path / "seed-0")
    with pytest.raises(DrilldownError):
        perform(Run(uninterrupted).experiment, run_dir=tmp_path / "seed-0", again=True, compute=Compute(**wrong))
    assert Run(tmp_path / "seed-0").status == FINISHED
    assert outcome(tmp_path / "seed-0") == outcome(uninterrupted)


def test_a_run_is_told_by_its_folder_from_wherever_one_looks(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs" / "some" / "step-01234567" / "seed-3"
    folder.mkdir(parents=True)
    shutil.copy(uninterrupted / "experiment.toml", folder)  # killed before its first epoch was saved
    for place, reference in ((folder, "."), (folder.parent, "seed-3"), (tmp_path, str(folder))):
        monkeypatch.chdir(place)
        assert (Run(Path(reference)).name, Run(Path(reference)).seed) == ("some/step", 3)


def test_a_run_goes_on_on_the_device_that_it_began_on(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(uninterrupted, tmp_path / "seed-0")
    run = Run(tmp_path / "seed-0")
    checkpoint = run.checkpoint()
    assert checkpoint is not None
    assert checkpoint.device == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)  # another machine, or a new card
    assert Training(run.experiment, seed=0, checkpoint=checkpoint).engine.device.type == "cpu"


def test_a_second_process_is_kept_out_of_a_run(tmp_path: Path) -> None:
    world(tmp_path, epochs=500)
    first = start("run", "tiny.toml", cwd=tmp_path)
    assert first.stderr is not None
    for line in first.stderr:
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


def test_a_folder_deleted_under_way_ends_in_a_message(tmp_path: Path) -> None:
    world(tmp_path, epochs=500)
    process = start("run", "tiny.toml", cwd=tmp_path)
    assert process.stderr is not None
    for line in process.stderr:
        if line.strip().startswith("1 "):
            break
    (tmp_path / "runs").rename(tmp_path / "gone")  # at once: emptied file by file, it would be written to meanwhile
    shutil.rmtree(tmp_path / "gone")
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "deleted or moved" in rest
    assert "Traceback" not in rest


def test_no_room_is_said_and_what_was_saved_stays(uninterrupted: Path, tmp_path: Path) -> None:
    world(tmp_path, epochs=EPOCHS)

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))  # too little for the state

    refused = subprocess.run(
        [sys.executable, "-m", "drilldown", "run", "tiny.toml"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, preexec_fn=no_room, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    assert "no space left" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list(only_run(tmp_path).glob("*.partial")) + list(only_run(tmp_path).glob(".*.partial"))
    assert drilldown("run", "tiny.toml", cwd=tmp_path).returncode == 0
    assert outcome(only_run(tmp_path)) == outcome(uninterrupted)


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    world(tmp_path)
    (tmp_path / "taken").write_text("a file where a folder should be")
    refused = drilldown("run", "tiny.toml", "--runs", "taken", cwd=tmp_path)
    assert refused.returncode == 2
    assert "taken" in refused.stderr
    assert "epoch" not in refused.stderr


def test_a_damaged_state_is_said_and_not_overwritten(uninterrupted: Path, tmp_path: Path) -> None:
    copy = tmp_path / "seed-0"
    shutil.copytree(uninterrupted, copy)
    (copy / "summary.json").unlink()
    whole = (copy / "state.safetensors").read_bytes()
    for torn in (b"", whole[:100], whole[:-1], b"\xff" * 50):
        (copy / "state.safetensors").write_bytes(torn)
        with pytest.raises(DrilldownError, match="cannot be read"):
            resume_run(Run(copy))
        assert (copy / "state.safetensors").read_bytes() == torn


def test_a_diverged_run_says_so_with_epoch_step_and_rate(tmp_path: Path) -> None:
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


def test_seeds_that_all_diverge_are_a_failed_training(tmp_path: Path) -> None:
    world(tmp_path)
    failed = drilldown("run", "tiny.toml", "--seeds", "2", "--set", "recipe.optimizer.lr=1e30", cwd=tmp_path)
    assert failed.stdout.count("diverged") == 2
    assert "budget met: 0 of 2 seeds" in failed.stdout
    assert failed.returncode == 4


def test_a_diverged_seed_counts_as_a_failure(tmp_path: Path) -> None:
    file = world(tmp_path)
    for seed in (0, 1):
        perform(load(file), seed=seed, folders=Folders(runs=tmp_path / "runs"))
    with pytest.raises(TrainingDivergedError):
        perform(load(file, ["recipe.optimizer.lr=1e30"]), seed=2, folders=Folders(runs=tmp_path / "elsewhere"))
    (diverged,) = (tmp_path / "elsewhere").glob("*/*/seed-2")
    shutil.copytree(diverged, Run.of(load(file), 2, tmp_path / "runs").path)
    judged = drilldown("verdict", "tiny.toml", cwd=tmp_path)
    assert "2 of 3 seeds" in judged.stdout
    assert judged.returncode == 3


def test_the_model_read_back_gives_the_recorded_answers(uninterrupted: Path) -> None:
    import torch

    run = Run(uninterrupted)
    dataset = load_dataset(run.experiment.recipe.dataset)
    mean, std = run.normalisation
    images = (dataset.test.images[:, None].float() / 255 - mean) / std
    with torch.inference_mode():
        logits = run.model()(images)
    torch.testing.assert_close(logits, run.logits(), rtol=1e-5, atol=1e-5)
    assert int((logits.argmax(1) == dataset.test.labels).sum()) == run.epochs[-1].test.correct


def test_the_folder_holds_what_is_promised(uninterrupted: Path) -> None:
    promised = {
        "experiment.toml", "epochs.jsonl", "train.log", "weights.safetensors", "predictions.safetensors",
        "state.safetensors", "summary.json", "report.md",
    }  # fmt: skip
    assert promised <= {entry.name for entry in uninterrupted.iterdir()}
    summary = json.loads((uninterrupted / "summary.json").read_text())
    assert {
        "experiment", "seed", "fingerprint", "parameters", "epochs", "engine", "device", "threads", "versions",
        "seconds", "accuracy", "last_correct", "clean_train_correct", "verdict",
    } <= summary.keys()  # fmt: skip
    assert {"best", "final", "last", "mean_last"} <= summary["accuracy"].keys()
    assert {"parameters", "epochs", "accuracy", "passed", "split"} <= summary["verdict"].keys()
    first = json.loads((uninterrupted / "epochs.jsonl").read_text().splitlines()[0])
    assert first["train_total"] == 300
    assert first["test_total"] == 100
    assert "raw_test_correct" in first
    assert "Test set: Average loss:" in (uninterrupted / "train.log").read_text()


def test_with_a_holdout_epochs_are_judged_on_it_and_the_test_set_once(tmp_path: Path) -> None:
    file = world(tmp_path)
    run = perform(load(file, ["recipe.holdout=50"]), folders=Folders(runs=tmp_path / "runs"))
    summary = run.read().summary
    assert summary.verdict.split == "validation"
    assert {epoch.test.total for epoch in run.epochs} == {50}
    assert {epoch.train.total for epoch in run.epochs} == {250}
    assert summary.test.total == 100
    assert "val_correct" in (run.path / "epochs.jsonl").read_text()


def test_the_fingerprint_of_the_stored_experiment_is_that_of_its_folder(uninterrupted: Path) -> None:
    run = Run(uninterrupted)
    assert run.path.parent.name.endswith(run.experiment.fingerprint)
    assert run.status == FINISHED


def test_runs_are_found_by_folder_and_as_last(uninterrupted: Path) -> None:
    root = uninterrupted.parents[2]
    assert find_run(str(uninterrupted), root) == Run(uninterrupted)
    assert find_run(str(uninterrupted.parent), root) == Run(uninterrupted)
    assert find_run("last", root) == all_runs(root)[0]
    with pytest.raises(DrilldownError, match="no run here"):
        find_run("nowhere", root)
    with pytest.raises(DrilldownError, match="no runs here"):
        find_run("last", root / "empty")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_bytes(b"before")
    with pytest.raises(TypeError):
        write_atomically(file, "not bytes")  # type: ignore[arg-type]
    assert file.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["precious"]


def test_a_run_folder_holds_the_users_module_and_goes_on_from_it(tmp_path: Path) -> None:
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
