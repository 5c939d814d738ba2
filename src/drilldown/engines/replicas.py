"""Several seeds of one network, trained at once: a tiny network alone leaves a GPU idle.

The weights of R networks are stacked, and `torch.vmap` makes one operation of R equal ones: a convolution of R groups,
or a batched product. Each replica has its own weights, order of images, augmentation, statistics and dropout. So it
gives what its single run gives, up to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from drilldown.data.augmentation import AugmentationDraws, augment_images
from drilldown.data.dataset import Dataset, Split
from drilldown.engines.engine import EpochPlan, check_finite
from drilldown.engines.torch import WeightAverage, judged_network, make_step
from drilldown.errors import DrilldownError, Problem
from drilldown.evaluation.predictions import Evaluation, normalise_pixels, predict_logits
from drilldown.evaluation.records import Tally
from drilldown.experiment.recipe import Recipe
from drilldown.network.rounding import install_rounding
from drilldown.randomness import global_seed


class Replicas:
    """Trains R networks of the same shape with one recipe and one dataset, each by its own plans.

    *Arguments*: `networks`: as `Experiment.build_for_training` makes them, one for each seed. `dataset`: the same
    training images for all.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
    >>> trainings = [drilldown.Training(experiment, seed=seed) for seed in (0, 1)]
    >>> networks = [experiment.build_for_training(seed) for seed in (0, 1)]
    >>> replicas = Replicas(networks, experiment.recipe, trainings[0].dataset, device=torch.device("cpu"))
    >>> [tally.total for tally in replicas.train_epoch([training.plan(1) for training in trainings])]
    [6000, 6000]
    """

    def __init__(
        self, networks: Sequence[nn.Module], recipe: Recipe, dataset: Dataset, *, device: torch.device
    ) -> None:
        self.recipe, self.device, self.count = recipe, device, len(networks)
        self.split = dataset.train.to(device)
        self.mean, self.std = dataset.mean, dataset.std
        self.single = copy.deepcopy(networks[0])
        self.network = _stack(networks).to(device)
        if recipe.precision == "int4":
            install_rounding(self.network)
        self.optimizer = recipe.optimizer.create(self.network, fused=device.type in ("cpu", "cuda"))
        self.average = WeightAverage(self.network, recipe.ema) if recipe.ema else None

    def train_epoch(self, plans: Sequence[EpochPlan]) -> list[Tally]:
        """Trains one pass over the training images, with a plan for each replica, and returns their tallies.

        *Raises* TrainingDivergedError where the loss of a replica is not finite, and DrilldownError where the plans
        differ in their learning rates, as with the schedule `plateau`.
        """
        if any(plan.learning_rates != plans[0].learning_rates for plan in plans):
            found, expected = "learning rates that differ between seeds", "a schedule that does not depend on losses"
            raise DrilldownError(Problem(place="recipe.schedule", found=found, expected=expected))
        size, steps, rates = self.recipe.batch_size, len(plans[0].learning_rates), plans[0].learning_rates
        order = torch.stack([plan.order for plan in plans]).to(self.device)  # (R, N)
        draws = [plan.draws.to(self.device) for plan in plans]
        losses = torch.zeros(self.count, steps, device=self.device)  # over the images of each step
        correct = torch.zeros(self.count, dtype=torch.int64, device=self.device)
        self.network.train()
        with global_seed(plans[0].dropout_seed):
            for step, rate in enumerate(rates):
                part = slice(step * size, (step + 1) * size)
                logits, labels, targets = self._forward(
                    order[:, part], [one.slice(part.start, part.stop) for one in draws]
                )
                each = F.cross_entropy(
                    logits.flatten(0, 1),
                    targets.flatten(0, 1),
                    label_smoothing=self.recipe.label_smoothing,
                    reduction="none",
                ).view(labels.shape)
                # The weights of a replica have no part in the loss of another.
                make_step(self.optimizer, each.mean(1).sum(), rate, self.recipe)
                if self.average:
                    self.average.update(self.network, (plans[0].epoch - 1) * steps + step + 1)
                losses[:, step] = each.detach().sum(1)
                correct += (logits.detach().argmax(2) == labels).sum(1)
        images = order.shape[1]
        for replica, plan in zip(losses, plans, strict=True):
            check_finite(replica, plan)
        return [
            Tally(float(loss) / images, int(right), images)
            for loss, right in zip(losses.sum(1, dtype=torch.float64), correct, strict=True)
        ]

    def evaluate(self, split: Split) -> list[Evaluation]:
        """Evaluates the model of each replica on all images of a split, in order, in fp32."""
        return [
            Evaluation.of(predict_logits(self.model(replica), split.images, self.mean, self.std), split.labels)
            for replica in range(self.count)
        ]

    def model(self, replica: int) -> nn.Module:
        """The model of a replica that is judged: with weight averaging, the averaged weights."""
        stacked = self.average.network if self.average else self.network
        single = copy.deepcopy(self.single).to(self.device)
        single.load_state_dict({name: tensor[replica] for name, tensor in stacked.state_dict().items()})
        return judged_network(single, self.recipe)

    def _forward(
        self, rows: torch.Tensor, draws: Sequence[AugmentationDraws]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The logits (R, B, classes), labels (R, B) and targets of the images at `rows` (R, B)."""
        images = self.split.images.index_select(0, rows.flatten())
        images = images.view(*rows.shape, *images.shape[1:])
        labels = self.split.labels[rows]
        pixels = torch.stack(
            [
                normalise_pixels(augment_images(some, one, self.recipe.augment.interpolation), self.mean, self.std)
                for some, one in zip(images, draws, strict=True)
            ]
        )

        def single(
            weights: dict[str, torch.Tensor], buffers: dict[str, torch.Tensor], inputs: torch.Tensor
        ) -> torch.Tensor:
            logits: torch.Tensor = functional_call(self.network, (weights, buffers), (inputs,))
            return logits

        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            logits = torch.vmap(single, randomness="different")(
                dict(self.network.named_parameters()), dict(self.network.named_buffers()), pixels
            ).float()
        targets = self.split.targets
        return logits, labels, labels if targets is None else targets.probabilities[rows]


def _stack(networks: Sequence[nn.Module]) -> nn.Module:
    """A network whose weights and buffers have a first dimension more, one place for each network."""
    stacked = copy.deepcopy(networks[0])
    parts = [dict([*network.named_parameters(), *network.named_buffers()]) for network in networks]
    for name, first in parts[0].items():
        tensor = torch.stack([part[name].detach() for part in parts])
        module, _, attribute = name.rpartition(".")
        value = nn.Parameter(tensor) if isinstance(first, nn.Parameter) else tensor
        setattr(stacked.get_submodule(module), attribute, value)
    return stacked
