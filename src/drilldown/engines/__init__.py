"""What executes training. Every engine takes an epoch's plan and gives its tally; all decisions are in the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from drilldown.augment import Draws
from drilldown.data import Split
from drilldown.errors import TrainingDiverged
from drilldown.records import Evaluation, Tally

TICKS_PER_EPOCH = 50
"""How often within an epoch the device is asked for loss and counts; in between, nothing waits for it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One epoch, all its random draws made: what any engine needs to do the same."""

    epoch: int
    """From 1."""
    order: torch.Tensor
    """(N), int64: the training images in the order in which they are seen, on the CPU."""
    draws: Draws
    """Of the N images in that order, on the CPU."""
    rates: list[float]
    """The learning rate of each step."""


@dataclass(frozen=True, slots=True)
class Tick:
    """How far an epoch has come."""

    step: int
    steps: int
    so_far: Tally


Progress = Callable[[Tick], None]


class Engine(Protocol):
    """Trains a network epoch by epoch, and evaluates it.

    The engine owns the weights while it trains. `state` and `restore` move everything that the next epoch depends
    on, by names that all engines share, so that a run can change engines between two epochs.
    """

    name: str
    device: torch.device

    def train_epoch(self, plan: Plan, progress: Progress | None = None) -> Tally:
        """One pass over the training images; raises TrainingDiverged where the loss is not finite."""
        ...

    def evaluate(self, split: Split, *, raw: bool = False) -> Evaluation:
        """The model's answers, in evaluation mode; `raw`: of the weights that are not averaged."""
        ...

    def model(self) -> nn.Module:
        """The model that is judged: the averaged weights where there are some."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """Copies of all weights, buffers, optimizer buffers and averages, on the CPU."""
        ...

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Goes on from what `state` gave."""
        ...


def check_finite(loss_sums: torch.Tensor, plan: Plan) -> None:
    """Raises TrainingDiverged at the first step (of those done) whose loss is not a finite number."""
    finite = loss_sums.isfinite()
    if not finite.all():
        step = int((~finite).nonzero()[0])
        raise TrainingDiverged(
            f"the loss is {float(loss_sums[step])} in epoch {plan.epoch}, step {step + 1} of {len(plan.rates)}, "
            f"at learning rate {plan.rates[step]:.4g}; a smaller recipe.optimizer.lr or a warm-up may help"
        )
