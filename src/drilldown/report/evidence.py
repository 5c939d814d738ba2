"""What a report on a run rests on, read once from the run folder and the dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from drilldown.answers import Answers, Mistake
from drilldown.data import Dataset
from drilldown.experiment import Experiment
from drilldown.records import Epoch
from drilldown.runs import Run
from drilldown.verdict import Verdict


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
    confusions: list[tuple[int, int, int]]
    """(truth, answer, count), the commonest first."""
    confusion: torch.Tensor
    """(classes, classes), int64: test images of each class (row) by the class that they were read as."""


def gather(run: Run, data_folder: Path | str | None = None, dataset: Dataset | None = None) -> Evidence:
    """Reads a finished run; raises DrilldownError where it is not finished, or without its model.

    *Arguments*: `data_folder`: where datasets lie. `dataset`: the run's, where it has been read before.
    """
    run.check_finished()
    experiment, verdict = run.experiment, run.verdict
    assert verdict is not None
    dataset = dataset or run.dataset(data_folder)
    answers = Answers(dataset.test, run.scores())
    return Evidence(
        run=run,
        experiment=experiment,
        epochs=run.epochs,
        summary=run.summary,
        verdict=verdict,
        dataset=dataset,
        mistakes=answers.mistakes,
        confusions=answers.confusions,
        confusion=answers.confusion,
    )
