"""The interface of all engines: an epoch's plan goes in, its tally comes out; the plan holds all decisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from drilldown.data.augmentation import AugmentationDraws
from drilldown.data.dataset import Split
from drilldown.errors import TrainingDivergedError
from drilldown.evaluation.predictions import Evaluation
from drilldown.evaluation.records import Tally
from drilldown.settings import EngineName

PROGRESS_PER_EPOCH = 50
"""How often per epoch the device is asked for loss and counts; between two calls nothing waits for the device."""


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """One epoch with all its random draws, or the seeds of them: every engine can train the same from it."""

    epoch: int
    """From 1."""
    order: torch.Tensor
    """(N), int64: the order in which the training images are seen, on the CPU."""
    draws: AugmentationDraws
    """The augmentation of the N images, in that order, on the CPU."""
    learning_rates: list[float]
    """One per step."""
    dropout_seed: int
    """The seed of all dropout masks of the epoch; each engine draws them in its own way."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of an epoch while it is trained."""

    step: int
    """Steps done."""
    steps: int
    """Steps of the whole epoch."""
    so_far: Tally
    """Loss and counts over the images seen so far."""


OnProgress = Callable[[Progress], None]


class Engine(Protocol):
    """Trains a network epoch by epoch, and evaluates it.

    The engine owns the weights while it trains. `state` and `restore` move everything that the next epoch depends
    on, under names that all engines share, so a run can change engines between two epochs.
    """

    name: EngineName
    device: torch.device
    threads: int
    """CPU threads, on whose number PyTorch's last bits depend."""
    build: str
    """The compiled code or the processor's instructions, on which the last bits of the results depend."""

    def train_epoch(self, plan: EpochPlan, on_progress: OnProgress | None = None) -> Tally:
        """Trains one pass over the training images; raises TrainingDivergedError where the loss is not finite."""
        ...

    def evaluate(self, split: Split, *, raw: bool = False) -> Evaluation:
        """Evaluates the model in evaluation mode; `raw`: the weights that are not averaged."""
        ...

    def model(self) -> nn.Module:
        """The model that is judged: with weight averaging, the averaged weights.

        Convolutions that are trained wider are folded after that: it has the names and shapes of `Experiment.build`.
        """
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """Copies of all weights, buffers, optimizer buffers and averages, on the CPU.

        They are those of the trained network, not folded: of `Experiment.build_for_training`.
        """
        ...

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from a state that `state` returned."""
        ...


def check_finite(loss_sums: torch.Tensor, plan: EpochPlan) -> None:
    """Checks the losses of the steps done so far.

    *Raises* TrainingDivergedError, naming the first step whose loss is not a finite number.
    """
    finite = loss_sums.isfinite()
    if not finite.all():
        step = int((~finite).nonzero()[0])
        rates = plan.learning_rates
        raise TrainingDivergedError(
            f"the loss is {float(loss_sums[step])} in epoch {plan.epoch}, step {step + 1} of {len(rates)}, "
            f"at learning rate {rates[step]:.4g}; a smaller recipe.optimizer.lr or a warm-up may help"
        )
