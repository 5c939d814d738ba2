"""The native engine: a whole epoch in C++, for networks too small for PyTorch's convolutions.

README.md beside this file explains how it works. It covers what the studies use, on a CPU: nearly every layer of the
notation, SGD and Adam, label smoothing, averaging, augmentation, in fp32. `why_unsupported` gives the reason where it
cannot train an experiment.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable

import torch
from torch import nn

from drilldown.data.dataset import Dataset, Split
from drilldown.engines.engine import EpochPlan, OnProgress, Progress, check_finite
from drilldown.engines.native.flat import COUNT, FlatNetwork
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
from drilldown.engines.native.specs import describe, why_no_entry
from drilldown.evaluation.predictions import Evaluation, predict_logits
from drilldown.evaluation.records import Tally
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.optimizers import SGD, Adam, AdamW
from drilldown.experiment.recipe import Recipe
from drilldown.network.layers import Conv
from drilldown.network.modules import fold_network
from drilldown.network.rounding import round_network, roundings
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

OPTIMIZERS = ("sgd", "nesterov", "adam", "adamw")
"""In the order of Recipe::Optimizer in optimizer.hpp."""
MOMENTUM, SQUARES, STEP = "exp_avg", "exp_avg_sq", "step"
"""The names of Adam's tensors in a state."""


def why_unsupported(experiment: Experiment, device: torch.device) -> str | None:
    """The reason why the engine cannot train this, as a phrase; None where it can, as far as is known before."""
    recipe = experiment.recipe
    if device.type != "cpu":
        return f"it runs on the CPU only, not on {device.type}"
    if experiment.layout is None:
        return "the network is a Python module"
    if not isinstance(recipe.optimizer, SGD | Adam | AdamW):
        return f"it has no {recipe.optimizer.name}, only sgd, adam and adamw"
    missing = [name for name in recipe.augment.active() if name in ("perspective", "elastic", "erase")]
    if missing:
        return f"it has no augmentation by {join_words(missing)}"
    if recipe.precision == "bf16":
        return "it calculates in fp32, not in bf16"
    expanded = any(isinstance(item.layer, Conv) and item.layer.expand > 1 for item in experiment.layout)
    if recipe.precision == "int4" and expanded:  # its three convolutions would have to be folded in each step
        return "with int4, it has no convolution with expand="
    return next(filter(None, map(why_no_entry, experiment.layout)), None)


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
        self.mean, self.std = dataset.mean, dataset.std
        self.network = experiment.build_for_training(seed)
        self.folds = fold_network(self.network) is not self.network
        self.rounds = self.recipe.precision == "int4"
        self.flat = FlatNetwork(self.network, experiment.layout)
        self.weights, self.running = self.flat.read(self.network)
        self.gradients, self.momentum = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        self.squares = torch.zeros_like(self.weights) if self._is_adam else None
        self.average, self.average_running = self.weights.clone(), self.running.clone()
        self.steps_done = 0
        self.classes = dataset.classes
        described = describe(experiment.layout, roundings(self.network) if self.rounds else None)
        self.steps = described.steps
        self.handle = self._create(described.specs, dataset, threads)

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self.library.drilldown_delete(self.handle)

    def train_epoch(self, plan: EpochPlan, on_progress: OnProgress | None = None) -> Tally:
        """Trains one pass over the training images; see `Engine.train_epoch`."""
        steps, count = len(plan.learning_rates), len(plan.order)
        rates = torch.tensor(plan.learning_rates, dtype=torch.float64)
        order, labels = plan.order.contiguous(), self.split.labels[plan.order].contiguous()
        images, targets = self.split.images.contiguous(), self.split.targets
        probabilities = targets.probabilities[plan.order].contiguous() if targets else None
        inverse, intensity = plan.draws.inverse, plan.draws.brightness_contrast
        losses, correct = torch.zeros(steps, dtype=torch.float64), torch.zeros(steps, dtype=torch.int64)
        epoch = EpochInput(
            count, images.data_ptr(), order.data_ptr(), labels.data_ptr(),
            None if probabilities is None else probabilities.data_ptr(),
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
        weights, running = self._judged(raw)
        if self.folds:  # the network is judged as it is saved, and the C++ part has the wider one
            folded = fold_network(self._module(weights, running))
            return Evaluation.of(predict_logits(folded, split.images, self.mean, self.std), split.labels)
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
        module = self._module(*self._judged(raw=False))
        return round_network(module) if self.rounds else fold_network(module)

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
        for key, flat in self._buffers().items() if self.steps_done else ():
            tensors |= {f"optimizer.{name}.{key}": part.clone() for name, part in self.flat.split(flat).items()}
        if self._is_adam and self.steps_done:
            count = torch.tensor(float(self.steps_done))
            tensors |= {f"optimizer.{name}.{STEP}": count.clone() for name in self.flat.parameters}
        return tensors

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from a state that `state` returned."""

        def take(part: str, weights: torch.Tensor, running: torch.Tensor) -> None:
            prefix = f"{part}."
            module = self._module(weights, running)
            module.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
            for target, values in zip((weights, running), self.flat.read(module), strict=True):
                target.copy_(values)
            counts = [v for k, v in module.state_dict().items() if k.endswith(COUNT)]
            self.steps_done = max([self.steps_done, *map(int, counts)])

        take("network", self.weights, self.running)
        if self.recipe.ema is not None:
            take("average", self.average, self.average_running)
        for key, flat in self._buffers().items():
            for name, part in self.flat.split(flat).items():
                saved = state.get(f"optimizer.{name}.{key}")
                if saved is not None:
                    self.steps_done = max(self.steps_done, 1)
                    part.copy_(saved)
        counts = [int(state[key]) for name in self.flat.parameters if (key := f"optimizer.{name}.{STEP}") in state]
        self.steps_done = max([self.steps_done, *counts])

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
        places = [slice(self.steps[first], self.steps[first + count - 1] + 1) for first, count in pairs.tolist()]
        rest = dict(zip(REST, seconds[2 * layers :].tolist(), strict=True))
        return list(zip(places, forward, backward, strict=True)), rest

    @property
    def _is_adam(self) -> bool:
        return isinstance(self.recipe.optimizer, Adam | AdamW)

    def _buffers(self) -> dict[str, torch.Tensor]:
        """The flat tensors of the optimizer, by their names in a state."""
        if self.squares is not None:
            return {MOMENTUM: self.momentum, SQUARES: self.squares}
        has_momentum = isinstance(self.recipe.optimizer, SGD) and self.recipe.optimizer.momentum > 0
        return {"momentum_buffer": self.momentum} if has_momentum else {}

    def _judged(self, raw: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """The weights and statistics that are judged: with weight averaging, the averaged ones unless `raw`."""
        averaged = self.recipe.ema is not None and not raw
        return (self.average, self.average_running) if averaged else (self.weights, self.running)

    def _module(self, weights: torch.Tensor, running: torch.Tensor) -> nn.Module:
        return self.flat.module(weights, running, self.steps_done)

    def _create(self, specs: list[LayerSpec], dataset: Dataset, threads: int) -> ctypes.c_void_p:
        images, settings, averaged = _images(dataset), _settings(self.recipe), self.recipe.ema is not None
        state = NativeState(
            self.weights.data_ptr(), self.gradients.data_ptr(), self.momentum.data_ptr(),
            None if self.squares is None else self.squares.data_ptr(),
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


def _images(dataset: Dataset) -> Images:
    """The size of the images; the C++ part normalises a byte by `scale` and `shift` of its channel."""
    images = Images(*dataset.image_shape)
    for channel, (mean, std) in enumerate(zip(dataset.mean, dataset.std, strict=True)):
        images.scale[channel], images.shift[channel] = 1 / (255 * std), -mean / std
    return images


def _settings(recipe: Recipe) -> NativeRecipe:
    optimizer = recipe.optimizer
    rest = (optimizer.weight_decay, recipe.l1, recipe.label_smoothing, recipe.ema or 0.0)
    if isinstance(optimizer, Adam | AdamW):
        return NativeRecipe(recipe.batch_size, OPTIMIZERS.index(optimizer.name), *optimizer.betas, optimizer.eps, *rest)
    assert isinstance(optimizer, SGD)
    name = "nesterov" if optimizer.nesterov else "sgd"
    return NativeRecipe(recipe.batch_size, OPTIMIZERS.index(name), optimizer.momentum, 0.0, 0.0, *rest)
