"""Quantises a graph after the training: weights with 8 bits for each channel, activations with 8 bits for each tensor.

Weights that the training rounded stay the whole numbers that they are.

The ranges of the activations are the smallest and the largest numbers that some training images give. The test images
play no part.

*Source* of the scheme: Jacob and others, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", 2018. The multipliers are our own: a multiplier and a shift are chosen first, and
the scale of the weights follows from them. So a multiplier of 8 bits loses nothing, and nothing needs 64 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from drilldown.errors import DrilldownError, Problem
from drilldown.export import graph
from drilldown.export.equalise import equalise
from drilldown.export.graph import Graph, Node
from drilldown.export.integer import (
    LARGEST,
    IntegerAdd,
    IntegerAvgPool,
    IntegerBlurPool,
    IntegerConv,
    IntegerFlatten,
    IntegerGraph,
    IntegerMaxPool,
    IntegerMean,
    IntegerNode,
    Levels,
    Table,
)
from drilldown.network.layout import IMAGE

CALIBRATION_IMAGES = 1_000
"""The number of training images that give the ranges of the activations."""
WIDEST_BLUR = 13
"""The largest blur whose sums have 32 bits."""
LARGEST_WEIGHT = 127
LARGEST_RATIO = 0.5
"""Of a step of a weight times a step of its input to a step of the output. Then each channel has a shift."""
_SUMS, _PRODUCTS = 2**31, 2**32
"""Sums are signed, products with a multiplier are not."""


def why_no_int8(network: Graph) -> Problem | None:
    """The layer that has no calculation with integers; None where all have one."""
    for node in network.nodes:
        if isinstance(node, graph.GroupNorm | graph.Excitation):
            found = f"{node.kind} cannot be calculated with 8-bit integers"
        elif isinstance(node, graph.BlurPool) and node.size > WIDEST_BLUR:
            found = f"a blurpool of {node.size}x{node.size} cannot be calculated with 32-bit sums"
        else:
            continue
        return Problem(place=f"network: {node.name}", found=found, suggestion="export it with --to onnx,c")
    return None


def calibration_images(images: torch.Tensor) -> torch.Tensor:
    """Some of the training images, in equal distances: a dataset may be sorted by class.

    >>> calibration_images(torch.arange(3000))[:3].tolist()
    [0, 3, 6]
    """
    count = min(len(images), CALIBRATION_IMAGES)
    return images[torch.arange(count) * len(images) // count]


@torch.inference_mode()
def find_ranges(network: Graph, images: torch.Tensor) -> list[tuple[float, float]]:
    """The smallest and the largest number of each node's output, at most 0 and at least 0.

    *Arguments*: `images`: (N, channels, height, width), uint8.
    """
    ranges = [(0.0, 0.0)] * len(network.nodes)
    for batch in torch.split(images, 250):
        for index, output in enumerate(network.calculate(batch.float())):
            low, high = ranges[index]
            ranges[index] = min(low, float(output.min())), max(high, float(output.max()))
    return ranges


def quantise(network: Graph, images: torch.Tensor) -> IntegerGraph:
    """Quantises a graph.

    *Arguments*: `images`: the images that give the ranges, (N, channels, height, width), uint8.

    *Raises* DrilldownError where a layer has no calculation with integers.
    """
    obstacle = why_no_int8(network)
    if obstacle is not None:
        raise DrilldownError(obstacle)
    network = equalise(network, images)
    quantiser = _Quantiser(network, _narrowed(network, find_ranges(network, images)))
    for index, node in enumerate(network.nodes):
        quantiser.nodes.append(quantiser.quantised(index, node))
    return IntegerGraph(network.image, tuple(quantiser.nodes))


def _narrowed(network: Graph, ranges: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The ranges without the numbers that an activation maps to nearly the same: so the steps of the others are finer.

    A silu of −6 and one of −60 are both 0, to within half a step of the output.
    """
    narrowed = list(ranges)
    for index, node in enumerate(network.nodes):
        if not isinstance(node, graph.Activation) or node.function == "leaky":
            continue
        (source,) = node.sources
        if source == IMAGE or network.takers[source] > 1:
            continue
        (low, high), (least, most) = ranges[source], ranges[index]
        numbers = torch.linspace(low, 0, 2_001, dtype=torch.float64)
        values = node.calculate(numbers)
        spread = torch.maximum(values.cummax(0).values - values, values - values.cummin(0).values)
        narrowed[source] = float(numbers[spread <= (most - least) / LARGEST / 2].max()), high
    return narrowed


class _Quantiser:
    """The integer nodes so far."""

    def __init__(self, network: Graph, ranges: Sequence[tuple[float, float]]) -> None:
        self.network, self.ranges = network, ranges
        self.nodes: list[IntegerNode] = []

    def levels_of(self, source: int) -> Levels:
        return Levels(1.0) if source == IMAGE else self.nodes[source].levels

    def quantised(self, index: int, node: Node) -> IntegerNode:
        """The integer node of a node whose sources are quantised."""
        common: dict[str, Any] = {
            "name": node.name, "sources": node.sources, "input": node.input, "output": node.output,
        }  # fmt: skip
        inputs = [self.levels_of(source) for source in node.sources]
        wanted, first = _levels(*self.ranges[index]), inputs[0]
        match node:
            case graph.Conv():
                return self._conv(index, node, first, wanted, common)
            case graph.Activation():
                return Table(**common, levels=wanted, table=_table(node, first, wanted), function=node.function)
            case graph.MaxPool() | graph.AvgPool() | graph.BlurPool():
                kinds: dict[type[Node], Callable[..., IntegerNode]] = {
                    graph.MaxPool: IntegerMaxPool, graph.AvgPool: IntegerAvgPool, graph.BlurPool: IntegerBlurPool,
                }  # fmt: skip
                return kinds[type(node)](**common, levels=first, size=node.size, stride=node.stride, pad=node.pad)
            case graph.Mean():
                return self._mean(index, node, first, common)
            case graph.Flatten():
                return IntegerFlatten(**common, levels=first)
            case graph.Add():
                return _quantise_add(inputs[0], inputs[1], wanted, common)
        raise AssertionError(node.kind)

    def _conv(
        self, index: int, node: graph.Conv, before: Levels, wanted: Levels, common: dict[str, Any]
    ) -> IntegerConv:
        """A convolution; its sums are kept where they are the logits, or where the logits are their means."""
        nodes = self.network.nodes
        following = nodes[index + 1 :]
        if not following:
            return _quantise_conv(node, before, None, common)
        if len(following) == 1 and isinstance(following[0], graph.Mean) and not node.relu:
            kept = _quantise_conv(node, before, None, common)
            if kept.bound * node.output[1] * node.output[2] < _SUMS:
                return kept
        return _quantise_conv(node, before, wanted, common)

    def _mean(self, index: int, node: graph.Mean, levels: Levels, common: dict[str, Any]) -> IntegerMean:
        """The sum where a linear layer takes it, or where it is the logits: nothing is rounded."""
        channels, height, width = node.input
        count, nodes = height * width, self.network.nodes
        before = self.nodes[node.sources[0]] if node.sources[0] != IMAGE else None
        if isinstance(before, IntegerConv) and before.multiplier is None:
            return IntegerMean(**common, levels=Levels(levels.scale / count), is_sum=True)
        takers = [taker for taker in nodes if index in taker.sources]
        is_small = channels * count * LARGEST * LARGEST_WEIGHT < _SUMS // 2
        if not is_small or not all(isinstance(taker, graph.Conv) and taker.is_linear for taker in takers):
            return IntegerMean(**common, levels=levels, is_sum=False)
        sums = Levels(levels.scale / count, levels.zero * count, levels.largest * count)
        return IntegerMean(**common, levels=sums, is_sum=True)


def _levels(low: float, high: float) -> Levels:
    """Levels for the numbers from `low`, at most 0, to `high`, at least 0; 0 itself is one of them.

    >>> _levels(0, 51), _levels(-1, 50)
    (Levels(scale=0.2, zero=0, largest=255), Levels(scale=0.2, zero=5, largest=255))
    """
    scale = (high - low) / LARGEST
    if not scale > 1e-30:  # a tensor that is always 0
        return Levels(1.0)
    return Levels(scale, min(LARGEST, round(-low / scale)))


def _table(node: graph.Activation, before: Levels, after: Levels) -> torch.Tensor:
    """The table of an activation."""
    values = node.calculate(before.value(torch.arange(LARGEST + 1)))
    return (values / after.scale + after.zero).round().clamp(0, LARGEST).to(torch.uint8)


def _quantise_conv(node: graph.Conv, before: Levels, after: Levels | None, common: dict[str, Any]) -> IntegerConv:
    """Quantises a convolution.

    *Arguments*: `before`, `after`: the levels of input and output; None where the sums are the output.
    """
    if after is None and not _has_one_step(node):
        node = replace(node, steps=None)
    steps = node.weight.abs().amax((1, 2, 3)) / LARGEST_WEIGHT if node.steps is None else node.steps
    if after is None:  # the logits need one scale, so that they can be compared
        channels = [_Channel(node, before, float(steps.max()) or 1.0)] * len(steps)
        while not all(channel.fits(index) for index, channel in enumerate(channels)):
            channels = [channels[0].coarser()] * len(steps)
        levels = Levels(channels[0].step * before.scale)
    else:
        least = float(steps.max()) * before.scale / LARGEST_RATIO
        levels = Levels(max(after.scale, least), after.zero)
        channels = [_Channel.finest(node, index, step, before, levels) for index, step in enumerate(steps.tolist())]
    weights, real, biases = zip(*(channel.integers(index) for index, channel in enumerate(channels)), strict=True)
    bounds = [max(map(abs, channel.ends(index))) for index, channel in enumerate(channels)]
    outside = node.padding if node.padding is not None else torch.full((node.input[0],), before.zero)
    return IntegerConv(
        **common,
        levels=levels,
        weight=torch.stack(weights).to(torch.int8),
        bias=torch.tensor(biases, dtype=torch.int32),
        multiplier=None if after is None else torch.tensor([channel.multiplier for channel in channels]),
        shift=None if after is None else torch.tensor([channel.shift for channel in channels]),
        weight_scale=torch.tensor([channel.step for channel in channels], dtype=torch.float64),
        real_bias=torch.tensor(real, dtype=torch.int32),
        padding=outside.double().round().long(),
        bound=max(bounds),
        stride=node.stride,
        pad=node.pad,
        dilation=node.dilation,
        groups=node.groups,
        relu=node.relu,
        bits=node.bits,
    )


def _has_one_step(node: graph.Conv) -> bool:
    """Whether all output channels have the same step, but for rounding; one whose weights are all 0 has none."""
    if node.steps is None:
        return False
    largest = node.steps.max()
    return bool((torch.isclose(node.steps, largest, rtol=1e-6, atol=0) | (node.steps == 0)).all())


@dataclass(frozen=True, slots=True)
class _Channel:
    """A way to quantise one output channel of a convolution."""

    node: graph.Conv
    before: Levels
    step: float
    """The scale of the weights."""
    multiplier: int = 0
    shift: int = 0
    zero: int = 0
    """Of the output."""

    @classmethod
    def finest(cls, node: graph.Conv, index: int, step: float, before: Levels, after: Levels) -> _Channel:
        """The one with the finest steps, from `step` on, whose sums and products have 32 bits.

        A multiplier with fewer bits makes the products smaller, and larger steps make the sums smaller. Weights that
        the training rounded keep their step, but for the rounding of the multiplier.
        """
        ratio, is_kept = step * before.scale / after.scale, node.steps is not None
        while ratio <= LARGEST_RATIO:
            for bits in range(8, 0, -1):
                multiplier, shift = _multiplier(ratio, bits, to_nearest=is_kept)
                step = multiplier / 2**shift * after.scale / before.scale
                channel = cls(node, before, step, multiplier, shift, after.zero)
                if channel.fits(index):
                    return channel
            if is_kept:
                break
            ratio = max(2 * ratio, 2.0**-31)
        raise DrilldownError(
            Problem(
                place=f"network: {node.name}",
                found=f"output channel {index} cannot be calculated with 32-bit sums",
                suggestion="export it with --to onnx,c",
            )
        )

    def coarser(self) -> _Channel:
        """The same with steps that are twice as large."""
        return _Channel(self.node, self.before, 2 * self.step)

    def integers(self, index: int) -> tuple[torch.Tensor, int, int]:
        """The weights, the bias in steps, and the bias with the zeros of input and output."""
        step = self.step if self.node.steps is None else float(self.node.steps[index]) or 1.0
        weights = (self.node.weight[index] / step).round().clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT)
        bias = round(float(self.node.bias[index]) / (self.step * self.before.scale))
        offset = (2 * self.zero * 2**self.shift + self.multiplier) // (2 * self.multiplier) if self.multiplier else 0
        return weights, bias, bias - self.before.zero * int(weights.sum()) + offset

    def ends(self, index: int) -> tuple[int, int]:
        """The smallest and the largest sum; also each unfinished sum is between them."""
        weights, _, bias = self.integers(index)
        low, high = (int(part.sum()) * self.before.largest for part in (weights.clamp(max=0), weights.clamp(min=0)))
        return min(0, bias + low), max(0, bias + high)

    def fits(self, index: int) -> bool:
        """Whether no sum and no product can overflow."""
        _, real, bias = self.integers(index)
        low, high = self.ends(index)
        if self.node.bits < 8 and self.node.weight[index].numel() * self.before.largest * 2**self.node.bits >= _SUMS:
            return False  # packed weights have no sign while they are multiplied
        product = high * self.multiplier + (1 << self.shift >> 1)
        return low > -_SUMS and high < _SUMS and product < _PRODUCTS and max(abs(real), abs(bias)) < _SUMS


def _multiplier(ratio: float, bits: int, *, to_nearest: bool = False) -> tuple[int, int]:
    """The smallest multiplier · 2^−shift that is at least `ratio`, with a multiplier of `bits` bits; or the nearest.

    >>> _multiplier(0.01, 8), _multiplier(0.01, 1)
    ((164, 14), (1, 6))
    """
    _, exponent = math.frexp(ratio)  # ratio is below 2^exponent, and at least half of it
    shift = min(31, max(1, bits - exponent))
    multiplier = max(1, (round if to_nearest else math.ceil)(ratio * 2**shift))
    if multiplier >> bits:  # rounded up to 2^bits
        return multiplier >> 1, shift - 1
    return multiplier, shift


def _quantise_add(one: Levels, other: Levels, wanted: Levels, common: dict[str, Any]) -> IntegerAdd:
    """Quantises a sum."""
    levels = Levels(max(wanted.scale, max(one.scale, other.scale) / 64), wanted.zero)
    ratios = one.scale / levels.scale, other.scale / levels.scale
    shift = min(21, math.floor(math.log2(2**29 / (LARGEST * sum(ratios)))))
    first, second = (round(ratio * 2**shift) for ratio in ratios)
    offset = (levels.zero << shift) - one.zero * first - other.zero * second + (1 << shift >> 1)
    assert abs(offset) + LARGEST * (first + second) < _SUMS
    return IntegerAdd(**common, levels=levels, multipliers=(first, second), offset=offset, shift=shift)
