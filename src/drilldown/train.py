"""Training: from an experiment and a dataset to a record an epoch. Nothing here prints or writes."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from drilldown import augment, data, schedule
from drilldown.data import Dataset
from drilldown.engines import Engine, Plan, Progress
from drilldown.engines.native import NativeEngine, Unavailable, why_not
from drilldown.engines.torch import TorchEngine
from drilldown.errors import DrilldownError, Problem, TrainingDiverged
from drilldown.experiment import Experiment
from drilldown.layers import BatchNorm
from drilldown.network import place
from drilldown.randomness import stream
from drilldown.records import Epoch, Evaluation

ENGINES = ("auto", "native", "torch")
DEVICES = ("auto", "cpu", "cuda")
MOST_THREADS = 64
CORES = torch.get_num_threads()
"""Asked once: training with PyTorch sets the number of its threads."""

Notice = Callable[[str], None]
"""Told, in a sentence, what takes its time or was decided before training begins."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that a training needs to go on after an epoch."""

    tensors: dict[str, torch.Tensor]
    epochs: tuple[Epoch, ...]
    engine: str
    threads: int
    """The engine's result depends on it, unless it is the native one."""
    device: str


class Training:
    """One training of one experiment with one seed; iterating over it yields each epoch's record.

    *Arguments*: `threads`: on the CPU; all its cores where not said. `checkpoint`: where to go on from. `progress`:
    called some fifty times an epoch. `notice`: told what takes its time, or which engine it is and why.

    *Raises* DrilldownError where experiment and data do not fit each other; TrainingDiverged, while iterating, where
    the loss stops being a finite number.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
    >>> [epoch.train.total for epoch in Training(experiment)]
    [6000]
    """

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset | None = None,
        *,
        seed: int = 0,
        engine: str = "auto",
        device: str = "auto",
        threads: int | None = None,
        checkpoint: Checkpoint | None = None,
        progress: Progress | None = None,
        notice: Notice = lambda _: None,
    ) -> None:
        recipe = experiment.recipe
        dataset = data.load(recipe.dataset) if dataset is None else dataset
        self.held_out = recipe.holdout is not None
        self.test = dataset.test
        if recipe.holdout is not None:
            dataset, self.judged = dataset.hold_out(recipe.holdout, seed)
        else:
            self.judged = dataset.test
        _check_fit(experiment, dataset)
        self.experiment, self.dataset, self.seed, self.progress = experiment, dataset, seed, progress
        if checkpoint:  # another engine or device, or PyTorch with other threads, would go on with other last bits
            engine = checkpoint.engine if engine == "auto" else engine
            device = checkpoint.device if device == "auto" else device
            threads = threads or checkpoint.threads
        self.threads = _threads(threads)
        self.engine = _engine(experiment, dataset, seed, engine, _device(device), self.threads, notice)
        self.epochs: tuple[Epoch, ...] = ()
        if checkpoint:
            self.engine.restore(checkpoint.tensors)
            self.epochs = checkpoint.epochs
        steps = math.ceil(len(dataset.train) / recipe.batch_size)
        self.rates = schedule.rates(recipe.schedule, recipe.optimizer.lr, steps, recipe.epochs)

    def __iter__(self) -> Iterator[Epoch]:
        """Trains the epochs that are still to come."""
        for number in range(len(self.epochs) + 1, self.experiment.recipe.epochs + 1):
            with _explained(self.experiment):
                begun = time.perf_counter()
                trained = self.engine.train_epoch(self.plan(number), self.progress)
                between = time.perf_counter()
                measured = self.engine.evaluate(self.judged).tally
                raw = self.engine.evaluate(self.judged, raw=True).tally if self.experiment.recipe.ema else None
                ended = time.perf_counter()
            if not math.isfinite(measured.loss):
                raise TrainingDiverged(
                    f"the weights give a loss of {measured.loss} after epoch {number}; "
                    f"a smaller recipe.optimizer.lr or a warm-up may help"
                )
            record = Epoch(
                epoch=number,
                lr=self._rates_of(number)[-1],
                train=trained,
                test=measured,
                held_out=self.held_out,
                raw_test_correct=raw.correct if raw else None,
                train_seconds=round(between - begun, 3),
                test_seconds=round(ended - between, 3),
            )
            self.epochs += (record,)
            yield record

    def __repr__(self) -> str:
        done = f"{len(self.epochs)} of {self.experiment.recipe.epochs} epochs"
        return f"<Training of {self.experiment.name}, seed {self.seed}: {done}>"

    def _repr_html_(self) -> str:
        from drilldown import notebook

        return notebook.training(self)

    def checkpoint(self) -> Checkpoint:
        """What is needed to go on from here."""
        return Checkpoint(self.engine.state(), self.epochs, self.engine.name, self.threads, self.engine.device.type)

    def final(self) -> tuple[Evaluation, Evaluation]:
        """The model's answers to the test images, and to the training images seen plainly."""
        with _explained(self.experiment):
            return self.engine.evaluate(self.test), self.engine.evaluate(self.dataset.train)

    def plan(self, number: int) -> Plan:
        """What an epoch (from 1) will do, all random draws made."""
        count = len(self.dataset.train)
        _, height, width = self.dataset.image_shape
        return Plan(
            epoch=number,
            order=torch.randperm(count, generator=stream(self.seed, "order", number)),
            draws=augment.draw(
                self.experiment.recipe.augment, count, stream(self.seed, "augment", number), height, width
            ),
            rates=self._rates_of(number),
        )

    def _rates_of(self, number: int) -> list[float]:
        steps = len(self.rates) // self.experiment.recipe.epochs
        return self.rates[(number - 1) * steps : number * steps]


def _engine(
    experiment: Experiment, dataset: Dataset, seed: int, name: str, device: torch.device, threads: int, notice: Notice
) -> Engine:
    """The engine asked for; `auto` takes the native one wherever it can, and says why where it cannot."""
    if name not in ENGINES:
        raise DrilldownError(Problem(found=f'unknown engine "{name}"', expected=f"one of {', '.join(ENGINES)}"))
    if name == "native" or (name == "auto" and device.type == "cpu"):
        reason = why_not(experiment, device)
        if reason is None:
            try:
                return NativeEngine(experiment, dataset, seed=seed, threads=threads, notice=notice)
            except Unavailable as unavailable:
                reason = str(unavailable)
        if name == "native":
            raise DrilldownError(
                Problem(
                    found=f"the native engine cannot train this: {reason}",
                    suggestion="use --engine torch, or auto, which takes it where native cannot",
                )
            )
        notice(f"training with PyTorch; the native engine cannot: {reason}")
    if device.type == "cpu":
        torch.set_num_threads(threads)
    return TorchEngine(experiment.build(seed), experiment.recipe, dataset, seed=seed, device=device)


def _threads(asked: int | None) -> int:
    if asked is not None and not 1 <= asked <= MOST_THREADS:
        raise DrilldownError(
            Problem(place="--threads", found=f"{asked} threads", expected=f"a number from 1 to {MOST_THREADS}")
        )
    return asked or min(CORES, MOST_THREADS)


def _device(name: str) -> torch.device:
    if name not in DEVICES:
        raise DrilldownError(Problem(found=f'unknown device "{name}"', expected=f"one of {', '.join(DEVICES)}"))
    if name == "cuda" and not torch.cuda.is_available():
        raise DrilldownError("no CUDA device is to be seen by PyTorch; use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _check_fit(experiment: Experiment, dataset: Dataset) -> None:
    """Refuses what could only fail in the middle of an epoch."""
    recipe, count = experiment.recipe, len(dataset.train)
    if recipe.batch_size > count:
        raise DrilldownError(
            Problem(
                place="recipe.batch_size",
                found=f"batches of {recipe.batch_size:,}",
                expected=f"at most {count:,}, the number of training images",
            )
        )
    smallest = count % recipe.batch_size or recipe.batch_size
    if experiment.network.layers is None or smallest > 1:
        return
    for item in place(experiment.network.layers, dataset.image_shape, dataset.classes):
        if isinstance(item.layer, BatchNorm) and math.prod(item.input[1:]) == 1:
            raise DrilldownError(
                Problem(
                    place="recipe.batch_size",
                    found=f"a batch of 1 image, of which {item.name} sees one value per channel",
                    expected=f"a size that does not leave a single image over ({count:,} images)",
                )
            )


@contextlib.contextmanager
def _explained(experiment: Experiment) -> Iterator[None]:
    """Turns what PyTorch raises for reasons of the user's into one message."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DrilldownError(f"the GPU's memory does not suffice; try a smaller recipe.batch_size ({error})") from error
    except (RuntimeError, ValueError, TypeError) as error:
        if "DefaultCPUAllocator" in str(error):
            raise DrilldownError(
                "the memory does not suffice for this network; try a smaller recipe.batch_size or fewer channels"
            ) from error
        if experiment.network.python:
            raise DrilldownError(
                Problem(
                    file=experiment.folder / experiment.network.python.partition(":")[0],
                    place="network.python",
                    found=f"fails while training: {type(error).__name__}: {error}",
                )
            ) from error
        raise
