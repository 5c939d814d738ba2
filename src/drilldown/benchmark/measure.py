"""This machine's epoch against the plain pipelines, as ratios within one run."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from drilldown.benchmark import plain
from drilldown.data.dataset import Dataset
from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.settings import Compute, EngineName
from drilldown.training.training import Training

FLOOR = 0.90
"""The share of test images that every pipeline must get right at the end: fast and wrong does not count."""
ROUNDS = 5
"""Timed epochs of each pipeline, after one that is not."""
OnEpoch = Callable[[int, str, float], None]
"""Called after each epoch with round (0: not timed), pipeline and seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One pipeline's epochs against drilldown's."""

    name: str
    seconds: tuple[float, ...]
    """Of each timed epoch."""
    ratios: tuple[float, ...]
    """Of each, to drilldown's epoch of the same round."""
    accuracy: float
    """Share of the test images that it gets right in the end."""

    def to_json(self) -> dict[str, Any]:
        """Medians and ranges."""
        return {
            "seconds": statistics.median(self.seconds),
            "ratio": statistics.median(self.ratios),
            "ratio_range": [min(self.ratios), max(self.ratios)],
            "accuracy": self.accuracy,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What was measured, and on what."""

    engine: str
    """The engine that `drilldown` is in these timings: the one that a run would take."""
    threads: int
    timings: tuple[Timing, ...]
    """drilldown first."""

    def __getitem__(self, name: str) -> Timing:
        """The timing of a pipeline."""
        return next(timing for timing in self.timings if timing.name == name)


class Pipeline(Protocol):
    """Something that trains a network of its own."""

    def train_epoch(self) -> object:
        """One pass over the training images."""
        ...

    def accuracy(self, dataset: Dataset) -> float:
        """Percent of all test images."""
        ...


class _Drilldown:
    """One of drilldown's own engines as a pipeline."""

    def __init__(self, experiment: Experiment, dataset: Dataset, engine: EngineName) -> None:
        self.training = Training(experiment, dataset, compute=Compute(engine=engine))
        self.epochs = itertools.cycle(range(1, experiment.recipe.epochs + 1))

    def train_epoch(self) -> object:
        return self.training.engine.train_epoch(self.training.plan(next(self.epochs)))

    def accuracy(self, dataset: Dataset) -> float:
        return float(self.training.engine.evaluate(dataset.test).tally.accuracy)


def measure_speed(
    experiment: Experiment, dataset: Dataset, *, rounds: int = ROUNDS, on_epoch: OnEpoch | None = None
) -> Benchmark:
    """Trains drilldown and the plain pipelines in turn, an epoch each, and compares round by round.

    The clock covers a whole training epoch, its augmentation included, and no evaluation. Alternating makes the
    ratios hold where the machine's speed drifts. Where the engine is the native one, that of PyTorch runs along.

    *Raises* DrilldownError where a pipeline has not learnt: its speed would mean nothing.
    """
    own = _Drilldown(experiment, dataset, "auto")
    engine, threads = own.training.engine.name, own.training.threads
    pipelines: dict[str, Pipeline] = {"drilldown": own}
    if engine != "torch":
        pipelines["torch"] = _Drilldown(experiment, dataset, "torch")
    pipelines |= {"loader": plain.loader(experiment, dataset), "memory": plain.memory(experiment, dataset)}
    seconds: dict[str, list[float]] = {name: [] for name in pipelines}
    for number in range(rounds + 1):
        for name, pipeline in pipelines.items():
            started = time.perf_counter()
            pipeline.train_epoch()
            elapsed = time.perf_counter() - started
            if number:
                seconds[name].append(elapsed)
            if on_epoch:
                on_epoch(number, name, elapsed)
    accuracies = {name: pipeline.accuracy(dataset) / 100 for name, pipeline in pipelines.items()}
    for name, accuracy in accuracies.items():
        if accuracy < FLOOR:
            raise DrilldownError(f"{name} reached only {accuracy:.1%} of the test images: its speed would mean nothing")
    timings = [
        Timing(
            name=name,
            seconds=tuple(taken),
            ratios=tuple(s / own for s, own in zip(taken, seconds["drilldown"], strict=True)),
            accuracy=accuracies[name],
        )
        for name, taken in seconds.items()
    ]
    return Benchmark(engine=engine, threads=threads, timings=tuple(timings))


def benchmark_document(experiment: Experiment, benchmark: Benchmark) -> dict[str, Any]:
    """What `drilldown bench --json` prints; `ratio` is that to the pipeline with a loader."""
    own, loader = benchmark["drilldown"], benchmark["loader"]
    return {
        "experiment": experiment.name,
        "engine": benchmark.engine,
        "threads": benchmark.threads,
        "torch": torch.__version__,
        "rounds": len(own.seconds),
        "seconds": statistics.median(own.seconds),
        "plain_seconds": statistics.median(loader.seconds),
        "ratio": statistics.median(loader.ratios),
        "pipelines": {timing.name: timing.to_json() for timing in benchmark.timings},
    }
