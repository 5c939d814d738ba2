"""Activations: functions of single numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from torch import nn

from drilldown.network.layers.layer import Layer, PlainLayer, Shape, below_one


@dataclass(frozen=True, slots=True)
class ReLU(PlainLayer):
    """The rectified linear unit, max(0, x)."""

    word = usage = "relu"
    overwrites = True

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.ReLU(inplace=inplace)


@dataclass(frozen=True, slots=True)
class LeakyReLU(Layer):
    """A rectified linear unit with the slope A for negative numbers: x where x > 0, else A · x."""

    word = "leaky"
    usage = "leaky A"
    overwrites = True
    slope: float

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        return cls(below_one(cls, arguments, "slope"))

    def output(self, shape: Shape) -> Shape:
        return shape

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.LeakyReLU(self.slope, inplace=inplace)

    def __str__(self) -> str:
        return f"{self.word} {self.slope!r}"


@dataclass(frozen=True, slots=True)
class PReLU(PlainLayer):
    """A leaky rectified linear unit with a learned slope, one for all channels; it starts at 0.25."""

    word = usage = "prelu"
    overwrites = True

    def parameters(self, shape: Shape) -> int:  # noqa: ARG002
        return 1

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.PReLU()


@dataclass(frozen=True, slots=True)
class SiLU(PlainLayer):
    """The sigmoid linear unit, also called swish: x · sigmoid(x)."""

    word = usage = "silu"
    overwrites = True

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.SiLU()


@dataclass(frozen=True, slots=True)
class GELU(PlainLayer):
    """The Gaussian error linear unit: x · Φ(x), with the standard normal distribution function Φ."""

    word = usage = "gelu"
    overwrites = True

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.GELU()


@dataclass(frozen=True, slots=True)
class Hardswish(PlainLayer):
    """A swish of straight lines: x · min(max(x + 3, 0), 6) / 6."""

    word = usage = "hardswish"
    overwrites = True

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.Hardswish()
