"""The part of a run's folder that is mirrored, while the run is trained and afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from drilldown import Folders, load, perform
from drilldown.runs.run import Run
from drilldown.tracking.record import epoch_figures, final_figures, read_record, verdict_texts
from support.cli import environment, world


def test_a_finished_run_has_settings_epochs_and_the_verdict(run_dir: Path) -> None:
    record = read_record(run_dir)
    assert record is not None
    run = Run(run_dir)
    assert record.epochs == run.epochs
    assert record.summary == run.summary
    assert record.divergence is None
    assert record.settings["recipe.optimizer.lr"] == 0.1
    assert record.settings["recipe.augment.jitter.brightness"] == 0.2
    assert record.settings["budget.parameters"] == 1000
    assert record.settings["seed"] == 0
    assert str(record.settings["network.layers"]).splitlines()[1] == "maxpool 4"
    assert record.settings["title"] == "Tiny"
    assert "target" not in record.settings
    assert run.summary is not None
    assert verdict_texts(run.summary)["budget"] == "met"
    assert "limit 1,000" in verdict_texts(run.summary)["parameters"]
    assert final_figures(run.summary)["final/budget_met"] == 1


def test_the_key_stays_the_same_until_the_run_is_finished(run_dir: Path, trained: Path) -> None:
    keys = {read_record(run_dir, epochs).key for epochs in (1, 2, 3, None)}  # type: ignore[union-attr]
    assert len(keys) == 1
    assert keys != {read_record(next(trained.glob("*/*/seed-1"))).key}  # type: ignore[union-attr]


def test_while_a_run_is_trained_only_its_saved_epochs_are_read(running_dir: Path) -> None:
    (running_dir / "state.safetensors").unlink()  # on Windows, a reader would keep the training from replacing it
    with (running_dir / "epochs.jsonl").open("a") as records:
        records.write('{"epoch": 4, "lr"')
    for epochs in (1, 2, 3):
        record = read_record(running_dir, epochs)
        assert record is not None
        assert len(record.epochs) == epochs
    assert read_record(running_dir, 0) is None


def test_a_run_that_diverged_has_its_reason(diverged: Path) -> None:
    record = read_record(diverged)
    assert record is not None
    assert record.epochs == ()
    assert record.divergence is not None
    assert "epoch 1, step" in record.divergence


def test_figures_name_the_validation_split_and_the_weights_that_are_not_averaged(tmp_path: Path) -> None:
    experiment = load(world(tmp_path, epochs=1), ["recipe.holdout=50"])
    run = perform(experiment, folders=Folders(runs=tmp_path / "runs"))
    assert list(epoch_figures(run.epochs[0])) == [
        "loss/train", "loss/validation", "accuracy/train", "accuracy/validation", "accuracy/validation_raw", "lr",
        "seconds/train", "seconds/test",
    ]  # fmt: skip
    record = read_record(run.path)
    assert record is not None
    assert record.settings["recipe.holdout"] == 50


def test_a_damaged_run_is_an_error(run_dir: Path) -> None:
    (run_dir / "epochs.jsonl").write_text("not a record\n")
    with pytest.raises(ValueError):  # noqa: PT011 - of JSON
        read_record(run_dir, 1)


def test_the_process_of_a_tracker_needs_no_pytorch() -> None:
    code = (
        "import sys, drilldown.tracking.process, drilldown.tracking.tensorboard\n"
        "print([name for name in ('torch', 'tensorflow', 'distributed') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
