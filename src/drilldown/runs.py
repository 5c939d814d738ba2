"""The run folder: the only truth about a run.

Every file is written whole or not at all. `state.safetensors`, written after each epoch, is the commit point: it
holds the weights, the optimizer's buffers and the records of all epochs so far, and everything else is rebuilt
from it. Status is never stored but derived, so that a killed run cannot claim to be running.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import safetensors
import safetensors.torch
import torch
from torch import nn

from drilldown import answers, data, loading
from drilldown.answers import Answers
from drilldown.data import Dataset, Split
from drilldown.errors import DrilldownError, Problem, TrainingDiverged
from drilldown.experiment import Experiment
from drilldown.files import as_json, damaged, read_json, unwritable, unwritable_as_error, write_whole
from drilldown.records import Epoch, Evaluation, Tally, log_lines
from drilldown.summary import read_summary, summarise
from drilldown.train import Checkpoint, Training
from drilldown.verdict import Verdict

RUNS = Path("runs")
"""The folder of all runs, where no other is named."""
FINISHED, RUNNING, INTERRUPTED, DIVERGED = "finished", "running", "interrupted", "diverged"
DAMAGED = "damaged"
"""What a list of runs says of one whose files cannot be read; no status of its own."""
LOCK_PATIENCE_SECONDS = 1.0
"""Longer than another process takes to look whether a lock is held."""


class Busy(DrilldownError):  # noqa: N818
    """Another process is training this run."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training of one experiment with one seed, on disk.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = drilldown.perform(experiment, runs=folder)
    ...     answers = run.answers()
    ...     anew = run.evaluate(run.dataset().test)
    >>> answers.tally.total, len(anew.mistakes) == 1000 - anew.tally.correct
    (1000, True)
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))  # in a notebook one writes a string

    def __str__(self) -> str:
        from drilldown import display

        if self.verdict is None:
            return f"{self.name}, seed {self.seed}: {self.status}, {len(self.epochs)} epochs done\n{self.path}"
        return display.text(display.print_result, self)

    def _repr_html_(self) -> str:
        from drilldown import notebook

        return notebook.run(self)

    @classmethod
    def of(cls, experiment: Experiment, seed: int, root: Path | str) -> Run:
        """Where a run belongs: `ROOT/study/step-fingerprint/seed-n`, whether it exists or not."""
        study, step = experiment.name.split("/", 1)
        return cls(Path(root) / study / f"{step}-{experiment.fingerprint}" / f"seed-{seed}")

    # What a run says of itself.

    @property
    def name(self) -> str:
        """`study/step`."""
        step = self.path.resolve().parent  # `.` has no name
        return f"{step.parent.name}/{step.name.rpartition('-')[0]}"

    @property
    def seed(self) -> int:
        """From the state, or from the folder's name before there is one."""
        known = self.summary or self._metadata()
        if "seed" in known:
            return int(known["seed"])
        digits = self.path.resolve().name.removeprefix("seed-")
        return int(digits) if digits.isdigit() else 0

    @property
    def experiment(self) -> Experiment:
        """The experiment as it was when the run began, with its parent where it had one."""
        experiment = loading.read(self.path / "experiment.toml", name=self.name)
        if (self.path / "parent.toml").is_file():
            experiment._parent = loading.read(self.path / "parent.toml")
        return experiment

    @property
    def status(self) -> str:
        """finished, running, diverged or interrupted."""
        if (self.path / "summary.json").is_file():
            return FINISHED
        if self._is_locked():
            return RUNNING
        return DIVERGED if (self.path / "diverged.json").is_file() else INTERRUPTED

    @property
    def summary(self) -> dict[str, Any]:
        """What `summary.json` says; empty before the run is finished."""
        file = self.path / "summary.json"
        if not file.is_file():
            return {}
        return read_summary(file)

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """The records of the epochs that are done.

        From the state, where there is one; a finished run is complete without.
        """
        if (self.path / "state.safetensors").is_file():
            return tuple(Epoch.from_json(record) for record in json.loads(self._metadata()["epochs"]))
        file = self.path / "epochs.jsonl"
        if self.status != FINISHED or not file.is_file():
            return ()
        try:
            return tuple(Epoch.from_json(json.loads(line)) for line in file.read_text("utf-8").splitlines())
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(file, error) from None

    @property
    def has_model(self) -> bool:
        """Whether a finished run still has its weights and answers: they may be deleted, its records tell the rest."""
        return all((self.path / name).is_file() for name in ("weights.safetensors", "predictions.safetensors"))

    @property
    def verdict(self) -> Verdict | None:
        """The budget against this run; None before it is finished."""
        return Verdict.from_json(self.summary["verdict"]) if self.summary else None

    @property
    def divergence(self) -> str:
        """Why the run diverged."""
        return str(read_json(self.path / "diverged.json").get("reason", "the loss stopped being finite"))

    def check_finished(self) -> None:
        """Raises DrilldownError where there is no model: not yet, never, or no longer."""
        status = self.status
        if status == DIVERGED:
            raise DrilldownError(Problem(file=self.path, found=f"the run diverged and has no model: {self.divergence}"))
        if status != FINISHED:
            found = f"the run is {status}; its model is there once it is finished"
            suggestion = f"go on with: drilldown resume {self.path}" if status == INTERRUPTED else None
            raise DrilldownError(Problem(file=self.path, found=found, suggestion=suggestion))
        if not self.has_model:
            raise DrilldownError(
                Problem(
                    file=self.path,
                    found="the run's records are here, its weights and answers are not",
                    suggestion=f"train it anew: drilldown run {self.name} --seed {self.seed} --again",
                )
            )

    def model(self) -> nn.Module:
        """The trained model, in evaluation mode: normalised images (N, C, H, W) to class scores (N, classes)."""
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
        said = self.summary["normalisation"]
        return said["mean"], said["std"]

    def scores(self) -> torch.Tensor:
        """The model's class scores for the test images, (N, classes), as they were judged."""
        self.check_finished()
        return self._tensors(self.path / "predictions.safetensors")["scores"]

    def dataset(self, data_folder: Path | str | None = None) -> Dataset:
        """The dataset that it was trained on; `data_folder` as of `data.load`."""
        return data.load(self.experiment.recipe.dataset, data_folder)

    def answers(self, data_folder: Path | str | None = None) -> Answers:
        """The model's answers to the test images, as they were judged."""
        return Answers(self.dataset(data_folder).test, self.scores())

    def evaluate(self, split: Split) -> Answers:
        """The model's answers to any images with labels, such as `run.dataset().train`; counted over all of them."""
        return Answers(split, self.predict(split.images))

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        """The model's class scores, before softmax.

        *Arguments*: `images`: (N, height, width) or one of (height, width), 0 background to 255 ink, as datasets and
        `drilldown.read_picture` have them.

        *Returns* (N, classes), float32.
        """
        height, width = self.experiment.image[0][1:]
        if images.shape[-2:] != (height, width) or images.dim() not in (2, 3):
            raise DrilldownError(
                Problem(found=f"images of shape {tuple(images.shape)}", expected=f"(N, {height}, {width})")
            )
        return answers.scores(self.model(), images.view(-1, height, width), *self.normalisation)

    def checkpoint(self) -> Checkpoint | None:
        """Where to go on from; None where nothing was saved yet."""
        if not (self.path / "state.safetensors").is_file():
            return None
        tensors, said = self._tensors(self.path / "state.safetensors"), self._metadata()
        return Checkpoint(tensors, self.epochs, said["engine"], int(said["threads"]), said.get("device", "auto"))

    # What is written.

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Makes the folder and keeps other processes out of it; raises Busy where one is in it."""
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.path / ".lock", timeout=LOCK_PATIENCE_SECONDS)
            lock.acquire()
        except filelock.Timeout:
            raise Busy(
                Problem(
                    file=self.path,
                    found="another process is training this run",
                    suggestion="wait for it, or train another seed with --seed",
                )
            ) from None
        except OSError as error:
            raise unwritable(self.path, error) from None
        try:
            yield
        finally:
            lock.release()
            with contextlib.suppress(OSError):  # a run that never began leaves nothing behind
                if {entry.name for entry in self.path.iterdir()} <= {".lock"}:
                    (self.path / ".lock").unlink(missing_ok=True)
                    for folder in made:
                        folder.rmdir()

    def clear(self) -> None:
        """Forgets what was trained, so that the run starts over."""
        with unwritable_as_error(self.path):
            for name in ("summary.json", "diverged.json", "state.safetensors"):
                (self.path / name).unlink(missing_ok=True)

    def begin(self, experiment: Experiment) -> None:
        """Writes down what is about to be trained."""
        self._write("experiment.toml", experiment.to_toml().encode())
        if experiment.parent is not None:
            self._write("parent.toml", experiment.parent.to_toml().encode())
        if experiment.network.python is not None:
            name = experiment.network.python.partition(":")[0]
            self._write(name, (experiment.folder / name).read_bytes())

    def commit(self, checkpoint: Checkpoint, seed: int) -> None:
        """Saves an epoch: the state first, then what is derived from it."""
        said = {
            "seed": str(seed),
            "engine": checkpoint.engine,
            "threads": str(checkpoint.threads),
            "device": checkpoint.device,
            "epochs": json.dumps([epoch.to_json() for epoch in checkpoint.epochs]),
        }
        self._write("state.safetensors", safetensors.torch.save(checkpoint.tensors, said))
        self._write_records(checkpoint.epochs)

    def finish(self, training: Training, test: Evaluation, clean_train: Tally) -> None:
        """Writes the model that was judged, its answers and the summary, which ends the run."""
        weights = {name: tensor.cpu().contiguous() for name, tensor in training.engine.model().state_dict().items()}
        self._write_records(training.epochs)  # a kill may have come between the last state and what follows from it
        self._write("weights.safetensors", safetensors.torch.save(weights, {"format": "pt"}))
        self._write("predictions.safetensors", safetensors.torch.save({"scores": test.scores.contiguous()}))
        self._write("summary.json", as_json(summarise(training, test.tally, clean_train)))

    def diverge(self, error: TrainingDiverged) -> None:
        """Writes down that and why the training failed."""
        self._write("diverged.json", as_json({"reason": str(error)}))

    def _write_records(self, epochs: tuple[Epoch, ...]) -> None:
        lines = [json.dumps(epoch.to_json()) + "\n" for epoch in epochs]
        self._write("epochs.jsonl", "".join(lines).encode())
        self._write("train.log", "".join(map(log_lines, epochs)).encode())

    def _write(self, name: str, content: bytes) -> None:
        with unwritable_as_error(self.path):
            write_whole(self.path / name, content)

    def _tensors(self, file: Path) -> dict[str, torch.Tensor]:
        try:
            tensors: dict[str, torch.Tensor] = safetensors.torch.load(file.read_bytes())
        except (OSError, safetensors.SafetensorError) as error:
            raise damaged(file, error) from None
        return tensors

    def _metadata(self) -> dict[str, str]:
        file = self.path / "state.safetensors"
        if not file.is_file():
            return {}
        try:
            with safetensors.safe_open(file, "pt") as state:
                return dict(state.metadata() or {})
        except (OSError, safetensors.SafetensorError) as error:
            raise damaged(file, error) from None

    def _is_locked(self) -> bool:
        file = self.path / ".lock"
        if not file.is_file():
            return False
        lock = filelock.FileLock(file, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            return True
        except OSError:  # a folder that cannot be written to is no place where a run is going on
            return False
        lock.release()
        return False


def all_runs(root: Path | str = RUNS) -> list[Run]:
    """The runs below a folder, the one that changed last first.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     all_runs(folder)
    []
    """
    found = [Run(file.parent) for file in Path(root).glob("*/*/seed-*/experiment.toml")]
    return sorted(found, key=lambda run: _changed(run.path), reverse=True)


def find(reference: str | Path, root: Path | str = RUNS) -> Run:
    """The run in a folder, or `last`: the one under `root` that changed last; raises DrilldownError for neither.

    >>> find("last", "nowhere")
    Traceback (most recent call last):
    drilldown.errors.DrilldownError: nowhere: there are no runs here; try drilldown run
    """
    if reference == "last":
        known = all_runs(root)
        if not known:
            raise DrilldownError(Problem(file=root, found="there are no runs here", suggestion="try drilldown run"))
        return known[0]
    path = Path(reference)
    if os.path.isfile(path / "experiment.toml"):
        return Run(path)
    # os.path: Path's own methods raise where a name is too long.
    inside = sorted(path.glob("seed-*/experiment.toml")) if os.path.isdir(path) else []
    if len(inside) == 1:
        return Run(inside[0].parent)
    seeds = ", ".join(file.parent.name for file in inside)
    raise DrilldownError(
        Problem(
            file=path,
            found=f"holds several runs: {seeds}" if inside else "no run here",
            expected='a run\'s folder, such as runs/STUDY/STEP-FINGERPRINT/seed-0, or "last"',
        )
    )


def _changed(folder: Path) -> float:
    """When a run was last written to, in seconds; reports and locks do not count."""
    names = ("summary.json", "diverged.json", "state.safetensors", "experiment.toml")
    return max((file.stat().st_mtime for name in names if (file := folder / name).is_file()), default=0.0)
