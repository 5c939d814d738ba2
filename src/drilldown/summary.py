"""What a finished run comes to: the document that ends it."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from drilldown.files import damaged, read_json
from drilldown.records import Tally
from drilldown.train import Training
from drilldown.verdict import judge

MUST_SAY: dict[str, type] = {
    "experiment": str, "seed": int, "parameters": int, "accuracy.final": float, "verdict.passed": bool,
    "normalisation.mean": float, "normalisation.std": float,
}  # fmt: skip
"""What a summary must say to be one."""


def read_summary(file: Path) -> dict[str, Any]:
    """What `summary.json` says; raises DrilldownError where that is no summary."""
    said = read_json(file)
    for place, kind in MUST_SAY.items():
        found: Any = said
        for key in place.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, kind):
            raise damaged(file, f'"{place}" is missing' if found is None else f'"{place}" makes no sense')
    return said


def summarise(training: Training, test: Tally, clean_train: Tally) -> dict[str, Any]:
    """The summary of a training that is over.

    *Arguments*: `test`, `clean_train`: of the model that is judged, on the test images and on the training images seen
    plainly.
    """
    experiment, epochs = training.experiment, training.epochs
    verdict = judge(experiment.budget, experiment.anatomy.parameters, epochs)
    last = epochs[-experiment.budget.hold :]
    percents = [float(epoch.test.accuracy) for epoch in epochs]
    held = percents[-len(last) :]
    return {
        "experiment": experiment.name,
        "title": experiment.title,
        "seed": training.seed,
        "fingerprint": experiment.fingerprint,
        "parameters": experiment.anatomy.parameters,
        "epochs": len(epochs),
        "engine": training.engine.name,
        "device": _device_name(training.engine.device),
        "threads": training.threads,
        "versions": {
            "drilldown": metadata.version("drilldown"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "seconds": round(sum(epoch.train_seconds + epoch.test_seconds for epoch in epochs), 3),
        "accuracy": {
            "best": max(percents),
            "final": percents[-1],
            "last": held,
            "mean_last": sum(held) / len(held),
        },
        "last_correct": [epoch.test.correct for epoch in last],
        "total": epochs[-1].test.total,
        "test": asdict(test),
        "normalisation": {"mean": training.dataset.mean, "std": training.dataset.std},
        "clean_train_correct": clean_train.correct,
        "clean_train_total": clean_train.total,
        "verdict": verdict.to_json(),
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
