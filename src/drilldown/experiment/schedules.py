"""Learning-rate schedules: functions of the step alone, the same for all engines.

A schedule has no state. So a run that was interrupted and resumed has the same learning rate in each step.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from drilldown.table import BelowOne, NonNegative, Table


class _AnnealedSchedule(Table):
    """The settings of the schedules that fall to a floor."""

    warmup: BelowOne = 0.0
    """The fraction of all steps in which the learning rate rises to its peak."""
    finish: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The fraction of all steps after which the learning rate has reached the floor and stays there."""

    @model_validator(mode="after")
    def _peak_before_floor(self) -> Self:
        if self.finish <= self.warmup:
            raise ValueError(f"finish = {self.finish} is not above warmup = {self.warmup}")
        return self


class ConstantSchedule(Table):
    """The same learning rate in every step, after an optional warm-up."""

    name: Literal["constant"]
    """The schedule's name."""
    warmup: BelowOne = 0.0
    """The fraction of all steps in which the learning rate rises linearly to its peak."""

    def learning_rate(self, peak: float, step: int, steps_per_epoch: int, total_steps: int) -> float:  # noqa: ARG002
        """Returns the learning rate of one step, counted from 0."""
        return peak * _warm_up(step, round(self.warmup * total_steps))


class StepSchedule(Table):
    """A drop by the factor `gamma` after every `every` epochs, as PyTorch's `StepLR`; with an optional warm-up."""

    name: Literal["step"]
    """The schedule's name."""
    every: Annotated[int, Field(ge=1, le=10_000)]
    """The number of epochs between two drops."""
    gamma: Annotated[float, Field(gt=0, le=1)]
    """The factor of the learning rate in each drop."""
    warmup: BelowOne = 0.0
    """The fraction of all steps in which the learning rate rises linearly to its peak."""

    def learning_rate(self, peak: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        """Returns the learning rate of one step, counted from 0."""
        drops = (step // steps_per_epoch) // self.every
        return peak * self.gamma**drops * _warm_up(step, round(self.warmup * total_steps))


class CosineSchedule(_AnnealedSchedule):
    """A linear warm-up, then half a cosine from the peak to the floor, then the floor.

    *Source*: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, equation 5,
    without restarts.
    """

    name: Literal["cosine"]
    """The schedule's name."""
    floor: NonNegative = 0.0
    """The learning rate at the end."""

    def learning_rate(self, peak: float, step: int, steps_per_epoch: int, total_steps: int) -> float:  # noqa: ARG002
        """Returns the learning rate of one step, counted from 0."""
        top = round(self.warmup * total_steps)
        bottom = max(top + 1, round(self.finish * total_steps))  # at least one step has the peak
        if step < top:
            return peak * _warm_up(step, top)
        return _half_cosine(peak, self.floor, step - top, bottom - top)


class OneCycleSchedule(_AnnealedSchedule):
    """A rise to the peak and a fall to the floor, both half a cosine, as PyTorch's `OneCycleLR` with constant momentum.

    *Source*: Smith and Topin, "Super-Convergence", 2018; the cosine form comes from fastai and PyTorch.
    """

    name: Literal["onecycle"]
    """The schedule's name."""
    warmup: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """The fraction of all steps before the peak (PyTorch's `pct_start`)."""
    div: Annotated[float, Field(ge=1)] = 25.0
    """The ratio of the peak to the first learning rate."""
    final_div: Annotated[float, Field(ge=1)] = 1e4
    """The ratio of the first to the last learning rate."""

    def learning_rate(self, peak: float, step: int, steps_per_epoch: int, total_steps: int) -> float:  # noqa: ARG002
        """Returns the learning rate of one step, counted from 0."""
        first = peak / self.div
        # In PyTorch the peak is at step warmup·total − 1, also if this is a fraction, and the floor at the last step.
        top, bottom = self.warmup * total_steps - 1, self.finish * total_steps - 1
        if step <= top:
            return _half_cosine(first, peak, step, top)
        return _half_cosine(peak, first / self.final_div, step - top, bottom - top)


Schedule = Annotated[ConstantSchedule | StepSchedule | CosineSchedule | OneCycleSchedule, Field(discriminator="name")]


def learning_rates(schedule: Schedule, peak: float, steps_per_epoch: int, epochs: int, epoch: int) -> list[float]:
    """Returns the learning rate of each step of one epoch.

    *Arguments*: `peak`: the optimizer's learning rate. `epochs`: of the whole training. `epoch`: from 1.

    >>> learning_rates(StepSchedule(name="step", every=1, gamma=0.5), 0.1, steps_per_epoch=2, epochs=2, epoch=2)
    [0.05, 0.05]
    """
    steps = range((epoch - 1) * steps_per_epoch, epoch * steps_per_epoch)
    return [schedule.learning_rate(peak, step, steps_per_epoch, steps_per_epoch * epochs) for step in steps]


def _warm_up(step: int, length: int) -> float:
    """Returns the factor of the linear warm-up: 1/length at step 0, and 1 from step length − 1."""
    return min(1.0, (step + 1) / length) if length else 1.0


def _half_cosine(start: float, end: float, step: float, length: float) -> float:
    """Returns half a cosine from `start` at step 0 to `end` at step `length`, and `end` after it."""
    if step >= length:
        return end
    return end + (start - end) * (1 + math.cos(math.pi * step / length)) / 2
