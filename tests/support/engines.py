"""A reference for both engines: training in float64 with PyTorch's own modules and optimizer."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from drilldown.data.augmentation import AugmentationDraws, augment_images
from drilldown.data.dataset import Dataset, Split
from drilldown.data.targets import Targets
from drilldown.data.teacher import Teacher
from drilldown.data.transforms import Augmentation
from drilldown.engines.engine import Engine, EpochPlan
from drilldown.engines.native.engine import NativeEngine
from drilldown.engines.native.specs import describe, why_no_entry
from drilldown.engines.torch import TorchEngine
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.network import Network
from drilldown.experiment.optimizers import SGD, Adam, AdamW
from drilldown.experiment.recipe import Recipe
from drilldown.network.blocks import Block
from drilldown.network.layers import Conv, Dropout2d, Linear
from drilldown.network.layers.others import Excitation
from drilldown.network.layout import lay_out
from drilldown.randomness import stream, stream_seed

CLASSES = 4


def make_dataset(
    images: int,
    side: tuple[int, int],
    *,
    seed: int = 0,
    classes: int = CLASSES,
    channels: int = 1,
    taught: bool = False,
) -> Dataset:
    """Makes noise in which neighbouring pixels differ, so that maxima are not tied."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (images, channels, *side), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, classes, (images,), generator=generator)
    split = Split(pixels, labels, targets=make_targets(images, classes) if taught else None)
    means, stds = (0.45, 0.3, 0.6, 0.5)[:channels], (0.3, 0.2, 0.25, 0.4)[:channels]
    return Dataset("noise", split, split, classes, means, stds, "noise")


def make_targets(images: int, classes: int = CLASSES) -> Targets:
    """Makes probabilities that are far from the labels, some of them 0."""
    logits = 3 * torch.randn(images, classes, generator=torch.Generator().manual_seed(1))
    logits[::5, 0] = -torch.inf
    return Targets(logits.softmax(1), torch.ones(images, dtype=torch.bool), Teacher())


def make_engine(name: str, layers: Sequence[Block], recipe: Recipe, dataset: Dataset, *, threads: int = 2) -> Engine:
    experiment = Experiment(title="contract", network=Network(layers=tuple(layers)), recipe=recipe)
    experiment.__dict__["image"] = (dataset.image_shape, dataset.classes)  # in place of a folder of IDX files
    if name == "native":
        return NativeEngine(experiment, dataset, seed=0, threads=threads)
    return TorchEngine(experiment.build_for_training(0), recipe, dataset, device=torch.device("cpu"))


def make_plan(
    rows: torch.Tensor, rates: list[float], epoch: int = 1, draws: AugmentationDraws | None = None
) -> EpochPlan:
    return EpochPlan(epoch, rows, draws or AugmentationDraws(None, None), rates, stream_seed(0, "dropout", epoch))


def gradients(engine: Engine) -> list[torch.Tensor]:
    """Returns the gradients of the last step."""
    if isinstance(engine, NativeEngine):
        parts = engine.flat.split(engine.gradients)
        return [parts[name].double() for name, _ in engine.network.named_parameters()]
    assert isinstance(engine, TorchEngine)
    return [p.grad.double() for p in engine.network.parameters() if p.grad is not None]


class MaskedDropout(nn.Module):
    """Dropout with a given mask."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.mask: torch.Tensor | None = None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if not self.training or self.mask is None:
            return inputs
        return inputs * self.mask.to(inputs.dtype) / (1 - self.p)


def native_mask(epoch_key: int, layer: int, positions: range, shape: tuple[int, ...], p: float) -> torch.Tensor:
    """Returns the native engine's mask, (samples, *shape), true where a value is kept.

    SplitMix64 seeds a xorshift32 generator for each sample.
    """
    mask64 = 2**64 - 1

    def spread(value: int) -> int:
        value = (value + 0x9E3779B97F4A7C15) & mask64
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask64
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask64
        return value ^ (value >> 31)

    begun = spread((epoch_key + layer) & mask64)
    state = np.array([(spread((begun + position) & mask64) >> 32) or 1 for position in positions], dtype=np.uint32)
    kept = np.empty((len(positions), int(np.prod(shape))), dtype=bool)
    threshold = min(round(p * 2**32), 2**32 - 1)
    for i in range(kept.shape[1]):
        state ^= state << np.uint32(13)
        state ^= state >> np.uint32(17)
        state ^= state << np.uint32(5)
        kept[:, i] = state >= threshold
    return torch.from_numpy(kept).view(len(positions), *shape)


@dataclass
class Reference:
    """A training in float64."""

    layers: Sequence[Block]
    recipe: Recipe
    dataset: Dataset
    start: nn.Module
    module: nn.Module = field(init=False)
    average: nn.Module = field(init=False)
    single: nn.Module = field(init=False)
    """The same network in float32."""
    rounding: float = field(init=False, default=0.0)
    """The largest error of any gradient of the last step, computed by PyTorch in float32."""
    closest: float = field(init=False, default=np.inf)
    """The smallest distance of a relu's input from 0, of a maximum from the next value, or of a weight from the middle
    of two steps; rounding may reverse it."""

    def __post_init__(self) -> None:
        self.placed = lay_out(self.layers, self.dataset.image_shape, self.dataset.classes)
        self.module = copy.deepcopy(self.start).double()
        for name, child in list(self.module.named_modules()):
            if isinstance(child, nn.Dropout | nn.Dropout2d):
                parent, _, own = name.rpartition(".")
                setattr(self.module.get_submodule(parent), own, MaskedDropout(child.p))
            elif hasattr(child, "inplace"):
                child.inplace = False
        if self.recipe.precision == "int4":
            self._round_weights()
        self.average, self.single = copy.deepcopy(self.module), copy.deepcopy(self.module).float()
        for child in self.module.modules():
            if isinstance(child, nn.ReLU | nn.LeakyReLU | nn.PReLU | nn.Hardswish):
                child.register_forward_pre_hook(self._watch_kink)
            elif isinstance(child, Excitation):
                child.squeeze.register_forward_hook(lambda module, _, output: self._watch_kink(module, (output,)))
            elif isinstance(child, nn.MaxPool2d):
                child.register_forward_pre_hook(self._watch_maximum)
        self.optimizer = make_optimizer(self.recipe, self.module)
        self.steps = 0

    def step(
        self, rows: torch.Tensor, rate: float, position: int = 0, epoch: int = 1, draws: AugmentationDraws | None = None
    ) -> float:
        """Makes one step; returns the mean loss before it."""
        pixels = augment_images(
            self.dataset.train.images[rows], draws or AugmentationDraws(None, None), self.recipe.augment.interpolation
        ).double()
        self.module.train()
        self.closest = np.inf
        key = stream(0, "dropout", epoch).initial_seed()
        is_native = not any(map(why_no_entry, self.placed))
        steps = describe(self.placed).steps if is_native else list(range(len(self.placed)))
        for i, item in enumerate(self.placed):
            child = self.module.get_submodule(item.name)
            if isinstance(child, MaskedDropout):
                positions = range(position, position + len(rows))
                shape = (item.input[0], 1, 1) if isinstance(item.layer, Dropout2d) else item.input
                mask = native_mask(key, steps.index(i), positions, shape, child.p)
                child.mask = self.single.get_submodule(item.name).mask = mask
        self.single.train().load_state_dict(self.module.state_dict())
        self.single.zero_grad()
        logits = self.module(self._normalised(pixels))
        loss = self._loss(logits, rows)
        self.optimizer.zero_grad()
        loss.backward()
        self._loss(self.single(self._normalised(pixels).float()), rows).backward()
        pairs = zip(self.single.parameters(), self.module.parameters(), strict=True)
        self.rounding = max(
            float((one.grad - two.grad).abs().max())
            for one, two in pairs
            if one.grad is not None and two.grad is not None
        )
        for parameter in self.module.parameters():
            if parameter.grad is not None:
                parameter.grad += self.recipe.l1 * parameter.detach().sign()
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        self.steps += 1
        if self.recipe.ema:
            decay = min(self.recipe.ema, (1 + self.steps) / (10 + self.steps))
            old, new = self.average.state_dict(), self.module.state_dict()
            for name in old:
                if old[name].is_floating_point():
                    old[name].mul_(decay).add_(new[name], alpha=1 - decay)
                else:
                    old[name].copy_(new[name])
        return float(loss.detach())

    def state(self) -> dict[str, torch.Tensor]:
        """Returns the state from which an engine can continue."""
        tensors = {f"network.{k}": v for k, v in self.module.state_dict().items()}
        if self.recipe.ema:
            tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for name, parameter in self.module.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if value is not None:
                    tensors[f"optimizer.{name}.{key}"] = value
        return {k: v.detach().float().clone() if v.is_floating_point() else v.clone() for k, v in tensors.items()}

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the logits of the judged weights, in evaluation mode."""
        module = (self.average if self.recipe.ema else self.module).eval()
        with torch.no_grad():
            result: torch.Tensor = module(self._normalised(images.double()))
        return result

    def _loss(self, logits: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The formula of the cross-entropy."""
        train, smoothing, classes = self.dataset.train, self.recipe.label_smoothing, self.dataset.classes
        hard = F.one_hot(train.labels[rows], classes)
        shares = (hard if train.targets is None else train.targets.probabilities[rows]).to(logits.dtype)
        return -(((1 - smoothing) * shares + smoothing / classes) * logits.log_softmax(1)).sum(1).mean()

    def _round_weights(self) -> None:
        """Makes convolutions and linear layers calculate with weights of 4 bits, the first and the last with 8."""
        names = [item.name for item in self.placed if isinstance(item.layer, Conv | Linear)]
        for name in names:
            child = self.module.get_submodule(name)
            child.__class__ = nn.Conv2d if isinstance(child, nn.Conv2d) else nn.Linear
            most, is_last = 127 if name in (names[0], names[-1]) else 7, name == names[-1]
            child.forward = functools.partial(_forward_rounded, child, most, is_last)
            child.register_forward_pre_hook(functools.partial(self._watch_steps, most, is_last))

    def _watch_steps(self, most: int, is_last: bool, module: nn.Module, _: object) -> None:
        weight = module.get_parameter("weight").detach()
        if weight.dtype == torch.float64:
            scaled = weight / _steps(weight, most, is_last)
            middle = (scaled - scaled.floor() - 0.5).abs().min()
            self.closest = min(self.closest, float(middle) * 10)  # of numbers up to `most`, not up to 1

    def _normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(value)[:, None, None] for value in (self.dataset.mean, self.dataset.std))
        return (pixels / 255 - mean) / std

    def _watch_kink(self, module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        places = (-3.0, 3.0) if isinstance(module, nn.Hardswish) else (0.0,)
        for place in places:
            distances = (inputs[0].detach() - place).abs()
            distances = distances[distances > 0]
            if len(distances):
                self.closest = min(self.closest, float(distances.min()))

    def _watch_maximum(self, module: nn.MaxPool2d, inputs: tuple[torch.Tensor]) -> None:
        x, size = inputs[0].detach(), int(module.kernel_size)  # type: ignore[arg-type]
        if size == 1:
            return
        padding, stride = int(module.padding), int(module.stride)  # type: ignore[arg-type]
        x = F.pad(x, [padding] * 4, value=-1e300)  # in place of minus infinity, whose differences are no numbers
        windows = F.unfold(x.flatten(0, 1)[:, None], size, stride=stride)
        top = windows.topk(2, dim=1).values
        gaps = top[:, 0] - top[:, 1]
        gaps = gaps[gaps > 0]
        if len(gaps):
            self.closest = min(self.closest, float(gaps.min()))


def _steps(weight: torch.Tensor, most: int, is_last: bool) -> torch.Tensor:
    rows = weight.detach().abs().flatten(1).max(1).values
    rows = rows.max().expand_as(rows) if is_last else rows
    return rows.view(-1, *[1] * (weight.dim() - 1)) / most


def _forward_rounded(module: nn.Module, most: int, is_last: bool, inputs: torch.Tensor) -> torch.Tensor:
    exact = module.get_parameter("weight")
    steps = _steps(exact, most, is_last)
    weight = exact + ((exact / steps).round() * steps - exact).detach()
    if isinstance(module, nn.Conv2d):
        return F.conv2d(inputs, weight, module.bias, module.stride, module.padding, module.dilation, module.groups)
    assert isinstance(module, nn.Linear)
    return F.linear(inputs, weight, module.bias)


def make_optimizer(recipe: Recipe, module: nn.Module) -> torch.optim.Optimizer:
    """Makes PyTorch's own optimizer; a step sets its learning rate."""
    optimizer = recipe.optimizer
    if isinstance(optimizer, SGD):
        return torch.optim.SGD(
            module.parameters(), 1.0, optimizer.momentum,
            nesterov=optimizer.nesterov, weight_decay=optimizer.weight_decay,
        )  # fmt: skip
    assert isinstance(optimizer, Adam | AdamW)
    kind = torch.optim.AdamW if isinstance(optimizer, AdamW) else torch.optim.Adam
    return kind(module.parameters(), 1.0, betas=optimizer.betas, eps=optimizer.eps, weight_decay=optimizer.weight_decay)


def assert_close(
    found: torch.Tensor, expected: torch.Tensor, what: str, relative: float = 1e-4, floor: float = 1e-6
) -> None:
    """Compares relative to the norm, with a floor for values near zero."""
    error, size = float((found.double() - expected.double()).norm()), float(expected.double().norm())
    assert error <= relative * size + floor * expected.numel() ** 0.5, f"{what}: off by {error:.3g} of {size:.3g}"


def check(
    name: str,
    layers: Sequence[Block],
    recipe: Recipe,
    side: tuple[int, int],
    batches: int = 20,
    threads: int = 2,
    channels: int = 1,
    taught: bool = False,
) -> int:
    """Trains batches, each from the reference's weights; returns the number of batches that could be compared.

    A batch in which rounding may decide on a relu or a maximum is stepped over: both answers would be right.
    """
    size = recipe.batch_size
    dataset = make_dataset(size * batches, side, channels=channels, taught=taught)
    engine = make_engine(name, layers, recipe, dataset, threads=threads)
    reference = Reference(layers, recipe, dataset, _start(engine))
    # In oneDNN's layout, PyTorch adds up each sum of a batch norm in a single float32, which is less exact.
    absolute = 1e-6 if name == "native" else 1e-5
    compared = 0
    for batch in range(batches):
        rows, rate = torch.arange(batch * size, (batch + 1) * size), 0.05 / (1 + batch)
        if batch:
            engine.restore(reference.state())
        plan = make_plan(rows, [rate], epoch=batch + 1)
        tally = engine.train_epoch(plan)
        loss = reference.step(rows, rate, epoch=batch + 1)
        if reference.closest < 3e-6:
            continue
        compared += 1
        assert abs(tally.loss - loss) <= 1e-5 * (1 + abs(loss)), f"loss {tally.loss}, expected {loss}"
        expected = [p.grad for p in reference.module.parameters()]
        names = [n for n, _ in reference.module.named_parameters()]
        # Where digits cancel (a bias before a norm has no gradient), no float32 arithmetic is more exact than this.
        floor = 5 * absolute + 10 * reference.rounding
        for n, got, want in zip(names, gradients(engine), expected, strict=True):
            assert want is not None, n
            assert_close(got, want, f"gradient of {n}", floor=floor)
        state = engine.state()
        for key, want in reference.state().items():
            assert_close(state[key], want, key, floor=absolute)
    assert_close(engine.evaluate(dataset.test).logits, reference.logits(dataset.test.images), "scores", 1e-3, 1e-4)
    return compared


def _start(engine: Engine) -> nn.Module:
    return copy.deepcopy(engine.network)  # type: ignore[attr-defined]


def warped_gradients(
    draws: AugmentationDraws, interpolation: str, name: str, channels: int = 1
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Returns the actual and the expected gradient of a linear layer, which is a weighted sum of the images."""
    recipe = Recipe(batch_size=20, augment=Augmentation(interpolation=interpolation))  # type: ignore[arg-type]
    layers = ["flatten", f"linear {CLASSES}"]
    dataset = make_dataset(20, (9, 12), channels=channels)
    engine = make_engine(name, layers, recipe, dataset)
    reference = Reference(layers, recipe, dataset, engine.network)  # type: ignore[attr-defined]
    rows = torch.arange(20).flip(0)
    engine.train_epoch(make_plan(rows, [0.0], draws=draws))
    reference.step(rows, 0.0, draws=draws)
    return gradients(engine), [p.grad for p in reference.module.parameters() if p.grad is not None]
