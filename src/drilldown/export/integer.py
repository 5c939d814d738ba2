"""The integers of an int8 network, and the reference that calculates with them in PyTorch, exactly.

All that is exported as int8 is written from these integers. Activations are whole numbers 0…255: the number q stands
for scale · (q − zero). Weights are whole numbers ±127, or ±7 after a training with 4 bits. Sums
have 32 bits; `quantise.py` chooses the integers so that no sum can overflow. A sum s becomes an activation by one rule:

    0 where s ≤ 0, else (s · multiplier + 2^(shift − 1)) >> shift, at most 255

with a multiplier of 8 bits and a shift for each output channel. The product is below 2³².
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F

from drilldown.export.graph import Shape, binomials, sums_by_output
from drilldown.network.layout import IMAGE

MOST_IMAGES, MOST_COLUMNS = 500, 2**21
"""Images in one calculation of the reference, and numbers in the largest matrix of one: it fits into a cache."""
LARGEST = 255
"""The largest activation."""
_EXACT_IN_FLOAT = 2**24
"""Below it, float32 holds all whole numbers."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The meaning of a tensor's integers: q stands for scale · (q − zero).

    >>> Levels(0.5, 10).value(torch.tensor([10, 12])).tolist()
    [0.0, 1.0]
    """

    scale: float
    zero: int = 0
    largest: int = LARGEST
    """The largest integer that the tensor can have."""

    def value(self, integers: torch.Tensor) -> torch.Tensor:
        """The numbers that the integers stand for, float64."""
        return self.scale * (integers.double() - self.zero)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerNode:
    """A step of the calculation with integers."""

    kind: ClassVar[str]
    name: str
    sources: tuple[int, ...]
    input: Shape
    output: Shape
    levels: Levels
    """Of its output."""

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Its output, (N, channels, height, width), whole numbers in floating point, for such inputs."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerConv(IntegerNode):
    """A convolution, or a linear layer."""

    kind = "conv"
    weight: torch.Tensor
    """(out, in/groups, kernel, kernel), int8."""
    bias: torch.Tensor
    """(out,), int32; with the zeros of input and output."""
    multiplier: torch.Tensor | None
    """(out,), int64, 1…255; None where the sums are the output, as in the last layer."""
    shift: torch.Tensor | None
    """(out,), int64, 1…31."""
    weight_scale: torch.Tensor
    """(out,), float64: the numbers that the weights stand for are weight · weight_scale."""
    real_bias: torch.Tensor
    """(out,), int32: the bias in steps of weight_scale · scale of the input, without the zeros."""
    padding: torch.Tensor
    """(in,), int64, 0…255: the integers outside of the image."""
    bound: int
    """No sum, also no unfinished one, is farther from 0."""
    stride: int = 1
    pad: int = 0
    dilation: int = 1
    groups: int = 1
    relu: bool = False
    bits: int = 8
    """Of a weight, with its sign: 8, or 4 where the training chose them."""

    @property
    def kernel(self) -> int:
        """The side of the kernel, without the gaps of the dilation."""
        return self.weight.shape[2]

    @property
    def padding_sums(self) -> torch.Tensor:
        """(out,), int64: the sums, without the bias, where all pixels are those outside of the image."""
        return sums_by_output(self.weight.long(), self.padding, self.groups)

    def sums(self, values: torch.Tensor) -> torch.Tensor:
        """The 32-bit sums, int64.

        A product of matrices multiplies and adds the integers themselves, in some order: it is exact. The algorithms
        that PyTorch chooses for convolutions transform them first, and then they round.
        """
        values = values.to(torch.float32 if self.bound < _EXACT_IN_FLOAT else torch.float64)
        if self.pad:
            count, height, width, side = len(values), *values.shape[2:], 2 * self.pad
            framed = self.padding.to(values.dtype).view(-1, 1, 1).repeat(count, 1, height + side, width + side)
            framed[:, :, self.pad : self.pad + height, self.pad : self.pad + width] = values
            values = framed
        columns = F.unfold(values, self.kernel, self.dilation, 0, self.stride)
        weight = self.weight.to(values.dtype).view(self.groups, len(self.weight) // self.groups, -1)
        products = weight @ columns.view(len(values), self.groups, weight.shape[2], -1)
        return products.view(len(values), *self.output).long().add_(self.bias.long().view(-1, 1, 1))

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        sums = self.sums(values)
        if self.multiplier is None or self.shift is None:
            return sums.double()
        multiplier, shift = self.multiplier.view(-1, 1, 1), self.shift.view(-1, 1, 1)
        sums.clamp_(min=0).mul_(multiplier).add_(torch.ones_like(shift) << (shift - 1))
        return (sums >> shift).clamp_(max=LARGEST).float()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table(IntegerNode):
    """A function of single integers, as a table."""

    kind = "table"
    table: torch.Tensor
    """(256,), uint8."""
    function: str
    """The word of the activation."""

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        return self.table[values.long()].float()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerPool(IntegerNode):
    """The base of poolings with square windows; their outputs have the levels of their inputs."""

    size: int
    stride: int
    pad: int


class IntegerMaxPool(IntegerPool):
    """The maximum of each window."""

    kind = "maxpool"

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        return F.max_pool2d(values, self.size, self.stride, self.pad)


class IntegerAvgPool(IntegerPool):
    """The mean of each window, rounded; a half is rounded up. Padding counts as the zero of the levels."""

    kind = "avgpool"

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        framed = F.pad(values.double(), [self.pad] * 4, value=float(self.levels.zero))
        count = self.size**2
        sums = F.avg_pool2d(framed, self.size, self.stride, divisor_override=1).round_().long()
        return sums.add_(count // 2).div_(count, rounding_mode="floor").float()


class IntegerBlurPool(IntegerPool):
    """The mean with binomial weights of each window, rounded; a half is rounded up. The edges are mirrored."""

    kind = "blurpool"

    @property
    def row(self) -> tuple[int, ...]:
        """The weights along one side."""
        return binomials(self.size)

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        row, channels, bits = torch.tensor(self.row, dtype=torch.float64), values.shape[1], 2 * (self.size - 1)
        kernel = torch.outer(row, row).expand(channels, 1, self.size, self.size)
        mirrored = F.pad(values.double(), [self.size // 2] * 4, mode="reflect")
        sums = F.conv2d(mirrored, kernel, stride=self.stride, groups=channels).long()
        return (sums.add_((1 << bits) >> 1) >> bits).float()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerMean(IntegerNode):
    """The sum of each channel, for the linear layer behind it; or its mean, rounded; a half is rounded up."""

    kind = "gap"
    is_sum: bool

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        sums = values.double().sum((2, 3), keepdim=True)
        if self.is_sum:
            return sums
        count = self.input[1] * self.input[2]
        return sums.long().add_(count // 2).div_(count, rounding_mode="floor").float()


class IntegerFlatten(IntegerNode):
    """All numbers as channels of an image of one pixel."""

    kind = "flatten"

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        return values.flatten(1)[:, :, None, None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerAdd(IntegerNode):
    """The sum of two tensors with different levels: 0 where s ≤ 0, else s >> shift, at most 255.

    s is one · multipliers[0] + other · multipliers[1] + offset; the offset rounds.
    """

    kind = "add"
    multipliers: tuple[int, int]
    offset: int
    shift: int

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        one, other = (values.long() for values in inputs)
        sums = one * self.multipliers[0] + other * self.multipliers[1] + self.offset
        return (sums.clamp_(min=0) >> self.shift).clamp_(max=LARGEST).float()


@dataclass(frozen=True, slots=True, eq=False)
class IntegerGraph:
    """An int8 network. The output of the last node has the logits, (classes, 1, 1), as 32-bit integers."""

    image: Shape
    nodes: tuple[IntegerNode, ...]
    takers: Counter[int] = field(init=False)
    """The number of inputs that each node's output is, by the node's index."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "takers", Counter(source for node in self.nodes for source in node.sources))

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.nodes[-1].output[0]

    @property
    def levels(self) -> Levels:
        """The meaning of the logits' integers."""
        return self.nodes[-1].levels

    def calculate(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yields the outputs of all nodes, in their order.

        *Arguments*: `images`: (N, channels, height, width), uint8.
        """
        values, left = {IMAGE: images.float()}, Counter(self.takers)
        for index, node in enumerate(self.nodes):
            values[index] = node.calculate(*(values[source] for source in node.sources))
            left.subtract(node.sources)
            for source in set(node.sources):
                if not left[source]:
                    del values[source]
            yield values[index]

    @property
    def _batch(self) -> int:
        """The number of images that are calculated at once."""
        columns = (
            node.input[0] * node.kernel**2 * node.output[1] * node.output[2]
            for node in self.nodes
            if isinstance(node, IntegerConv)
        )
        return min(MOST_IMAGES, max(1, MOST_COLUMNS // max(columns, default=1)))

    @torch.inference_mode()
    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """The logits of images, (N, classes), int32, as the C code gives them.

        *Arguments*: `images`: (N, channels, height, width), uint8.
        """
        parts = []
        for batch in torch.split(images, self._batch):
            *_, last = self.calculate(batch)
            parts.append(last.flatten(1).to(torch.int32))
        return torch.cat(parts)
