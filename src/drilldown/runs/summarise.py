"""Makes the summary that ends a run."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from drilldown.evaluation.predictions import Evaluation
from drilldown.evaluation.records import Tally
from drilldown.evaluation.verdict import judge
from drilldown.runs.chips import figures_of_training
from drilldown.runs.summary import AccuracyFigures, Machine, Normalisation, RunSummary
from drilldown.training.training import Training


def summarise_run(
    training: Training, test: Evaluation, clean_train: Tally, fingerprint: str, files: dict[str, str]
) -> RunSummary:
    """The summary of a finished training.

    *Arguments*: `test`, `clean_train`: of the judged model, on the test images and on the training images without
    augmentation. `fingerprint`: the one that the run's files carry. `files`: the SHA-256 of the run's files, by name.
    """
    experiment, epochs, chip = training.experiment, training.epochs, figures_of_training(training)
    last = epochs[-experiment.budget.hold :]
    percents = [float(epoch.test.accuracy) for epoch in epochs]
    held = percents[-len(last) :]
    return RunSummary(
        experiment=experiment.name,
        title=experiment.title,
        seed=training.seed,
        fingerprint=fingerprint,
        parameters=experiment.model_summary.parameters,
        epochs=len(epochs),
        engine=training.engine.name,
        device=_device_name(training.engine.device),
        threads=training.threads,
        versions=training.versions,
        machine=Machine(host=platform.node(), processor=processor_name()),
        seconds=round(sum(epoch.train_seconds + epoch.test_seconds for epoch in epochs), 3),
        accuracy=AccuracyFigures(
            best=max(percents), final=percents[-1], last=tuple(held), mean_last=sum(held) / len(held)
        ),
        last_correct=tuple(epoch.test.correct for epoch in last),
        total=epochs[-1].test.total,
        test=test.tally,
        files=files,
        normalisation=Normalisation(mean=training.dataset.mean, std=training.dataset.std),
        pictures=experiment.recipe.conventions_of(training.dataset),
        clean_train_correct=clean_train.correct,
        clean_train_total=clean_train.total,
        chip=chip,
        teacher=training.teacher,
        teacher_seen=training.teacher_seen,
        verdict=judge(experiment.budget, experiment.model_summary.parameters, epochs, dead=test.is_constant, chip=chip),
    )


def processor_name() -> str:
    """The processor's name as its maker gives it; Python itself knows only its architecture on Linux."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip().lower() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
