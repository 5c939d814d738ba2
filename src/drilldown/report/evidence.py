"""What a report on a run rests on, read once from the run folder and the dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from drilldown import data
from drilldown.data import Dataset
from drilldown.errors import DrilldownError
from drilldown.experiment import Experiment
from drilldown.records import Epoch
from drilldown.runs import FINISHED, Run
from drilldown.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A test image that was read wrongly."""

    index: int
    """Its place in the test set."""
    truth: int
    predicted: int
    confidence: float
    """The probability that the network gave to its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A finished run, with all that is said about it."""

    run: Run
    experiment: Experiment
    epochs: tuple[Epoch, ...]
    summary: dict[str, Any]
    verdict: Verdict
    dataset: Dataset
    mistakes: tuple[Mistake, ...]
    """The surest first."""
    confusion: torch.Tensor
    """(classes, classes), int64: test images of each class (row) by the class that they were read as."""


def gather(run: Run, data_folder: Path | None = None, dataset: Dataset | None = None) -> Evidence:
    """Reads a finished run; raises DrilldownError where it is not finished.

    *Arguments*: `data_folder`: where datasets lie. `dataset`: the run's, where it has been read before.
    """
    if run.status != FINISHED:
        raise DrilldownError(f"{run.path}: the run is {run.status}; a report is made of finished runs")
    experiment, verdict = run.experiment, run.verdict
    assert verdict is not None
    dataset = dataset or data.load(experiment.recipe.dataset, data_folder)
    probabilities = run.scores().double().softmax(1)
    confidence, predicted = probabilities.max(1)
    truth = dataset.test.labels
    wrong = (predicted != truth).nonzero().flatten()
    wrong = wrong[confidence[wrong].argsort(descending=True, stable=True)]
    classes = dataset.classes
    return Evidence(
        run=run,
        experiment=experiment,
        epochs=run.epochs,
        summary=run.summary,
        verdict=verdict,
        dataset=dataset,
        mistakes=tuple(
            Mistake(
                index=int(i),
                truth=int(truth[i]),
                predicted=int(predicted[i]),
                confidence=float(confidence[i]),
            )
            for i in wrong
        ),
        confusion=torch.bincount(truth * classes + predicted, minlength=classes**2).view(classes, classes),
    )
