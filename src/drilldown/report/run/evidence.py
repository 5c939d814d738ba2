"""The data of a report on a run, read once from the run folder and the dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from drilldown.data.dataset import Dataset
from drilldown.data.loading import with_local_writers
from drilldown.data.writers import count_writers
from drilldown.evaluation.activation_maps import has_activation_maps
from drilldown.evaluation.bootstrap import AccuracyInterval
from drilldown.evaluation.predictions import Misclassified
from drilldown.evaluation.records import EpochRecord
from drilldown.evaluation.verdict import Verdict
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.holdout import describe_split
from drilldown.export.document import Export, read_export
from drilldown.report.run.activation import Activation, gather_activations
from drilldown.runs.audit import Audit, read_audit
from drilldown.runs.interval import judged_interval
from drilldown.runs.run import FinishedRun, Run
from drilldown.runs.summary import RunSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvidence:
    """A finished run with its dataset and its misclassified images."""

    finished: FinishedRun
    digest: str
    """The SHA-256 of what the report is made from; the report carries it."""
    experiment: Experiment
    dataset: Dataset
    misclassified: tuple[Misclassified, ...]
    """Highest confidence first."""
    confusions: list[tuple[int, int, int]]
    """(true class, predicted class, count), the most frequent first."""
    confusion: torch.Tensor
    """(classes, classes), int64: test images by true class (row) and predicted class (column)."""
    activations: tuple[Activation, ...]
    """The class activation maps of some test images; empty for a network without them."""
    interval: AccuracyInterval
    """The 95 % interval of the test accuracy."""
    audit: Audit | None
    """The accuracy on images that nobody could choose on; None without an audit."""
    export: Export | None
    """What was exported, and how it was judged; None where nothing was."""
    split_text: str | None
    """The validation split in words, and whether it shares writers with the training images; None without one."""

    @property
    def run(self) -> Run:
        """The run."""
        return self.finished.run

    @property
    def epochs(self) -> tuple[EpochRecord, ...]:
        """The records of all epochs."""
        return self.finished.epochs

    @property
    def summary(self) -> RunSummary:
        """The figures of the run."""
        return self.finished.summary

    @property
    def verdict(self) -> Verdict:
        """The verdict on the run."""
        return self.finished.verdict


def gather_run(run: Run, data_dir: Path | str | None = None, dataset: Dataset | None = None) -> RunEvidence:
    """Reads a finished run with its dataset.

    *Arguments*: `data_dir`: the first place to look for the dataset and its writers. `dataset`: the run's dataset, if
    it is in memory.

    *Raises* DrilldownError where the run is not finished or its model was deleted.
    """
    run.check_finished()
    digest, finished, experiment = run.report_digest, run.read(), run.experiment
    dataset = dataset or experiment.recipe.load_without_writers(data_dir)
    predictions = run.predictions_for(dataset)
    return RunEvidence(
        finished=finished,
        digest=digest,
        experiment=experiment,
        dataset=dataset,
        misclassified=predictions.misclassified,
        confusions=predictions.confusions,
        confusion=predictions.confusion,
        activations=gather_activations(run, predictions) if has_activation_maps(experiment.layout) else (),
        interval=judged_interval(run, data_dir),
        audit=read_audit(run),
        export=read_export(run),
        split_text=_describe_split(finished, experiment, dataset, data_dir),
    )


def _describe_split(
    finished: FinishedRun, experiment: Experiment, dataset: Dataset, data_dir: Path | str | None
) -> str | None:
    """Describes the validation split of a run; its writers are counted where this machine has their file."""
    holdout, counts = experiment.recipe.holdout, None
    if holdout is None:
        return None
    dataset = with_local_writers(dataset, data_dir)
    writers = dataset.train.writers
    if writers is not None:
        held = dataset.choose_held_out(holdout.images, finished.seed, holdout.by)
        rest = torch.ones(len(dataset.train), dtype=torch.bool)
        rest[held] = False
        counts = count_writers(writers.take(rest), writers.take(held))
    return describe_split(holdout, experiment.recipe.dataset, finished.summary.total, counts)
