"""This machine's epoch against the plain pipelines, as ratios within one run."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from drilldown import resources, user_module
from drilldown.data import Dataset
from drilldown.errors import DrilldownError
from drilldown.experiment import Experiment
from drilldown.train import Training

FLOOR = 0.90
"""The share of test images that every pipeline must get right at the end: fast and wrong does not count."""
ROUNDS = 5
"""Timed epochs of each pipeline, after one that is not."""

Report = Callable[[int, str, float], None]
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


def measure(
    experiment: Experiment, dataset: Dataset, *, rounds: int = ROUNDS, report: Report | None = None
) -> list[Timing]:
    """Trains drilldown and the plain pipelines in turn, an epoch each, and compares round by round.

    The clock covers a whole training epoch, its augmentation included, and no evaluation. Alternating makes the
    ratios hold where the machine's speed drifts.

    *Returns* drilldown's own timing first.

    *Raises* DrilldownError where a pipeline has not learnt: its speed would mean nothing.
    """
    plain = user_module.load_file(resources.folder("benchmarks") / "plain.py")
    training = Training(experiment, dataset)
    epochs = itertools.cycle(range(1, experiment.recipe.epochs + 1))
    loader, memory = plain.loader(experiment, dataset), plain.memory(experiment, dataset)
    pipelines: dict[str, Callable[[], object]] = {
        "drilldown": lambda: training.engine.train_epoch(training.plan(next(epochs))),
        "loader": loader.train_epoch,
        "memory": memory.train_epoch,
    }
    seconds: dict[str, list[float]] = {name: [] for name in pipelines}
    for number in range(rounds + 1):
        for name, epoch in pipelines.items():
            begun = time.perf_counter()
            epoch()
            elapsed = time.perf_counter() - begun
            if number:
                seconds[name].append(elapsed)
            if report:
                report(number, name, elapsed)
    accuracies = {
        "drilldown": float(training.engine.evaluate(dataset.test).tally.accuracy) / 100,
        "loader": loader.accuracy(dataset) / 100,
        "memory": memory.accuracy(dataset) / 100,
    }
    for name, accuracy in accuracies.items():
        if accuracy < FLOOR:
            raise DrilldownError(f"{name} reached only {accuracy:.1%} of the test images: its speed would mean nothing")
    return [
        Timing(
            name=name,
            seconds=tuple(taken),
            ratios=tuple(s / own for s, own in zip(taken, seconds["drilldown"], strict=True)),
            accuracy=accuracies[name],
        )
        for name, taken in seconds.items()
    ]


def document(experiment: Experiment, timings: list[Timing]) -> dict[str, Any]:
    """What `drilldown bench --json` prints; `ratio` is that to the pipeline with a loader."""
    own, loader, _ = timings
    return {
        "experiment": experiment.name,
        "engine": "torch",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "rounds": len(own.seconds),
        "seconds": statistics.median(own.seconds),
        "plain_seconds": statistics.median(loader.seconds),
        "ratio": statistics.median(loader.ratios),
        "pipelines": {timing.name: timing.to_json() for timing in timings},
    }
