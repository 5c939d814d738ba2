"""A network for inference: a list of nodes, which `folding.py` makes from a trained network.

Batch norms, dropout and the normalisation of the images are gone: they are folded into the weights. The image of a
graph has raw pixels, 0…255. Tensors are (channels, height, width); after a flatten they are (features, 1, 1).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
import torch.nn.functional as F

from drilldown.network.layout import IMAGE

Shape = tuple[int, int, int]
"""(channels, height, width)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """A step of the calculation."""

    kind: ClassVar[str]
    """The word for the node, in messages and comments."""
    name: str
    """The name of the layer that it comes from."""
    sources: tuple[int, ...]
    """The indices of the nodes whose outputs it takes, IMAGE for the image."""
    input: Shape
    output: Shape

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Its output, (N, channels, height, width), for batches of its inputs, in their precision."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conv(Node):
    """A convolution with bias, or a linear layer, which is a 1x1 convolution of an image of one pixel."""

    kind = "conv"
    weight: torch.Tensor
    """(out, in/groups, kernel, kernel), float64."""
    bias: torch.Tensor
    """(out,), float64."""
    stride: int = 1
    pad: int = 0
    dilation: int = 1
    groups: int = 1
    padding: torch.Tensor | None = None
    """(in,): the value of each channel outside of the image; None for zeros."""
    relu: bool = False
    bits: int = 8
    """Of a weight as an integer, with its sign."""
    steps: torch.Tensor | None = None
    """(out,), float64: the training rounded the weights to whole numbers times these; None where it rounded none."""

    @property
    def kernel(self) -> int:
        """The side of the kernel, without the gaps of the dilation."""
        return self.weight.shape[2]

    @property
    def is_linear(self) -> bool:
        """Whether it is a linear layer."""
        return self.input[1:] == (1, 1) and self.kernel == self.groups == 1 and not self.pad

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        weight, bias = self.weight.to(values.dtype), self.bias
        if self.padding is not None:
            values, bias = values - self.padding.to(values.dtype).view(-1, 1, 1), self.centred_bias
        bias = bias.to(values.dtype)
        result = F.conv2d(values, weight, bias, self.stride, self.pad, self.dilation, self.groups)
        return result.relu() if self.relu else result

    def scaled(self, scale: torch.Tensor, shift: torch.Tensor | float = 0.0) -> Conv:
        """The same with each output channel times a number, plus another one.

        *Arguments*: `scale`, `shift`: (out,).
        """
        steps = None if self.steps is None else self.steps * scale.abs()
        weight, bias = self.weight * scale.view(-1, 1, 1, 1), self.bias * scale + shift
        return replace(self, weight=weight, bias=bias, steps=steps)

    @property
    def centred_bias(self) -> torch.Tensor:
        """The bias after the padding is subtracted from the input: then padding with it is padding with zeros."""
        assert self.padding is not None
        return self.bias + sums_by_output(self.weight, self.padding.double(), self.groups)


def sums_by_output(weight: torch.Tensor, values: torch.Tensor, groups: int) -> torch.Tensor:
    """The sums of a convolution, (out,), for an image whose channels are constant.

    *Arguments*: `weight`: (out, in/groups, kernel, kernel). `values`: (in,).
    """
    out, seen = weight.shape[:2]
    seen_values = values.view(groups, 1, seen).expand(groups, out // groups, seen).reshape(out, seen)
    return (weight.sum((2, 3)) * seen_values).sum(1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Activation(Node):
    """A function of single numbers."""

    kind = "activation"
    function: str
    """relu, leaky, silu, gelu or hardswish."""
    slope: float = 0.0
    """The slope of `leaky` for negative numbers; a prelu is one, too."""

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        match self.function:
            case "relu":
                return values.relu()
            case "leaky":  # the slope of a prelu can be negative or above 1
                return torch.where(values > 0, values, values * self.slope)
            case "silu":
                return F.silu(values)
            case "gelu":
                return F.gelu(values)
            case "hardswish":
                return F.hardswish(values)
        raise AssertionError(self.function)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool(Node):
    """The base of poolings with square windows."""

    size: int
    stride: int
    pad: int = 0


class MaxPool(Pool):
    """The maximum of each window."""

    kind = "maxpool"

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        return F.max_pool2d(values, self.size, self.stride, self.pad)


class AvgPool(Pool):
    """The mean of each window; padding counts as zeros."""

    kind = "avgpool"

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        return F.avg_pool2d(values, self.size, self.stride, self.pad)


class BlurPool(Pool):
    """A mean with binomial weights of each window; the edges are mirrored."""

    kind = "blurpool"

    @property
    def row(self) -> tuple[int, ...]:
        """The weights along one side; a pixel's weight is the product of two, over 4 to the power of size − 1."""
        return binomials(self.size)

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        row = torch.tensor(self.row, dtype=torch.float64) / 2 ** (self.size - 1)
        channels = values.shape[1]
        kernel = torch.outer(row, row).to(values.dtype).expand(channels, 1, self.size, self.size)
        padded = F.pad(values, [self.size // 2] * 4, mode="reflect")
        return F.conv2d(padded, kernel, stride=self.stride, groups=channels)


class Mean(Node):
    """The mean of each channel."""

    kind = "gap"

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        return values.mean((2, 3), keepdim=True)


class Flatten(Node):
    """All numbers as channels of an image of one pixel: first all pixels of channel 0, row by row."""

    kind = "flatten"

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        return values.flatten(1)[:, :, None, None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Add(Node):
    """The sum at the end of a skip."""

    kind = "add"
    relu: bool = False

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        one, other = inputs
        result = one + other
        return result.relu() if self.relu else result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupNorm(Node):
    """The normalisation of each image over groups of channels."""

    kind = "gn"
    groups: int
    epsilon: float
    weight: torch.Tensor
    """(channels,), float64."""
    bias: torch.Tensor
    """(channels,), float64."""

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        weight, bias = self.weight.to(values.dtype), self.bias.to(values.dtype)
        return F.group_norm(values, self.groups, weight, bias, self.epsilon)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Excitation(Node):
    """Squeeze and excitation: each channel is multiplied by a number that follows from the means of all channels."""

    kind = "se"
    squeeze: torch.Tensor
    """(hidden, channels), float64."""
    squeeze_bias: torch.Tensor
    excite: torch.Tensor
    """(channels, hidden), float64."""
    excite_bias: torch.Tensor

    def calculate(self, *inputs: torch.Tensor) -> torch.Tensor:
        (values,) = inputs
        tensors = (self.squeeze, self.squeeze_bias, self.excite, self.excite_bias)
        squeeze, squeeze_bias, excite, excite_bias = (tensor.to(values.dtype) for tensor in tensors)
        hidden = F.linear(values.mean((2, 3)), squeeze, squeeze_bias).relu()
        return values * torch.sigmoid(F.linear(hidden, excite, excite_bias))[:, :, None, None]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A network for inference. The output of the last node has the logits, (classes, 1, 1)."""

    image: Shape
    nodes: tuple[Node, ...]
    takers: Counter[int] = field(init=False)
    """The number of inputs that each node's output is, by the node's index."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "takers", Counter(source for node in self.nodes for source in node.sources))

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.nodes[-1].output[0]

    def shape_of(self, source: int) -> Shape:
        """The shape of a node's output, or of the image."""
        return self.image if source == IMAGE else self.nodes[source].output

    def calculate(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yields the outputs of all nodes, in their order; an output that no later node takes is let go of.

        *Arguments*: `images`: (N, channels, height, width), 0…255, in the precision of the calculation.
        """
        values, left = {IMAGE: images}, Counter(self.takers)
        for index, node in enumerate(self.nodes):
            values[index] = node.calculate(*(values[source] for source in node.sources))
            left.subtract(node.sources)
            for source in set(node.sources):
                if not left[source]:
                    del values[source]
            yield values[index]

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """The logits, (N, classes), of images as in `calculate`."""
        *_, last = self.calculate(images)
        return last.flatten(1)


def is_proportional(node: Node) -> bool:
    """Whether a channel times a positive factor gives its output times the factor, each channel for itself."""
    if isinstance(node, Activation):
        return node.function in ("relu", "leaky")
    return isinstance(node, Pool | Mean)


def binomials(size: int) -> tuple[int, ...]:
    """The weights along one side of a blur.

    >>> binomials(5)
    (1, 4, 6, 4, 1)
    """
    return tuple(math.comb(size - 1, index) for index in range(size))
