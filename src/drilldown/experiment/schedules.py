"""Learning-rate schedules: pure functions of the step, shared by every engine.

A schedule has no state to save. The rate of step 1,234 is the same whether the run got there in one go or was
resumed ten times.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from drilldown.table import BelowOne, NonNegative, Table


class _AnnealedSchedule(Table):
    """What the schedules that come down to a floor share."""

    warmup: BelowOne = 0.0
    """Fraction of all steps over which the rate rises to its peak."""
    finish: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Fraction of all steps by which the floor is reached and then held."""

    @model_validator(mode="after")
    def _peak_before_floor(self) -> Self:
        if self.finish <= self.warmup:
            raise ValueError(f"finish = {self.finish} comes no later than warmup = {self.warmup}")
        return self


class ConstantSchedule(Table):
    """The same rate throughout, after an optional warm-up."""

    name: Literal["constant"]
    warmup: BelowOne = 0.0
    """Fraction of all steps over which the rate rises linearly to its peak."""

    def rate(self, peak: float, step: int, steps_per_epoch: int, total_steps: int) -> float:  # noqa: ARG002
        """The learning rate of one step."""
        return peak * _warm_up(step, round(self.warmup * total_steps))


class StepSchedule(Table):
    """Times `gamma` after every so many epochs (PyTorch's `StepLR`), after an optional warm-up."""

    name: Literal["step"]
    every: Annotated[int, Field(ge=1, le=10_000)]
    """Epochs between two drops."""
    gamma: Annotated[float, Field(gt=0, le=1)]
    """Factor of each drop."""
    warmup: BelowOne = 0.0
    """Fraction of all steps over which the rate rises linearly to its peak."""

    def rate(self, peak: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        """The learning rate of one step."""
        drops = (step // steps_per_epoch) // self.every
        return peak * self.gamma**drops * _warm_up(step, round(self.warmup * total_steps))


class CosineSchedule(_AnnealedSchedule):
    """A linear warm-up, half a cosine down to the floor, then the floor.

    *Source*: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, equation 5,
    without restarts.
    """

    name: Literal["cosine"]
    floor: NonNegative = 0.0
    """The rate at the end."""

    def rate(self, peak: float, step: int, steps_per_epoch: int, total_steps: int) -> float:  # noqa: ARG002
        """The learning rate of one step."""
        top = round(self.warmup * total_steps)
        bottom = max(top + 1, round(self.finish * total_steps))  # however short the training, one step at the peak
        if step < top:
            return peak * _warm_up(step, top)
        return _half_cosine(peak, self.floor, step - top, bottom - top)


class OneCycleSchedule(_AnnealedSchedule):
    """Up to the peak and down again, both along half a cosine (PyTorch's `OneCycleLR`), momentum left alone.

    *Source*: Smith and Topin, "Super-Convergence", 2018; the cosine form is fastai's and PyTorch's.
    """

    name: Literal["onecycle"]
    warmup: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Fraction of all steps until the peak (PyTorch's `pct_start`)."""
    div: Annotated[float, Field(ge=1)] = 25.0
    """The first rate is the peak divided by this."""
    final_div: Annotated[float, Field(ge=1)] = 1e4
    """The last rate is the first divided by this."""

    def rate(self, peak: float, step: int, steps_per_epoch: int, total_steps: int) -> float:  # noqa: ARG002
        """The learning rate of one step."""
        first = peak / self.div
        # PyTorch puts the peak *at* step warmup·total − 1 and the floor at the last step, fractions included.
        top, bottom = self.warmup * total_steps - 1, self.finish * total_steps - 1
        if step <= top:
            return _half_cosine(first, peak, step, top)
        return _half_cosine(peak, first / self.final_div, step - top, bottom - top)


Schedule = Annotated[ConstantSchedule | StepSchedule | CosineSchedule | OneCycleSchedule, Field(discriminator="name")]


def learning_rates(schedule: Schedule, peak: float, steps_per_epoch: int, epochs: int) -> list[float]:
    """The learning rate of every step of a training.

    >>> learning_rates(StepSchedule(name="step", every=1, gamma=0.5), 0.1, steps_per_epoch=2, epochs=2)
    [0.1, 0.1, 0.05, 0.05]
    """
    total = steps_per_epoch * epochs
    return [schedule.rate(peak, step, steps_per_epoch, total) for step in range(total)]


def _warm_up(step: int, length: int) -> float:
    """The linear warm-up's factor: 1/length at step 0, 1 from step length − 1 on."""
    return min(1.0, (step + 1) / length) if length else 1.0


def _half_cosine(start: float, end: float, step: float, length: float) -> float:
    """Half a cosine from `start` at step 0 to `end` at step `length`, and `end` from there on."""
    if step >= length:
        return end
    return end + (start - end) * (1 + math.cos(math.pi * step / length)) / 2
