"""The run folder: the only truth about a run.

Every file is written whole or not at all. `state.safetensors`, written after each epoch, is the commit point: it
holds the weights, the optimizer's buffers and the records of all epochs so far, and everything else is rebuilt
from it.
"""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import filelock
import safetensors
import safetensors.torch
import torch
from torch import nn

from drilldown.data.dataset import Dataset, Split
from drilldown.data.loading import load_dataset
from drilldown.errors import DrilldownError, Problem, TrainingDivergedError
from drilldown.evaluation.predictions import Evaluation, Predictions, predict_logits
from drilldown.evaluation.records import EpochRecord, Tally, log_text
from drilldown.evaluation.verdict import Verdict
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import read_experiment
from drilldown.files import damaged_file, explain_write_errors, json_bytes, unwritable_run, write_atomically
from drilldown.runs.folder import DIVERGED, DIVERGENCE, FINISHED, INTERRUPTED, LOCK, STATE, SUMMARY, RunFolder
from drilldown.runs.summarise import summarise_run
from drilldown.runs.summary import RunSummary
from drilldown.settings import EngineName
from drilldown.shown import Shown
from drilldown.training.training import Checkpoint, Training

LOCK_PATIENCE_SECONDS = 1.0
"""Longer than another process takes to see whether a lock is held."""


class RunBusyError(DrilldownError):
    """Another process is training this run."""


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

    known_experiment: Experiment | None = field(default=None, repr=False, compare=False)
    """The experiment, where it is in memory already: then its file is not parsed again."""

    @classmethod
    def of(cls, experiment: Experiment, seed: int, runs_dir: Path | str) -> Run:
        """The run at its place, `RUNS/study/step-fingerprint/seed-n`, whether it exists or not."""
        study, step = experiment.name.split("/", 1)
        return cls(Path(runs_dir) / study / f"{step}-{experiment.fingerprint}" / f"seed-{seed}")

    @property
    def experiment(self) -> Experiment:
        """The experiment as it was when the run began, with its parent where it had one."""
        if self.known_experiment is not None:
            return self.known_experiment
        parent = self.path / "parent.toml"
        experiment = read_experiment(self.path / "experiment.toml", name=self.name)
        return experiment.located(parent=read_experiment(parent)) if parent.is_file() else experiment

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on this run; None before it is finished."""
        summary = self.summary
        return summary.verdict if summary else None

    def read(self) -> FinishedRun:
        """Reads the records of a finished run, once; raises DrilldownError where it is not finished."""
        summary = self.summary
        if summary is None:
            raise self._not_finished()
        return FinishedRun(run=self, seed=summary.seed, epochs=self.epochs, summary=summary)

    def check_finished(self) -> None:
        """Raises DrilldownError where the run has no model: it is unfinished, diverged, or its weights were deleted."""
        if self.status != FINISHED:
            raise self._not_finished()
        if not self.has_model:
            raise DrilldownError(
                Problem(
                    file=self.path,
                    found="weights and predictions were deleted",
                    suggestion=f"retrain: drilldown run {self.name} --seed {self.seed} --again",
                )
            )

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
        tensors = self._tensors(self.path / "weights.safetensors")
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            problem = Problem(file=self.path / "weights.safetensors", found=f"does not fit the network: {error}")
            raise DrilldownError(problem) from None
        return network.eval()

    @property
    def normalisation(self) -> tuple[float, float]:
        """Mean and standard deviation that the model's images are normalised by, of pixels scaled to 0…1."""
        self.check_finished()
        normalisation = self.read().summary.normalisation
        return normalisation.mean, normalisation.std

    def logits(self) -> torch.Tensor:
        """The model's logits for the test images, (N, classes), as they were judged."""
        self.check_finished()
        return self._tensors(self.path / "predictions.safetensors")["scores"]

    def dataset(self, data_dir: Path | str | None = None) -> Dataset:
        """The dataset that it was trained on; `data_dir`: the first place to look."""
        return load_dataset(self.experiment.recipe.dataset, data_dir)

    def predictions(self, data_dir: Path | str | None = None) -> Predictions:
        """The model's predictions for the test images, as they were judged."""
        return Predictions(self.dataset(data_dir).test, self.logits())

    def evaluate(self, split: Split) -> Predictions:
        """The model's predictions for labelled images, such as `run.dataset().train`; counted over all of them."""
        return Predictions(split, self.predict(split.images))

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        """The model's logits for images.

        *Arguments*: `images`: (N, height, width) or one of (height, width), 0 background to 255 ink, as datasets and
        `drilldown.read_picture` give them.

        *Returns* (N, classes), float32.
        """
        height, width = self.experiment.image[0][1:]
        if images.shape[-2:] != (height, width) or images.dim() not in (2, 3):
            raise DrilldownError(
                Problem(found=f"images of shape {tuple(images.shape)}", expected=f"(N, {height}, {width})")
            )
        return predict_logits(self.model(), images.view(-1, height, width), *self.normalisation)

    def checkpoint(self) -> Checkpoint | None:
        """Where training can continue; None where nothing is saved yet."""
        if not (self.path / STATE).is_file():
            return None
        tensors, metadata = self._tensors(self.path / STATE), self.state_metadata()
        engine: EngineName = "native" if metadata["engine"] == "native" else "torch"
        device = metadata.get("device")  # the first version did not write it
        return Checkpoint(
            tensors, self.epochs, engine, int(metadata["threads"]),
            "cuda" if device == "cuda" else "cpu" if device == "cpu" else "auto",
        )  # fmt: skip

    # Writing.

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Creates the folder and keeps other processes out of it; raises RunBusyError where one holds the lock."""
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.path / LOCK, timeout=LOCK_PATIENCE_SECONDS)
            lock.acquire()
        except filelock.Timeout:
            raise RunBusyError(
                Problem(
                    file=self.path,
                    found="another process is training this run",
                    suggestion="wait for it, or train another seed with --seed",
                )
            ) from None
        except OSError as error:
            raise unwritable_run(self.path, error) from None
        try:
            yield
        finally:
            lock.release()
            with contextlib.suppress(OSError):  # a run that never began leaves nothing behind
                if {entry.name for entry in self.path.iterdir()} <= {LOCK}:
                    (self.path / LOCK).unlink(missing_ok=True)
                    for folder in made:
                        folder.rmdir()

    def clear(self) -> None:
        """Removes what was trained, so that the run starts from the beginning."""
        with explain_write_errors(self.path):
            for name in (SUMMARY, DIVERGENCE, STATE):
                (self.path / name).unlink(missing_ok=True)

    def begin(self, experiment: Experiment) -> Run:
        """Writes the experiment into the folder, and returns the run with it in memory."""
        self._write("experiment.toml", experiment.to_toml().encode())
        if experiment.parent is not None:
            self._write("parent.toml", experiment.parent.to_toml().encode())
        if experiment.network.python is not None:
            name = experiment.network.python.partition(":")[0]
            self._write(name, (experiment.folder / name).read_bytes())
        # Here the folder, and with it a user's module, is the run's; layout and summary stay as they are.
        return Run(self.path, experiment.located(path=self.path / "experiment.toml", name=self.name))

    def commit(self, checkpoint: Checkpoint, seed: int) -> None:
        """Saves an epoch: the state first, then the files that follow from it."""
        metadata = {
            "seed": str(seed),
            "engine": checkpoint.engine,
            "threads": str(checkpoint.threads),
            "device": checkpoint.device,
            "epochs": json.dumps([epoch.to_json() for epoch in checkpoint.epochs]),
        }
        self._write(STATE, safetensors.torch.save(checkpoint.tensors, metadata))
        self._write_records(checkpoint.epochs)

    def finish(self, training: Training, test: Evaluation, clean_train: Tally) -> None:
        """Writes the judged model, its predictions and the summary; the run is finished then."""
        weights = {name: tensor.cpu().contiguous() for name, tensor in training.engine.model().state_dict().items()}
        self._write_records(training.epochs)  # a kill may have come between the last state and its records
        self._write("weights.safetensors", safetensors.torch.save(weights, {"format": "pt"}))
        self._write("predictions.safetensors", safetensors.torch.save({"scores": test.logits.contiguous()}))
        self._write(SUMMARY, json_bytes(summarise_run(training, test.tally, clean_train).to_json()))

    def diverge(self, error: TrainingDivergedError) -> None:
        """Writes that the training diverged, and why."""
        self._write(DIVERGENCE, json_bytes({"reason": str(error)}))

    def _write_records(self, epochs: tuple[EpochRecord, ...]) -> None:
        lines = [json.dumps(epoch.to_json()) + "\n" for epoch in epochs]
        self._write("epochs.jsonl", "".join(lines).encode())
        self._write("train.log", "".join(map(log_text, epochs)).encode())

    def _write(self, name: str, content: bytes) -> None:
        with explain_write_errors(self.path):
            write_atomically(self.path / name, content)

    def _tensors(self, file: Path) -> dict[str, torch.Tensor]:
        try:
            tensors: dict[str, torch.Tensor] = safetensors.torch.load(file.read_bytes())
        except (OSError, safetensors.SafetensorError) as error:
            raise damaged_file(file, error) from None
        return tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """The records of a finished run, read once: what tables, figures and reports are made from."""

    run: Run
    seed: int
    epochs: tuple[EpochRecord, ...]
    summary: RunSummary

    @property
    def verdict(self) -> Verdict:
        """The verdict on the run."""
        return self.summary.verdict

    @property
    def passed(self) -> bool:
        """Whether it met its budget."""
        return self.verdict.passed

    @property
    def split(self) -> str:
        """The images that its epochs were measured on: `test` or `validation`."""
        return self.verdict.split

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
