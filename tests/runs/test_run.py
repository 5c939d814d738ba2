"""The files of a run's folder, and the model read from them."""

from __future__ import annotations

import json
from pathlib import Path

from drilldown.data.loading import load_dataset
from drilldown.runs.folder import FINISHED
from drilldown.runs.run import Run


def test_the_stored_model_gives_the_recorded_logits(uninterrupted: Path) -> None:
    import torch

    run = Run(uninterrupted)
    dataset = load_dataset(run.experiment.recipe.dataset)
    mean, std = run.normalisation
    images = (dataset.test.images[:, None].float() / 255 - mean) / std
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
