"""The reference engine: PyTorch, every layer and option, CPU or GPU.

The whole training set lies on the device as bytes. A step indexes, warps and normalises, and never waits for the
device: loss and counts add up there and are read about fifty times per epoch.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import nn

from drilldown.data.augmentation import augment_images
from drilldown.data.dataset import Dataset, Split
from drilldown.engines.dropout import install_fast_dropout, reseed_dropout
from drilldown.engines.engine import PROGRESS_PER_EPOCH, EpochPlan, OnProgress, Progress, check_finite
from drilldown.engines.onednn import onednn_forward, onednn_is_faster, reorder_layers
from drilldown.evaluation.predictions import Evaluation, normalise_pixels, predict_logits
from drilldown.evaluation.records import Tally
from drilldown.experiment.recipe import Recipe
from drilldown.network.layout import call_network
from drilldown.network.modules import Layers, fold_network
from drilldown.network.rounding import install_rounding, round_network
from drilldown.randomness import global_seed
from drilldown.settings import EngineName

SCALARS = ("step", "mu_product")
"""The numbers that an optimizer keeps on the CPU, unless it is fused; its other tensors belong on the device."""


class TorchEngine:
    """Trains with PyTorch; see `drilldown.engines.engine.Engine`."""

    name: EngineName = "torch"

    def __init__(self, network: nn.Module, recipe: Recipe, dataset: Dataset, *, device: torch.device) -> None:
        self.device, self.threads = device, torch.get_num_threads()
        self.build = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else torch.version.cuda or "cuda"
        self.recipe = recipe
        self.train_split = dataset.train.to(device)
        self.targets = self.train_split.targets.probabilities if self.train_split.targets else None
        self.mean, self.std = dataset.mean, dataset.std
        self.network = network.to(device)
        install_fast_dropout(self.network)
        if recipe.precision == "int4":
            install_rounding(self.network)
        self.forward: Callable[[torch.Tensor], torch.Tensor] = self.network
        if isinstance(self.network, Layers) and recipe.precision == "fp32" and onednn_is_faster(self.network, device):
            self.forward = functools.partial(onednn_forward, reorder_layers(self.network))
        self.optimizer = recipe.optimizer.create(network, fused=device.type in ("cpu", "cuda"))
        self.average = WeightAverage(network, recipe.ema) if recipe.ema else None

    def train_epoch(self, plan: EpochPlan, on_progress: OnProgress | None = None) -> Tally:
        """Trains one pass over the training images; see `Engine.train_epoch`."""
        size, steps = self.recipe.batch_size, len(plan.learning_rates)
        order, draws = plan.order.to(self.device), plan.draws.to(self.device)
        loss_sums = torch.zeros(steps, device=self.device)  # over the images of each step
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        every = max(1, steps // PROGRESS_PER_EPOCH)
        self.network.train()
        reseed_dropout(self.network, plan.dropout_seed)
        with global_seed(plan.dropout_seed):
            for step, lr in enumerate(plan.learning_rates):
                rows = order[step * size : (step + 1) * size]
                chosen = draws.slice(step * size, (step + 1) * size)
                # index_select copies whole rows; images[rows] would copy byte by byte.
                images = self.train_split.images.index_select(0, rows)
                labels = self.train_split.labels.index_select(0, rows)
                targets = labels if self.targets is None else self.targets.index_select(0, rows)
                pixels = augment_images(images, chosen, self.recipe.augment.interpolation)
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
                    logits = call_network(self.forward, normalise_pixels(pixels, self.mean, self.std)).float()
                loss = F.cross_entropy(logits, targets, label_smoothing=self.recipe.label_smoothing)
                make_step(self.optimizer, loss, lr, self.recipe)
                if self.average:
                    self.average.update(self.network, (plan.epoch - 1) * steps + step + 1)
                # A NaN may show in the gradients alone (see onednn.py); it must be noticed all the same.
                gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
                loss_sums[step] = loss.detach() * len(rows) + 0 * torch.stack(torch._foreach_norm(gradients)).sum()
                correct += (logits.detach().argmax(1) == labels).sum()
                if (step + 1) % every == 0 or step + 1 == steps:
                    check_finite(loss_sums[: step + 1], plan)
                    seen = min((step + 1) * size, len(order))
                    so_far = Tally(float(loss_sums.sum(dtype=torch.float64)) / seen, int(correct), seen)
                    if on_progress:
                        on_progress(Progress(step + 1, steps, so_far))
        return so_far

    def evaluate(self, split: Split, *, raw: bool = False) -> Evaluation:
        """Evaluates the model on all images of a split, in order, in fp32."""
        network = judged_network(self.network, self.recipe) if raw else self.model()
        return Evaluation.of(predict_logits(network, split.images, self.mean, self.std), split.labels)

    def model(self) -> nn.Module:
        """The model that is judged: with weight averaging, the averaged weights."""
        return judged_network(self.average.network if self.average else self.network, self.recipe)

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that the next epoch depends on, as `network.…`, `average.…` and `optimizer.…`."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self.average:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.network.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, torch.Tensor):
                    tensors[f"optimizer.{name}.{key}"] = value
        return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from a state that `state` returned."""

        def part(prefix: str) -> dict[str, torch.Tensor]:
            return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

        self.network.load_state_dict(part("network."))
        if self.average:
            self.average.network.load_state_dict(part("average."))
        for name, parameter in self.network.named_parameters():
            buffers = part(f"optimizer.{name}.")
            if buffers:
                on_cpu = () if self.optimizer.defaults.get("fused") else SCALARS
                self.optimizer.state[parameter] = {
                    key: value if key in on_cpu else value.to(parameter.device) for key, value in buffers.items()
                }


def judged_network(network: nn.Module, recipe: Recipe) -> nn.Module:
    """The network as it is judged: with rounded weights for `int4`, and with its wide convolutions folded."""
    return round_network(network) if recipe.precision == "int4" else fold_network(network)


def make_step(optimizer: torch.optim.Optimizer, loss: torch.Tensor, lr: float, recipe: Recipe) -> None:
    """Makes a step of the optimizer against the gradients of a loss, and of the recipe's `l1`."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if recipe.l1:
        add_l1_gradient(optimizer, recipe.l1)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()


def add_l1_gradient(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Adds the gradient of factor · Σ|weight| to the gradients of all parameters; at 0 it is 0."""
    parameters = [weight for group in optimizer.param_groups for weight in group["params"]]
    trained = [(weight.detach(), weight.grad) for weight in parameters if weight.grad is not None]
    weights, gradients = ([pair[part] for pair in trained] for part in (0, 1))
    torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=factor)


class WeightAverage:
    """An exponential average of weights and batch-norm statistics.

    After step t (from 1) the average moves towards the weights by 1 − min(decay, (1 + t)/(10 + t)): the warm-up of
    TensorFlow's `ExponentialMovingAverage`, without which early averages would remember the initial weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Updates the average with the weights after a step."""
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = list(zip(_tensors(self.network), _tensors(network), strict=True))
        floating = [(a, w) for a, w in pairs if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floating], [w for _, w in floating], 1 - decay)
        for a, w in pairs:
            if not a.is_floating_point():  # batch norm's count of batches
                a.copy_(w)


def _tensors(network: nn.Module) -> Iterator[torch.Tensor]:
    """Weights and buffers, each once even where layers share it."""
    return itertools.chain(network.parameters(), network.buffers())
