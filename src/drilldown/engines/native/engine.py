"""The native engine: a whole epoch in C++, for networks too small for PyTorch's convolutions.

README.md beside this file explains how it works. It covers what the studies use, on a CPU: every layer of the
notation, SGD, label smoothing, averaging, augmentation, in fp32. `why_unsupported` gives the reason where it cannot
train an experiment.
"""

from __future__ import annotations

import copy
import ctypes
import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from drilldown.data.dataset import Dataset, Split
from drilldown.engines.engine import EpochPlan, OnProgress, Progress, check_finite
from drilldown.engines.native.library import (
    EngineUnavailableError,
    EpochInput,
    Images,
    LayerSpec,
    NativeError,
    NativeRecipe,
    NativeState,
    library_build,
    load_library,
)
from drilldown.evaluation.predictions import Evaluation
from drilldown.evaluation.records import Tally
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.optimizers import SGD
from drilldown.network.layers import (
    AvgPool,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    ReLU,
)
from drilldown.network.modules import fold_network
from drilldown.settings import EngineName
from drilldown.wording import join_words

MEMORY_LIMIT = 600_000_000
"""The engine declines networks and batches that need more bytes: PyTorch trains those well."""
SLICE_SECONDS = 0.1
"""The longest time in C++ before Python reports progress and notices Ctrl-C; never less than one step."""
EVALUATED_AT_ONCE = 1_024
"""Images per call while evaluating; Ctrl-C is noticed between two calls."""
REST = ("images", "loss", "update", "waiting")
"""The parts that are timed beside the layers, in the order of Trainer::Piece in trainer.hpp."""

# In the order of Spec::Kind in network.hpp.
KINDS: tuple[type[Layer], ...] = (
    Conv, BatchNorm, ReLU, MaxPool, AvgPool, GlobalAveragePool, Dropout, Flatten, Linear
)  # fmt: skip


def why_unsupported(experiment: Experiment, device: torch.device) -> str | None:
    """The reason why the engine cannot train this, as a phrase; None where it can, as far as is known before."""
    recipe = experiment.recipe
    if device.type != "cpu":
        return f"it runs on the CPU only, not on {device.type}"
    if experiment.layout is None:
        return "the network is a Python module"
    if not isinstance(recipe.optimizer, SGD):
        return f"it has no {recipe.optimizer.name}, only sgd"
    if recipe.l1:
        return "it has no L1 penalty (recipe.l1)"
    missing = [name for name in recipe.augment.active() if name in ("perspective", "elastic", "erase")]
    if missing:
        return f"it has no augmentation by {join_words(missing)}"
    if recipe.precision != "fp32":
        return f"it calculates in fp32, not in {recipe.precision}"
    if experiment.image[0][0] > 1:
        return f"it reads grey images, not images with {experiment.image[0][0]} channels"
    for index, item in enumerate(experiment.layout):
        layer = item.layer
        if type(layer) not in KINDS:
            return f"it has no {layer.word}"
        if item.sources != (index - 1,):
            return "it has no skips"
        if item.shared:
            return "it has no shared weights"
        if isinstance(layer, Conv) and layer.pad >= layer.kernel:
            return f"{item.name} pads by more than its kernel can reach"
        if isinstance(layer, Conv) and (layer.dilation, layer.expand) != (1, 1):
            return f'{item.name} is "{layer}": it has no dilation and no expand'
        if isinstance(layer, BatchNorm) and not layer.scale:
            return f'{item.name} is "{layer}": it has no noscale'
        if isinstance(layer, MaxPool | AvgPool) and (layer.stride, layer.pad) != (layer.size, 0):
            return f'{item.name} is "{layer}": its pools have no stride and no pad'
    return None


class NativeEngine:
    """Trains in C++; see `drilldown.engines.engine.Engine`.

    *Raises* EngineUnavailableError where there is no compiler, or where the network needs more than MEMORY_LIMIT.
    """

    name: EngineName = "native"
    device = torch.device("cpu")

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset,
        *,
        seed: int,
        threads: int,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        assert experiment.layout is not None
        self.threads = threads
        self.library = load_library(on_notice)
        self.build = library_build()
        self.recipe, self.split = experiment.recipe, dataset.train
        self.network = experiment.build_for_training(seed)
        parameters = list(self.network.parameters())
        self.weights = torch.cat([parameter.detach().flatten() for parameter in parameters])
        self.running = torch.cat([torch.empty(0), *(buffer.flatten() for buffer in _statistics(self.network))])
        self.gradients, self.momentum = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        self.average, self.average_running = self.weights.clone(), self.running.clone()
        self.steps_done = 0
        self.classes = dataset.classes
        self.handle = self._create([item.layer for item in experiment.layout], dataset, threads)

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self.library.drilldown_delete(self.handle)

    def train_epoch(self, plan: EpochPlan, on_progress: OnProgress | None = None) -> Tally:
        """Trains one pass over the training images; see `Engine.train_epoch`."""
        steps, count = len(plan.learning_rates), len(plan.order)
        rates = torch.tensor(plan.learning_rates, dtype=torch.float64)
        order, labels = plan.order.contiguous(), self.split.labels[plan.order].contiguous()
        images = self.split.images.contiguous()
        inverse, intensity = plan.draws.inverse, plan.draws.brightness_contrast
        losses, correct = torch.zeros(steps, dtype=torch.float64), torch.zeros(steps, dtype=torch.int64)
        epoch = EpochInput(
            count, images.data_ptr(), order.data_ptr(), labels.data_ptr(),
            None if inverse is None else inverse.contiguous().data_ptr(),
            None if intensity is None else intensity.contiguous().data_ptr(),
            self.recipe.augment.interpolation == "nearest", rates.data_ptr(),
            plan.dropout_seed, (plan.epoch - 1) * steps,
        )  # fmt: skip
        step = 0
        while step < steps:
            step = self.library.drilldown_train(
                self.handle, ctypes.byref(epoch), step, SLICE_SECONDS, losses.data_ptr(), correct.data_ptr()
            )
            check_finite(losses[:step], plan)
            seen = min(step * self.recipe.batch_size, count)
            so_far = Tally(float(losses.sum()) / seen, int(correct.sum()), seen)
            if on_progress:
                on_progress(Progress(step, steps, so_far))
        self.steps_done += steps
        return so_far

    def evaluate(self, split: Split, *, raw: bool = False) -> Evaluation:
        """Evaluates the model on all images of a split, in order."""
        averaged = self.recipe.ema is not None and not raw
        weights = self.average if averaged else self.weights
        running = self.average_running if averaged else self.running
        logits = torch.empty(len(split.labels), self.classes)
        images = split.images.contiguous()
        for first in range(0, len(images), EVALUATED_AT_ONCE):  # in parts, so that Ctrl-C is noticed
            part = images[first : first + EVALUATED_AT_ONCE]
            self.library.drilldown_evaluate(
                self.handle,
                part.data_ptr(),
                len(part),
                weights.data_ptr(),
                running.data_ptr(),
                logits[first:].data_ptr(),
            )
        return Evaluation.of(logits, split.labels)

    def model(self) -> nn.Module:
        """The model that is judged: with weight averaging, the averaged weights."""
        if self.recipe.ema is None:
            return fold_network(self._module(self.weights, self.running))
        return fold_network(self._module(self.average, self.average_running))

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that the next epoch depends on, as `network.…`, `average.…` and `optimizer.…`."""
        modules = {"network": self._module(self.weights, self.running)}
        if self.recipe.ema is not None:
            modules["average"] = self._module(self.average, self.average_running)
        tensors = {
            f"{part}.{name}": tensor.clone()
            for part, module in modules.items()
            for name, tensor in module.state_dict().items()
        }
        if self._has_momentum and self.steps_done:
            for (name, parameter), buffer in zip(
                self.network.named_parameters(), _parts(self.momentum, self.network.parameters()), strict=True
            ):
                tensors[f"optimizer.{name}.momentum_buffer"] = buffer.view_as(parameter).clone()
        return tensors

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from a state that `state` returned."""

        def take(part: str, weights: torch.Tensor, running: torch.Tensor) -> None:
            prefix = f"{part}."
            module = copy.deepcopy(self.network)
            module.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
            weights.copy_(torch.cat([parameter.detach().flatten() for parameter in module.parameters()]))
            running.copy_(torch.cat([torch.empty(0), *(buffer.flatten() for buffer in _statistics(module))]))
            counts = [v for k, v in module.state_dict().items() if k.endswith("num_batches_tracked")]
            self.steps_done = max([self.steps_done, *map(int, counts)])

        take("network", self.weights, self.running)
        if self.recipe.ema is not None:
            take("average", self.average, self.average_running)
        names = [name for name, _ in self.network.named_parameters()]
        for name, buffer in zip(names, _parts(self.momentum, self.network.parameters()), strict=True):
            saved = state.get(f"optimizer.{name}.momentum_buffer")
            if saved is not None:
                self.steps_done = max(self.steps_done, 1)
                buffer.copy_(saved.flatten())

    def timings(self) -> tuple[list[tuple[slice, float, float]], dict[str, float]]:
        """The seconds that all threads have spent on training so far.

        *Returns* for each layer of the engine: the layers of the notation that it stands for, seconds forward, seconds
        backward; and the rest: reading images, loss, update, waiting for other threads.
        """
        pieces = self.library.drilldown_pieces(self.handle)
        layers = (pieces - len(REST)) // 2
        pairs, seconds = torch.zeros(layers, 2, dtype=torch.int32), torch.zeros(pieces, dtype=torch.float64)
        self.library.drilldown_specs(self.handle, pairs.data_ptr())
        self.library.drilldown_time(self.handle, seconds.data_ptr())
        forward, backward = seconds[: 2 * layers].view(layers, 2).T.tolist()
        places = [slice(first, first + count) for first, count in pairs.tolist()]
        rest = dict(zip(REST, seconds[2 * layers :].tolist(), strict=True))
        return list(zip(places, forward, backward, strict=True)), rest

    @property
    def _has_momentum(self) -> bool:
        return isinstance(self.recipe.optimizer, SGD) and self.recipe.optimizer.momentum > 0

    def _module(self, weights: torch.Tensor, running: torch.Tensor) -> nn.Module:
        """A copy of the network with these weights and statistics."""
        module = copy.deepcopy(self.network)
        with torch.no_grad():
            for parameter, values in zip(module.parameters(), _parts(weights, module.parameters()), strict=True):
                parameter.copy_(values.view_as(parameter))
            statistics = list(_statistics(module))
            for buffer, values in zip(statistics, _parts(running, statistics), strict=True):
                buffer.copy_(values)
            for name, buffer in module.named_buffers():
                if name.endswith("num_batches_tracked"):
                    buffer.fill_(self.steps_done)
        return module

    def _create(self, layers: list[Layer], dataset: Dataset, threads: int) -> ctypes.c_void_p:
        recipe = self.recipe
        assert isinstance(recipe.optimizer, SGD)
        specs = [_spec(layer) for layer in layers]
        mean, std = dataset.mean[0], dataset.std[0]
        images = Images(*dataset.image_shape[1:], 1 / (255 * std), -mean / std)
        settings = NativeRecipe(
            recipe.batch_size, recipe.optimizer.nesterov, recipe.optimizer.momentum, recipe.optimizer.weight_decay,
            recipe.label_smoothing, recipe.ema or 0.0,
        )  # fmt: skip
        averaged = recipe.ema is not None
        state = NativeState(
            self.weights.data_ptr(), self.gradients.data_ptr(), self.momentum.data_ptr(),
            self.average.data_ptr() if averaged else None,
            self.running.data_ptr(), self.average_running.data_ptr() if averaged else None,
        )  # fmt: skip
        try:
            handle = self.library.drilldown_new(
                (LayerSpec * len(specs))(*specs), len(specs), ctypes.byref(images), ctypes.byref(settings),
                ctypes.byref(state), threads,
            )  # fmt: skip
        except NativeError as error:
            raise EngineUnavailableError(error.reason) from None
        needed = self.library.drilldown_bytes(handle)
        fits = needed <= MEMORY_LIMIT
        try:
            if fits:
                self.library.drilldown_allocate(handle)
        except NativeError:
            fits = False
        if not fits:
            self.library.drilldown_delete(handle)
            raise EngineUnavailableError(
                f"it would take {math.ceil(needed / 1e6):,} MB for this network and batch size"
            )
        return ctypes.c_void_p(handle)


def _spec(layer: Layer) -> LayerSpec:
    spec = LayerSpec(kind=KINDS.index(type(layer)))
    if isinstance(layer, Conv):
        spec.out, spec.kernel, spec.stride = layer.out, layer.kernel, layer.stride
        spec.pad, spec.groups, spec.bias = layer.pad, layer.groups, layer.bias
    elif isinstance(layer, Linear):
        spec.out = layer.out
    elif isinstance(layer, MaxPool | AvgPool):
        spec.size = layer.size
    elif isinstance(layer, Dropout):
        spec.probability = layer.probability
    return spec


def _statistics(module: nn.Module) -> list[torch.Tensor]:
    """The running means and variances of batch norm, layer by layer."""
    return [buffer for name, buffer in module.named_buffers() if not name.endswith("num_batches_tracked")]


def _parts(flat: torch.Tensor, tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Views of a flat tensor, one for each of the tensors that it was made from."""
    return list(torch.split(flat, [tensor.numel() for tensor in tensors]))
