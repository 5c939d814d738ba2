"""Pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import nn

from drilldown.errors import Problem
from drilldown.network.layers.layer import (
    Layer,
    NotationError,
    PlainLayer,
    Shape,
    ShapeError,
    Window,
    image,
    read_options,
    whole_number,
)

WIDEST_BLUR = 31
"""The largest window of `blurpool`: its weights are 2⁻ᴺ and smaller."""


@dataclass(frozen=True, slots=True)
class _Pool(Layer):
    """Pooling with square windows; by default they do not overlap."""

    size: int
    stride: int = 0
    """The distance of two windows; 0 means their side, and is replaced by it."""
    pad: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "stride", self.stride or self.size)

    @property
    def window(self) -> Window:  # type: ignore[override]
        return Window(self.size, self.stride, self.pad)

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        if not arguments:
            raise NotationError(Problem(found=f'"{cls.word}" is incomplete', expected=cls.usage))
        size = whole_number(arguments[0], "pool's side")
        options = read_options(cls, arguments[1:], ["stride", "pad"])
        stride = whole_number(options.get("stride", str(size)), "stride")
        pad = whole_number(options.get("pad", "0"), "pad", least=0)
        if pad > size // 2:
            raise NotationError(Problem(found=f"found pad={pad}", expected=f"at most half the window, {size // 2}"))
        return cls(size, stride, pad)

    def output(self, shape: Shape) -> Shape:
        channels, *sides = image(shape)
        if min(sides) + 2 * self.pad < self.size:
            padded = f" (pad={self.pad} added)" if self.pad else ""
            raise ShapeError(f"an image of at least {self.size}x{self.size}{padded}")
        return channels, *((side + 2 * self.pad - self.size) // self.stride + 1 for side in sides)

    def __str__(self) -> str:
        stride = [f"stride={self.stride}"] * (self.stride != self.size)
        return " ".join([self.word, str(self.size), *stride, *[f"pad={self.pad}"] * (self.pad > 0)])


@dataclass(frozen=True, slots=True)
class MaxPool(_Pool):
    """The maximum of each N×N window; remaining rows and columns at the edge are left out."""

    word = "maxpool"
    usage = "maxpool N [stride=N] [pad=N]"

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.MaxPool2d(self.size, self.stride, self.pad)


@dataclass(frozen=True, slots=True)
class AvgPool(_Pool):
    """The mean of each N×N window; remaining rows and columns at the edge are left out, and padding counts as zeros."""

    word = "avgpool"
    usage = "avgpool N [stride=N] [pad=N]"

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.AvgPool2d(self.size, self.stride, self.pad)


@dataclass(frozen=True, slots=True)
class GlobalAveragePool(PlainLayer):
    """The mean of each channel, as an image of 1×1 pixels."""

    word = usage = "gap"
    whole = True

    def output(self, shape: Shape) -> Shape:
        return image(shape)[0], 1, 1

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.AdaptiveAvgPool2d(1)


@dataclass(frozen=True, slots=True)
class BlurPool(Layer):
    """A mean with binomial weights of each N×N window, by default 3×3 at stride 2; the edges are mirrored.

    The image becomes ⌈side/stride⌉ pixels wide.

    *Source*: Zhang, "Making Convolutional Networks Shift-Invariant Again", 2019.
    """

    word = "blurpool"
    usage = "blurpool [N] [stride=N]"
    size: int = 3
    stride: int = 2

    @property
    def window(self) -> Window:  # type: ignore[override]
        return Window(self.size, self.stride, self.size // 2)

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        written = list(arguments)
        size = whole_number(written.pop(0), "pool's side") if written and "=" not in written[0] else 3
        if size % 2 == 0 or size > WIDEST_BLUR:
            raise NotationError(
                Problem(found=f"found a blur of {size}x{size}", expected=f"an odd side up to {WIDEST_BLUR}")
            )
        return cls(size, whole_number(read_options(cls, written, ["stride"]).get("stride", "2"), "stride"))

    def output(self, shape: Shape) -> Shape:
        channels, *sides = image(shape)
        if min(sides) <= self.size // 2:
            least = self.size // 2 + 1
            raise ShapeError(f"an image of at least {least}x{least}, whose edges can be mirrored")
        return channels, *((side - 1) // self.stride + 1 for side in sides)

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return Blur(shape[0], self.size, self.stride)

    def __str__(self) -> str:
        size = [str(self.size)] * (self.size != 3)
        return " ".join([self.word, *size, *[f"stride={self.stride}"] * (self.stride != 2)])


class Blur(nn.Module):
    """The PyTorch module of `blurpool`; it maps (N, channels, height, width)."""

    kernel: torch.Tensor
    """(channels, 1, size, size); not in the state, since it is not trained."""

    def __init__(self, channels: int, size: int, stride: int) -> None:
        super().__init__()
        self.size, self.stride = size, stride
        row = torch.tensor([math.comb(size - 1, i) for i in range(size)], dtype=torch.float64) / 2 ** (size - 1)
        kernel = torch.outer(row, row).to(torch.get_default_dtype()).expand(channels, 1, size, size)
        self.register_buffer("kernel", kernel.contiguous(), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Mirrors the edges and takes the means."""
        padded = F.pad(images, [self.size // 2] * 4, mode="reflect")
        return F.conv2d(padded, self.kernel, stride=self.stride, groups=len(self.kernel))

    def extra_repr(self) -> str:
        """The numbers, for `print`."""
        return f"size={self.size}, stride={self.stride}"
