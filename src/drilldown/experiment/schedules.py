"""Learning-rate schedules, the same for all engines: functions of the step, and of the records of finished epochs.

A schedule has no state. So a run that was interrupted and resumed has the same learning rate in each step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, field_serializer, field_validator, model_validator

from drilldown.errors import InvalidValueError, Problem
from drilldown.table import BelowOne, NonNegative, Table


class _Schedule(Table):
    """The learning rate of each step of an epoch, relative to the peak of this epoch."""

    def peak_after(self, peak: float, losses: Sequence[float]) -> float:  # noqa: ARG002
        """Returns the peak of the next epoch, from the training losses of all epochs before it; by default, `peak`."""
        return peak


class _AnnealedSchedule(_Schedule):
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


class ConstantSchedule(_Schedule):
    """The same learning rate in every step, after an optional warm-up."""

    name: Literal["constant"]
    """The schedule's name."""
    warmup: BelowOne = 0.0
    """The fraction of all steps in which the learning rate rises linearly to its peak."""

    def learning_rate(self, peak: float, step: int, steps_per_epoch: int, total_steps: int) -> float:  # noqa: ARG002
        """Returns the learning rate of one step, counted from 0."""
        return peak * _warm_up(step, round(self.warmup * total_steps))


class StepSchedule(_Schedule):
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


class MultiStepSchedule(_Schedule):
    """A drop by the factor `gamma` at each of several times, as PyTorch's `MultiStepLR`; with an optional warm-up."""

    name: Literal["multistep"]
    """The schedule's name."""
    at: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False, min_length=1)]
    """The times of the drops: numbers of finished epochs, such as `[8, 12]`, or fractions of all steps, such as
    `[0.5, 0.75]` (PyTorch's `milestones`)."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """The factor of the learning rate in each drop."""
    warmup: BelowOne = 0.0
    """The fraction of all steps in which the learning rate rises linearly to its peak."""

    @field_validator("at")
    @classmethod
    def _times_in_order(cls, at: tuple[float, ...]) -> tuple[float, ...]:
        if any(time > 1 and not time.is_integer() for time in at) or list(at) != sorted(set(at)):
            found = f"found {list(at)}"
            raise InvalidValueError(
                Problem(found=found, expected="whole epochs, or fractions below 1 of the training, in ascending order")
            )
        return at

    @field_serializer("at")
    def _as_written(self, at: tuple[float, ...]) -> list[float]:
        return [int(time) if time >= 1 else time for time in at]

    def learning_rate(self, peak: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        """Returns the learning rate of one step, counted from 0."""
        times = (time * (steps_per_epoch if time >= 1 else total_steps) for time in self.at)
        drops = sum(step >= round(time) for time in times)
        return peak * self.gamma**drops * _warm_up(step, round(self.warmup * total_steps))


class ExponentialSchedule(_Schedule):
    """A drop by the factor `gamma` after every epoch, as PyTorch's `ExponentialLR`; with an optional warm-up."""

    name: Literal["exponential"]
    """The schedule's name."""
    gamma: Annotated[float, Field(gt=0, le=1)]
    """The factor of the learning rate after each epoch; in 15 epochs, 0.85 leads to about a tenth of the peak."""
    warmup: BelowOne = 0.0
    """The fraction of all steps in which the learning rate rises linearly to its peak."""

    def learning_rate(self, peak: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        """Returns the learning rate of one step, counted from 0."""
        epoch = step // steps_per_epoch
        return peak * self.gamma**epoch * _warm_up(step, round(self.warmup * total_steps))


class PlateauSchedule(_Schedule):
    """A drop when the training loss stops falling, as PyTorch's `ReduceLROnPlateau`; with an optional warm-up.

    It looks at the running training loss of each epoch, so no test image has an effect.
    """

    name: Literal["plateau"]
    """The schedule's name."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The factor of the learning rate in each drop."""
    patience: Annotated[int, Field(ge=0, le=10_000)] = 10
    """The number of epochs without a lower loss that are accepted; the next such epoch is followed by a drop."""
    threshold: BelowOne = 1e-4
    """The fraction by which a loss must be below the lowest one before it, to count as lower."""
    floor: NonNegative = 0.0
    """The lowest learning rate after a drop."""
    warmup: BelowOne = 0.0
    """The fraction of all steps in which the learning rate rises linearly to its peak."""

    def peak_after(self, peak: float, losses: Sequence[float]) -> float:
        """Returns the peak of the next epoch, from the training losses of all epochs before it."""
        lowest, waited = math.inf, 0
        for loss in losses:
            if loss < lowest * (1 - self.threshold):
                lowest, waited = loss, 0
            else:
                waited += 1
            if waited > self.patience:
                peak, waited = max(self.floor, peak * self.factor), 0
        return peak

    def learning_rate(self, peak: float, step: int, steps_per_epoch: int, total_steps: int) -> float:  # noqa: ARG002
        """Returns the learning rate of one step, counted from 0; `peak` is that of the step's epoch."""
        return peak * _warm_up(step, round(self.warmup * total_steps))


class RestartsSchedule(_Schedule):
    """Half a cosine from the peak to the floor, again and again; with an optional warm-up before the first.

    PyTorch's `CosineAnnealingWarmRestarts`, advanced in each step.

    *Source*: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, equation 5.
    """

    name: Literal["restarts"]
    """The schedule's name."""
    period: Annotated[int, Field(ge=1, le=10_000)]
    """The number of epochs until the first restart (PyTorch's `T_0`)."""
    multiplier: Annotated[int, Field(ge=1, le=100)] = 1
    """The factor by which each period is longer than the one before (PyTorch's `T_mult`)."""
    floor: NonNegative = 0.0
    """The learning rate at the end of each period."""
    warmup: BelowOne = 0.0
    """The fraction of all steps in which the learning rate rises linearly to its peak."""

    def learning_rate(self, peak: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        """Returns the learning rate of one step, counted from 0."""
        top = round(self.warmup * total_steps)
        if step < top:
            return peak * _warm_up(step, top)
        within, length = step - top, self.period * steps_per_epoch
        while within >= length:
            within, length = within - length, length * self.multiplier
        return _half_cosine(peak, self.floor, within, length)


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


Schedule = Annotated[
    ConstantSchedule
    | StepSchedule
    | MultiStepSchedule
    | ExponentialSchedule
    | PlateauSchedule
    | CosineSchedule
    | RestartsSchedule
    | OneCycleSchedule,
    Field(discriminator="name"),
]


def learning_rates(
    schedule: Schedule, peak: float, steps_per_epoch: int, epochs: int, epoch: int, losses: Sequence[float] = ()
) -> list[float]:
    """Returns the learning rate of each step of one epoch.

    *Arguments*: `peak`: the optimizer's learning rate. `epochs`: of the whole training. `epoch`: from 1. `losses`: the
    training losses of the epochs before it.

    >>> learning_rates(StepSchedule(name="step", every=1, gamma=0.5), 0.1, steps_per_epoch=2, epochs=2, epoch=2)
    [0.05, 0.05]
    """
    peak = schedule.peak_after(peak, losses)
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
