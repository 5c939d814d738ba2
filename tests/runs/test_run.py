"""The files of a run's folder, and the model read from them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from drilldown.data.loading import load_dataset
from drilldown.errors import DrilldownError
from drilldown.report.run.writing import write_run_report
from drilldown.runs.folder import FINISHED
from drilldown.runs.perform import resume_run
from drilldown.runs.run import Run


def test_the_stored_model_gives_the_recorded_logits(uninterrupted: Path) -> None:
    run = Run(uninterrupted)
    dataset = load_dataset(run.experiment.recipe.dataset)
    (mean,), (std,) = run.normalisation
    images = (dataset.test.images.float() / 255 - mean) / std
    with torch.inference_mode():
        logits = run.model()(images)
    torch.testing.assert_close(logits, run.logits(), rtol=1e-5, atol=1e-5)
    assert int((logits.argmax(1) == dataset.test.labels).sum()) == run.epochs[-1].test.correct


def test_the_folder_holds_the_documented_files(uninterrupted: Path) -> None:
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


def test_the_fingerprint_of_the_stored_experiment_is_that_of_its_folder(uninterrupted: Path) -> None:
    run = Run(uninterrupted)
    assert run.path.parent.name.endswith(run.experiment.fingerprint)
    assert run.status == FINISHED


def test_a_summary_without_its_checksum_is_refused(uninterrupted: Path, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(uninterrupted, tmp_path / "seed-0")))
    file = run.path / "summary.json"
    file.write_text(file.read_text().replace('"sha256"', '"sha257"'))
    with pytest.raises(DrilldownError, match=r"summary\.json: cannot be read \(its checksum is missing\)"):
        _ = run.summary


def test_a_finished_run_of_version_0_1_is_read(uninterrupted: Path, tmp_path: Path) -> None:
    """Its files carry neither owner nor checksum, and its state has the records."""
    run = Run(Path(shutil.copytree(uninterrupted, tmp_path / "seed-0")))
    summary = json.loads((run.path / "summary.json").read_text())
    del summary["sha256"], summary["files"]
    (run.path / "summary.json").write_text(json.dumps(summary))
    for name in ("weights", "predictions"):
        file = run.path / f"{name}.safetensors"
        file.write_bytes(safetensors.torch.save(safetensors.torch.load(file.read_bytes()), {"format": "pt"}))
    records = (run.path / "epochs.jsonl").read_text()
    epochs = json.dumps([json.loads(line) for line in records.splitlines()])
    old = {"seed": "0", "engine": "native", "threads": "1", "epochs": epochs}
    (run.path / "state.safetensors").write_bytes(safetensors.torch.save({"network.x": torch.zeros(1)}, old))
    assert run.epochs == Run(uninterrupted).epochs
    assert run.predictions().tally == Run(uninterrupted).predictions().tally
    weights, same = (each.model().state_dict()["conv1.weight"] for each in (run, Run(uninterrupted)))
    assert torch.equal(weights, same)
    write_run_report(run)
    (run.path / "epochs.jsonl").write_text(records.rpartition("{")[0])
    with pytest.raises(
        DrilldownError, match=r"epochs\.jsonl: cannot be read \(it has \d+ epochs, and summary\.json says"
    ):
        run.read()
    (run.path / "summary.json").unlink()
    with pytest.raises(DrilldownError, match=r"state\.safetensors: cannot be read \(it does not say which run"):
        resume_run(run)
