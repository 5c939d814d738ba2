"""Normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from torch import nn

from drilldown.network.layers.layer import Layer, PlainLayer, Shape, ShapeError, only_number, read_options


@dataclass(frozen=True, slots=True)
class BatchNorm(Layer):
    """Batch normalisation with a learned scale and shift of each channel; with `noscale`, only a shift."""

    word = "bn"
    usage = "bn [noscale]"
    overwrites = True
    own_weights = True
    scale: bool = True

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        return cls("noscale" not in read_options(cls, arguments, [], ["noscale"]))

    def output(self, shape: Shape) -> Shape:
        return shape

    def parameters(self, shape: Shape) -> int:
        return (1 + self.scale) * shape[0]

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        norm = nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0])
        if not self.scale:
            norm.register_parameter("weight", None)
        return norm

    def __str__(self) -> str:
        return self.word if self.scale else f"{self.word} noscale"


@dataclass(frozen=True, slots=True)
class GroupNorm(Layer):
    """Normalisation of each image over G groups of channels, with a learned scale and shift of each channel."""

    word = "gn"
    usage = "gn G"
    whole = True
    overwrites = True
    own_weights = True
    groups: int

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        return cls(only_number(cls, arguments, "number of groups"))

    def output(self, shape: Shape) -> Shape:
        return _normalised(shape, self.groups)

    def parameters(self, shape: Shape) -> int:
        return 2 * shape[0]

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.GroupNorm(self.groups, shape[0])

    def __str__(self) -> str:
        return f"{self.word} {self.groups}"


@dataclass(frozen=True, slots=True)
class LayerNorm(PlainLayer):
    """Normalisation of each image over all its channels and pixels, with a learned scale and shift of each channel.

    It is `gn 1`: the layer norm of the paper about group norm, not PyTorch's with a scale and shift of each pixel.

    *Source*: Wu and He, "Group Normalization", 2018.
    """

    word = usage = "ln"
    whole = True
    overwrites = True
    own_weights = True

    def output(self, shape: Shape) -> Shape:
        return _normalised(shape, 1)

    def parameters(self, shape: Shape) -> int:
        return 2 * shape[0]

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.GroupNorm(1, shape[0])


def _normalised(shape: Shape, groups: int) -> Shape:
    if shape[0] % groups:
        raise ShapeError(f"a number of channels that {groups} groups divide")
    if math.prod(shape) == groups:
        raise ShapeError("groups of more than one number: the norm of one number is always 0")
    return shape
