"""Times an epoch on this machine against plain pipelines, as ratios within one process."""

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
from drilldown.training.choice import choose_threads
from drilldown.training.training import Training

FLOOR = 0.90
"""The share of test images that every pipeline must get right at the end: fast and wrong does not count."""
ROUNDS = 5
"""Timed epochs of each pipeline, after one warm-up epoch."""
OnEpoch = Callable[[int, str, float], None]
"""Called after each epoch with the round (0: warm-up), the pipeline and the seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The epochs of one pipeline, compared with drilldown's."""

    name: str
    seconds: tuple[float, ...]
    """Seconds of each timed epoch."""
    ratios: tuple[float, ...]
    """Each epoch's seconds divided by those of drilldown's epoch in the same round."""
    accuracy: float
    """The share of test images that it classifies correctly at the end."""

    def to_json(self) -> dict[str, Any]:
        """Returns medians and ranges."""
        return {
            "seconds": statistics.median(self.seconds),
            "ratio": statistics.median(self.ratios),
            "ratio_range": [min(self.ratios), max(self.ratios)],
            "accuracy": self.accuracy,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """The timings of all pipelines, and the engine that drilldown used."""

    engine: str
    """The engine of the pipeline `drilldown`: the one that a run would use."""
    threads: int
    timings: tuple[Timing, ...]
    """The timings of all pipelines; drilldown's is the first."""

    def __getitem__(self, name: str) -> Timing:
        """Returns the timing of a pipeline."""
        return next(timing for timing in self.timings if timing.name == name)


class Pipeline(Protocol):
    """Code that trains its own network."""

    def train_epoch(self) -> object:
        """Trains one pass over the training images."""
        ...

    def accuracy(self, dataset: Dataset) -> float:
        """Returns the percentage of test images that it classifies correctly."""
        ...


class _Drilldown:
    """One of drilldown's own engines as a pipeline."""

    def __init__(self, experiment: Experiment, dataset: Dataset, engine: EngineName) -> None:
        # As many threads as the plain pipelines have: nothing chooses them for those.
        self.training = Training(experiment, dataset, compute=Compute(engine=engine, threads=choose_threads(None)))
        self.epochs = itertools.cycle(range(1, experiment.recipe.epochs + 1))

    def train_epoch(self) -> object:
        return self.training.engine.train_epoch(self.training.plan(next(self.epochs)))

    def accuracy(self, dataset: Dataset) -> float:
        return float(self.training.engine.evaluate(dataset.test).tally.accuracy)


def measure_speed(
    experiment: Experiment, dataset: Dataset, *, rounds: int = ROUNDS, on_epoch: OnEpoch | None = None
) -> Benchmark:
    """Trains drilldown and the plain pipelines in turn, one epoch each, and compares them round by round.

    The clock covers a whole training epoch with its augmentation, and no evaluation. The epochs alternate, so the
    ratios hold even where the machine's speed drifts. Beside the native engine, PyTorch's engine is timed as well.

    *Raises* DrilldownError where a pipeline has not learned: its speed would mean nothing.
    """
    own = _Drilldown(experiment, dataset, "auto")
    engine, threads = own.training.engine.name, own.training.threads
    pipelines: dict[str, Pipeline] = {"drilldown": own}
    if engine != "torch":
        pipelines["torch"] = _Drilldown(experiment, dataset, "torch")
    pipelines |= {
        "loader": plain.make_loader_pipeline(experiment, dataset),
        "memory": plain.make_memory_pipeline(experiment, dataset),
    }
    seconds: dict[str, list[float]] = {name: [] for name in pipelines}
    for number in range(rounds + 1):
        for name, pipeline in pipelines.items():
            started = time.perf_counter()
            pipeline.train_epoch()
            duration = time.perf_counter() - started
            if number:
                seconds[name].append(duration)
            if on_epoch:
                on_epoch(number, name, duration)
    accuracies = {name: pipeline.accuracy(dataset) / 100 for name, pipeline in pipelines.items()}
    for name, accuracy in accuracies.items():
        if accuracy < FLOOR:
            raise DrilldownError(f"{name} reached only {accuracy:.1%} of the test images: its speed would mean nothing")
    timings = [
        Timing(
            name=name,
            seconds=tuple(elapsed),
            ratios=tuple(s / own for s, own in zip(elapsed, seconds["drilldown"], strict=True)),
            accuracy=accuracies[name],
        )
        for name, elapsed in seconds.items()
    ]
    return Benchmark(engine=engine, threads=threads, timings=tuple(timings))


def benchmark_document(experiment: Experiment, benchmark: Benchmark) -> dict[str, Any]:
    """Returns the document of `drilldown bench --json`; `ratio` compares with the pipeline `loader`."""
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
