"""The run folder: the only truth about a run.

Every file says, or is named by a file that says, which run it belongs to, and is compared with a checksum when it is
read. `writer.py` writes the files.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from drilldown.data.conventions import Conventions
from drilldown.data.dataset import Dataset, Split
from drilldown.data.loading import is_on_disk, with_local_writers
from drilldown.errors import DrilldownError, Problem
from drilldown.evaluation.activation_maps import HEAD, activation_maps, has_activation_maps
from drilldown.evaluation.chips import ChipFigures
from drilldown.evaluation.predictions import Predictions, as_batch, predict_logits
from drilldown.evaluation.records import EpochRecord
from drilldown.evaluation.verdict import Verdict, judge
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import read_experiment
from drilldown.files import damaged_file, file_digest
from drilldown.runs.chips import figures_of_run
from drilldown.runs.folder import (
    ADDED_LATER,
    DIVERGED,
    EXPERIMENT,
    FINISHED,
    INTERRUPTED,
    PARENT,
    PREDICTIONS,
    RECORDS,
    STATE,
    SUMMARY,
    WEIGHTS,
    RunFolder,
    read_bytes,
)
from drilldown.runs.places import run_place, run_places
from drilldown.runs.summary import RunSummary
from drilldown.runs.tensor_files import Owner, check_tensors, read_tensors, state_like
from drilldown.settings import DeviceName, EngineName
from drilldown.shown import Shown
from drilldown.training.training import Checkpoint


@dataclass(frozen=True, slots=True)
class Run(Shown, RunFolder):
    """One training of one experiment with one seed, on disk.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = drilldown.perform(experiment, folders=drilldown.Folders(runs=folder))
    ...     predictions = run.predictions()
    ...     evaluated = run.evaluate(run.dataset().test)
    >>> predictions.tally.total, len(evaluated.misclassified) == 1000 - evaluated.tally.correct
    (1000, True)
    """

    _completed: ClassVar[tuple[str, ...]] = (
        "activation_maps", "conventions", "dataset", "divergence", "epochs", "evaluate", "experiment", "has_model",
        "logits", "model", "modified", "name", "normalisation", "path", "predict", "predictions", "read",
        "read_picture", "seed", "status", "summary", "verdict",
    )  # fmt: skip
    known_experiment: Experiment | None = field(default=None, repr=False, compare=False)
    """The experiment, where it is in memory already: then its file is not parsed again."""
    source: Experiment | None = field(default=None, repr=False, compare=False)
    """The experiment as its author has it now: its words and its budget hold, not those at the time of the training."""

    @classmethod
    def of(cls, experiment: Experiment, seed: int, runs_dir: Path | str) -> Run:
        """The run at its place, `RUNS/study/step-fingerprint/seed-n`, whether it exists or not.

        Where only a folder of version 0.1 has this run, it is that folder.

        *Raises* DrilldownError where the experiment's name cannot be the name of a folder.
        """
        return cls(run_place(experiment, seed, runs_dir), source=experiment)

    @classmethod
    def all_of(cls, experiment: Experiment, runs_dir: Path | str) -> list[Run]:
        """The runs of an experiment that exist, one for each seed, in the order of their seeds."""
        return [cls(place, source=experiment) for place in run_places(experiment, runs_dir)]

    @property
    def experiment(self) -> Experiment:
        """The experiment that was trained, with its parent where it had one.

        Words and budget are those of its author's file as it is now, where the run was found through that file.
        """
        trained = self.trained_experiment
        return trained if self.source is None else trained.reworded(self.source)

    @property
    def trained_experiment(self) -> Experiment:
        """The experiment as it was when the run began, with its parent where it had one."""
        if self.known_experiment is not None:
            return self.known_experiment
        self.verified(EXPERIMENT)
        experiment = read_experiment(self.path / EXPERIMENT, name=self.name)
        if experiment.network.python is not None:  # also the files that are missing now
            for name in {*experiment.code_files, *(name for name in self.checksums() if name.endswith(".py"))}:
                self.verified(name)
        if not self.has(PARENT):
            return experiment
        self.verified(PARENT)
        return experiment.located(parent=read_experiment(self.path / PARENT))

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on this run; None before it is finished."""
        return self.read().verdict if self.has(SUMMARY) else None

    @property
    def report_digest(self) -> str:
        """The SHA-256 of all that the report of the finished run is made from; the report carries it."""
        made_from = f"{self.summary_digest}\n{(self.source or self.trained_experiment).to_toml()}"
        for document in ADDED_LATER:
            if self.has(document):
                made_from += f"\n{file_digest(read_bytes(self.path / document))}"
        return file_digest(made_from.encode())

    def read(self) -> FinishedRun:
        """Reads the records of a finished run, once; raises DrilldownError where it is not finished."""
        summary, epochs = self._summary(), self.epochs
        if len(epochs) != summary.epochs:
            raise damaged_file(self.path / RECORDS, f"it has {len(epochs)} epochs, and {SUMMARY} says {summary.epochs}")
        last = tuple(epoch.test.correct for epoch in epochs[-len(summary.last_correct) :])
        if (summary.last_correct and summary.last_correct != last) or summary.clean_train_accuracy > 100:
            raise damaged_file(self.path / SUMMARY, f"its figures contradict {RECORDS}")
        if self.source is None:
            verdict, hold, chip = summary.verdict, len(summary.accuracy.last), summary.chip
        else:
            budget = self.source.budget
            chip = figures_of_run(self, summary.chip, budget.chip)
            verdict = judge(budget, summary.parameters, epochs, dead=summary.verdict.is_dead, chip=chip)
            hold = min(budget.hold, len(epochs))
        return FinishedRun(
            run=self, seed=summary.seed, epochs=epochs, summary=summary, verdict=verdict, hold=hold, chip=chip
        )

    def to_train(self, experiment: Experiment, seed: int) -> Experiment:
        """The experiment as this folder stores it.

        A folder of version 0.1 keeps its budget, because its name depends on it. The new budget judges the run anyway.

        *Raises* DrilldownError where the folder's name is that of another run.
        """
        named = self.named_fingerprint
        if named not in (None, experiment.fingerprint) and self.has(EXPERIMENT):
            stored = self.trained_experiment
            if stored.fingerprint == experiment.fingerprint and stored.earlier_fingerprint == named:
                self.check_owner(EXPERIMENT, named, seed)
                return stored
        self.check_owner(EXPERIMENT, experiment.fingerprint, seed)
        return experiment

    def check_finished(self) -> None:
        """Raises DrilldownError where the run has no model: it is unfinished, diverged, or its weights were deleted."""
        if self.status != FINISHED:
            raise self._not_finished()
        if not self.has_model:
            hint = f"retrain: drilldown run {self.name} --seed {self.seed} --again"
            raise DrilldownError(Problem(file=self.path, found="weights and predictions were deleted", suggestion=hint))

    def _not_finished(self) -> DrilldownError:
        status = self.status
        if status == DIVERGED:
            return DrilldownError(
                Problem(file=self.path, found=f"the run diverged and has no model: {self.divergence}")
            )
        suggestion = f"resume with: drilldown resume {self.path}" if status == INTERRUPTED else None
        return DrilldownError(
            Problem(file=self.path, found=f"the run is {status}; it has no model yet", suggestion=suggestion)
        )

    def model(self) -> nn.Module:
        """The trained model, in evaluation mode: normalised images (N, C, H, W) to logits (N, classes)."""
        self.check_finished()
        network = self.experiment.build(self.seed)
        tensors = self._tensors(WEIGHTS)
        check_tensors(self.path / WEIGHTS, tensors, network.state_dict())
        network.load_state_dict(tensors)
        return network.eval()

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel that normalise the model's images, of pixels scaled to 0…1."""
        self.check_finished()
        normalisation = self._summary().normalisation
        return normalisation.mean, normalisation.std

    def conventions(self, data_dir: Path | str | None = None) -> Conventions:
        """The conventions of the dataset, by which pictures are prepared.

        A run of an earlier version has not recorded them. They are recognised from its dataset if this machine has it;
        else they are MNIST's.

        *Arguments*: `data_dir`: the first place to look for the dataset.
        """
        known = self._summary().pictures
        if known is not None:
            return known
        recipe = self.experiment.recipe
        if is_on_disk(recipe.dataset, data_dir):
            with contextlib.suppress(DrilldownError):  # the files may have changed since
                return recipe.conventions_of(self.dataset(data_dir))
        return Conventions()

    def read_picture(self, file: Path | str, data_dir: Path | str | None = None) -> torch.Tensor:
        """Reads a picture file and prepares it as the images of the dataset were.

        *Returns* the image, (height, width) or, in colour, (3, height, width), uint8, for `predict`.

        *Raises* DrilldownError where the file is not a picture, or shows no object, or several.
        """
        return self.picture_reader(data_dir)[1](file)

    def picture_reader(
        self, data_dir: Path | str | None = None
    ) -> tuple[Conventions, Callable[[Path | str], torch.Tensor]]:
        """The conventions of the dataset, and a function that reads and prepares a picture file by them."""
        from drilldown.data.pictures import read_picture  # imports SciPy, which takes a moment

        experiment, conventions = self.experiment, self.conventions(data_dir)
        channels, height, width = experiment.image[0]
        fit = None if (image := experiment.recipe.image) is None else image.fit
        return conventions, lambda file: read_picture(file, height, width, conventions, channels=channels, fit=fit)

    def logits(self) -> torch.Tensor:
        """The model's logits for the test images, (N, classes), as they were judged."""
        self.check_finished()
        file, tensors = self.path / PREDICTIONS, self._tensors(PREDICTIONS)
        total, (_, classes) = self._summary().test.total, self.experiment.image
        check_tensors(file, tensors, {"scores": torch.zeros(total, classes)})
        return tensors["scores"]

    def dataset(self, data_dir: Path | str | None = None) -> Dataset:
        """The dataset that it was trained on, with its writers where this machine has them.

        *Arguments*: `data_dir`: the first place to look.
        """
        recipe = self.experiment.recipe
        return with_local_writers(recipe.load_without_writers(data_dir), data_dir)

    def predictions(self, data_dir: Path | str | None = None) -> Predictions:
        """The model's predictions for the test images, as they were judged."""
        return self.predictions_for(self.dataset(data_dir))

    def predictions_for(self, dataset: Dataset) -> Predictions:
        """The model's predictions for the test images, as they were judged.

        *Arguments*: `dataset`: the dataset that the run was trained on.

        *Raises* DrilldownError where the number of correct predictions is not the one that was judged.
        """
        predictions = Predictions(dataset.test, self.logits(), dataset.class_names)
        judged = self._summary().test
        found = predictions.tally if len(dataset.test) == judged.total else None
        if found is None or found.correct != judged.correct:
            raise DrilldownError(
                Problem(
                    file=self.path / PREDICTIONS,
                    found=f"the predictions do not belong to the test images of {dataset.name}",
                    expected=f"{judged.correct:,} of {judged.total:,} correct, as {SUMMARY} says",
                    suggestion="has the dataset changed since the training?",
                )
            )
        return predictions

    def evaluate(self, split: Split) -> Predictions:
        """The model's predictions for labelled images, such as `run.dataset().train`; counted over all of them."""
        return Predictions(split, self.predict(split.images))

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        """The model's logits for images.

        *Arguments*: `images`: (N, channels, height, width), 0…255, as datasets and `drilldown.read_picture` give them;
        or one of them, (channels, height, width). Grey images need no dimension for their channel.

        *Returns* (N, classes), float32.
        """
        return predict_logits(self.model(), as_batch(images, self.experiment.image[0]), *self.normalisation)

    def activation_maps(self, images: torch.Tensor) -> torch.Tensor:
        """The class activation maps of images: how much each position adds to the logit of each class.

        The mean of a map is the logit of its class.

        *Arguments*: `images`: as of `predict`.

        *Returns* (N, classes, rows, columns), float32: one number for each position of the image before `gap`.

        *Raises* DrilldownError where the network has no `gap` that is followed by linear layers alone.
        """
        layout = self.experiment.layout
        if not has_activation_maps(layout):
            raise DrilldownError(Problem(place="network", found="it has no class activation maps", expected=HEAD))
        batch = as_batch(images, self.experiment.image[0])
        return activation_maps(self.model(), layout, batch, *self.normalisation)

    def checkpoint(self, experiment: Experiment, seed: int) -> Checkpoint | None:
        """Where training can continue; None where nothing is saved yet.

        *Raises* DrilldownError where the state is damaged, or belongs to another experiment or seed.
        """
        if not self.has(STATE):
            return None
        file, epochs = self.path / STATE, self.epochs
        fingerprint = self.named_fingerprint or experiment.fingerprint
        owner = Owner(fingerprint=fingerprint, seed=seed, epoch=len(epochs), versions={})
        tensors, metadata = read_tensors(file, read_bytes(file), owner)
        check_tensors(file, tensors, state_like(experiment, seed, tensors))
        engine: EngineName = "native" if metadata["engine"] == "native" else "torch"
        device: DeviceName = "cuda" if metadata["device"] == "cuda" else "cpu"
        return Checkpoint(tensors, epochs, engine, metadata["threads"], device, metadata["versions"])

    def _summary(self) -> RunSummary:
        summary = self.summary
        if summary is None:
            raise self._not_finished()
        return summary

    def _tensors(self, name: str) -> dict[str, torch.Tensor]:
        """Reads a tensor file of the finished run."""
        summary = self._summary()
        owner = Owner(fingerprint=summary.fingerprint, seed=summary.seed, epoch=summary.epochs, versions={})
        return read_tensors(self.path / name, self.verified(name), owner if summary.files else None)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """The records of a finished run, read once: what tables, figures and reports are made from."""

    run: Run
    seed: int
    epochs: tuple[EpochRecord, ...]
    summary: RunSummary
    verdict: Verdict
    """The verdict by the budget that holds."""
    hold: int
    """The number of last epochs that the budget judges."""
    chip: ChipFigures | None
    """The int8 code on the chip of the budget; None where it names no chip."""

    @property
    def passed(self) -> bool:
        """Whether it met its budget."""
        return self.verdict.passed

    @property
    def split(self) -> str:
        """The images that its epochs were measured on: `test` or `validation`."""
        return self.verdict.split

    @property
    def last(self) -> tuple[float, ...]:
        """Percent, of each of the epochs that the budget judges."""
        return tuple(float(epoch.test.accuracy) for epoch in self.epochs[-self.hold :])

    def accuracy(self, hold: int) -> float:
        """Percent, mean of the last `hold` epochs."""
        last = [epoch.test for epoch in self.epochs[-hold:]]
        return 100 * sum(tally.correct for tally in last) / sum(tally.total for tally in last)

    def worst(self, hold: int) -> float:
        """Percent, of the worst of the last `hold` epochs."""
        return float(min(epoch.test.accuracy for epoch in self.epochs[-hold:]))

    def loss(self, hold: int) -> float:
        """Cross-entropy in nats, mean of the last `hold` epochs."""
        return statistics.fmean(epoch.test.loss for epoch in self.epochs[-hold:])

    @property
    def best(self) -> float:
        """Percent, of the best epoch."""
        return float(max(epoch.test.accuracy for epoch in self.epochs))

    @property
    def final(self) -> float:
        """Percent, of the last epoch."""
        return float(self.epochs[-1].test.accuracy)

    @property
    def clean_train(self) -> float:
        """Percent of the training images, without augmentation, in evaluation mode."""
        return self.summary.clean_train_accuracy

    @property
    def epoch_seconds(self) -> float:
        """Seconds of training and evaluation, median over the epochs."""
        return statistics.median(epoch.train_seconds + epoch.test_seconds for epoch in self.epochs)
