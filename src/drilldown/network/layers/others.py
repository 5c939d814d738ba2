"""Layers that are no family: linear, flatten, dropout, squeeze and excitation, and the sum at the end of a skip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn

from drilldown.network.layers.layer import Layer, PlainLayer, Shape, ShapeError, below_one, image, only_number


@dataclass(frozen=True, slots=True)
class Flatten(PlainLayer):
    """Turns (channels, height, width) into (channels · height · width,)."""

    word = usage = "flatten"

    def output(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.Flatten()


@dataclass(frozen=True, slots=True)
class Linear(Layer):
    """A fully connected layer with bias."""

    word = "linear"
    usage = "linear OUT"
    whole = True
    out: int

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        return cls(only_number(cls, arguments, "number of outputs"))

    def output(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ShapeError("a flat input: put flatten or gap before it")
        return (self.out,)

    def parameters(self, shape: Shape) -> int:
        return self.out * (shape[0] + 1)

    def multiply_adds(self, shape: Shape) -> int:
        return self.out * shape[0]

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.Linear(shape[0], self.out)

    def __str__(self) -> str:
        return f"{self.word} {self.out}"


@dataclass(frozen=True, slots=True)
class Dropout(Layer):
    """Dropout: in training each number becomes 0 with probability P, and the others are multiplied by 1/(1−P)."""

    word = "dropout"
    usage = "dropout P"
    overwrites = True
    probability: float

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        return cls(below_one(cls, arguments, "probability"))

    def output(self, shape: Shape) -> Shape:
        return shape

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.Dropout(self.probability)

    def __str__(self) -> str:
        return f"{self.word} {self.probability!r}"


@dataclass(frozen=True, slots=True)
class Dropout2d(Dropout):
    """Dropout of channels: in training each becomes 0 with probability P; the others are multiplied by 1/(1−P)."""

    word = "dropout2d"
    usage = "dropout2d P"

    def output(self, shape: Shape) -> Shape:
        return image(shape)

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.Dropout2d(self.probability)


@dataclass(frozen=True, slots=True)
class SqueezeExcitation(Layer):
    """Squeeze and excitation: each channel is multiplied by a number between 0 and 1 that follows from all channels.

    The means of the channels pass through a linear layer with channels/R outputs, at least one, then relu, a linear
    layer with an output for each channel, and the sigmoid function. Both linear layers have a bias.

    *Source*: Hu, Shen and Sun, "Squeeze-and-Excitation Networks", 2018.
    """

    word = "se"
    usage = "se R"
    whole = True
    overwrites = True
    reduction: int

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        return cls(only_number(cls, arguments, "reduction"))

    def output(self, shape: Shape) -> Shape:
        return image(shape)

    def hidden(self, shape: Shape) -> int:
        """The number of outputs of the first linear layer."""
        return max(1, shape[0] // self.reduction)

    def parameters(self, shape: Shape) -> int:
        hidden = self.hidden(shape)
        return hidden * (shape[0] + 1) + shape[0] * (hidden + 1)

    def multiply_adds(self, shape: Shape) -> int:
        return 2 * shape[0] * self.hidden(shape)

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return Excitation(shape[0], self.hidden(shape))

    def __str__(self) -> str:
        return f"{self.word} {self.reduction}"


class Excitation(nn.Module):
    """The PyTorch module of `se`; it maps (N, channels, height, width) to the same shape."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scales each channel."""
        scales = torch.sigmoid(self.excite(torch.relu(self.squeeze(images.mean((2, 3))))))
        return images * scales[:, :, None, None]


@dataclass(frozen=True, slots=True)
class Add(PlainLayer):
    """The sum at the end of a `skip`. The notation has no word for it."""

    word = usage = "add"
    overwrites = True

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return Sum()


class Sum(nn.Module):
    """The PyTorch module of `add`: the sum of its two inputs."""

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Adds them."""
        return one + other
