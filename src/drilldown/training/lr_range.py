"""The learning-rate range test: a short training whose learning rate rises from step to step.

*Source*: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3. The exponential rise and the
smoothing come from fastai.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from drilldown.data.dataset import Dataset
from drilldown.errors import TrainingDivergedError
from drilldown.evaluation.records import Tally
from drilldown.experiment.experiment import Experiment
from drilldown.randomness import keep_global_streams, stream_seed
from drilldown.settings import Compute
from drilldown.training.choice import OnNotice
from drilldown.training.steps import take_steps
from drilldown.training.training import Training

STEPS = 400
LOWEST, HIGHEST = 1e-5, 10.0
"""The learning rates of the first and of the last step."""
SMOOTHING = 0.95
"""The share of the old value in the average of the losses: it covers the last twenty steps."""
DIVERGED = 4.0
"""The test ends where the smoothed loss is this many times its lowest value."""
LEAST_FALL = 0.98
"""There is a suggestion if the smoothed loss falls below this share of its first value."""
DIVISOR = 10.0
"""The suggestion is the learning rate with the lowest smoothed loss, divided by this.

Measured on nine experiments on MNIST with two seeds each, and compared with the steepest point of the curve: see
docs/how-to/learning-rate.md.
"""
RULE = "a tenth of the learning rate at which the smoothed loss is lowest"
SOURCE = "Smith 2017, Cyclical Learning Rates, section 3.3, arXiv:1506.01186"


@dataclass(frozen=True, slots=True)
class RangeStep:
    """One step of the test."""

    lr: float
    loss: float
    """The mean over the batch."""
    smoothed: float
    """The average of this and the earlier losses, in which the latest count most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LrRange:
    """The result of a range test."""

    experiment: Experiment
    seed: int
    engine: str
    device: str
    threads: int
    steps: tuple[RangeStep, ...]
    """The finished steps; fewer than `STEPS` where the loss diverged."""

    @property
    def diverged(self) -> bool:
        """Whether the loss rose so far that the test ended."""
        return len(self.steps) < STEPS

    @property
    def lowest(self) -> RangeStep | None:
        """The step with the lowest smoothed loss; None where the first step diverged."""
        return min(self.steps, key=lambda step: step.smoothed, default=None)

    @property
    def suggestion(self) -> float | None:
        """The suggested learning rate, with two digits; None where the loss did not fall clearly."""
        lowest = self.lowest
        if lowest is None or lowest.smoothed > LEAST_FALL * self.steps[0].smoothed:
            return None
        return float(f"{lowest.lr / DIVISOR:.1e}")

    def to_json(self) -> dict[str, Any]:
        """The document of `drilldown lr --json`."""
        lowest = self.lowest
        return {
            "experiment": self.experiment.name,
            "seed": self.seed,
            "optimizer": self.experiment.recipe.optimizer.name,
            "lr": self.experiment.recipe.optimizer.lr,
            "suggested_lr": self.suggestion,
            "lowest_loss_lr": lowest.lr if lowest else None,
            "rule": RULE,
            "source": SOURCE,
            "diverged": self.diverged,
            "engine": self.engine,
            "device": self.device,
            "threads": self.threads,
            "steps": [{"lr": step.lr, "loss": step.loss, "smoothed_loss": step.smoothed} for step in self.steps],
        }


def measure_lr_range(
    experiment: Experiment,
    dataset: Dataset,
    *,
    seed: int = 0,
    compute: Compute = Compute(),  # noqa: B008 - frozen
    on_notice: OnNotice = lambda _: None,
) -> LrRange:
    """Trains `STEPS` steps with the recipe of an experiment, while the learning rate rises from LOWEST to HIGHEST.

    The schedule of the recipe is not used. The network is thrown away. No file is written, and the random streams of a
    later training are the same as without the test.

    *Raises* DrilldownError where experiment and data do not fit together.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.batch_size=16"])
    >>> found = measure_lr_range(experiment, drilldown.dataset("glyphs"))
    >>> found.diverged, 0.001 < found.suggestion < 1
    (True, True)
    """
    with keep_global_streams():
        training = Training(experiment, dataset, seed=seed, compute=compute, on_notice=on_notice)
        return LrRange(
            experiment=experiment,
            seed=seed,
            engine=training.engine.name,
            device=training.engine.device.type,
            threads=training.threads,
            steps=tuple(_until_divergence(_tallies(training))),
        )


def _until_divergence(losses: Iterator[tuple[float, Tally]]) -> Iterator[RangeStep]:
    """Smooths the losses until they have risen far above their lowest value, or are not finite."""
    average, lowest = 0.0, math.inf
    for number, (lr, tally) in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * tally.loss
        smoothed = average / (1 - SMOOTHING**number)  # the average began at 0
        if smoothed > DIVERGED * lowest:
            return
        lowest = min(lowest, smoothed)
        yield RangeStep(lr, tally.loss, smoothed)


def _tallies(training: Training) -> Iterator[tuple[float, Tally]]:
    """The learning rate and the tally of each step; ends where a loss is not finite."""
    size, per_epoch = training.experiment.recipe.batch_size, training.steps_per_epoch
    for step in range(STEPS):
        lr = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
        epoch, within = divmod(step, per_epoch)
        if within == 0:
            plan = training.plan(epoch + 1)
        one = replace(
            take_steps(plan, within, within + 1, size),
            epoch=step + 1,  # an engine counts the steps before it, for weight averaging
            learning_rates=[lr],
            dropout_seed=stream_seed(training.seed, "lr range", step),
        )
        try:
            yield lr, training.train(one)
        except TrainingDivergedError:
            return
