"""Convolutions: plain ones, and depthwise separable ones."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn

from drilldown.errors import Problem
from drilldown.network.layers.layer import (
    Layer,
    NotationError,
    Shape,
    ShapeError,
    Window,
    image,
    read_options,
    whole_number,
)


@dataclass(frozen=True, slots=True)
class Conv(Layer):
    """A square convolution, by default without padding and without bias.

    `pad=same` adds what keeps the image's size at stride 1: dilation · (K − 1)/2 pixels at every edge. `depthwise`
    means as many groups as input channels. `expand=R` trains it as three convolutions without anything between them,
    1x1, KxK and 1x1, R times wider; at the end they are folded into this one.
    """

    word = "conv"
    usage = "conv KxK OUT [stride=N] [pad=N|same] [dilation=N] [groups=N|depthwise] [expand=R] [bias]"
    kernel: int
    out: int
    stride: int = 1
    pad: int = 0
    groups: int = 1
    bias: bool = False
    dilation: int = 1
    depthwise: bool = False
    expand: int = 1

    @property
    def span(self) -> int:
        """The side of the window in pixels, with the gaps of the dilation."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def window(self) -> Window:  # type: ignore[override]
        return Window(self.span, self.stride, self.pad)

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        kernel, out, options = _read(cls, arguments, ["groups", "expand"], ["depthwise", "bias"])
        groups, expand = (whole_number(options.get(key, "1"), key) for key in ("groups", "expand"))
        depthwise = "depthwise" in options
        if depthwise and "groups" in options:
            raise NotationError(Problem(found='"groups" and "depthwise" are given', expected="one of the two"))
        if expand > 1 and (depthwise or groups > 1):
            raise NotationError(
                Problem(found=f"expand={expand} with groups", expected="expand= for a convolution without groups")
            )
        numbers = _read_window(kernel, options)
        return cls(kernel, out, groups=groups, bias="bias" in options, depthwise=depthwise, expand=expand, **numbers)

    def parts(self, shape: Shape) -> tuple[Layer, ...]:
        if not self.depthwise:
            return (self,)
        channels = image(shape)[0]
        if self.out % channels:
            raise ShapeError(f"a number of output channels that the {channels} input channels divide")
        return (dataclasses.replace(self, groups=channels, depthwise=False),)

    def output(self, shape: Shape) -> Shape:
        channels, *sides = image(shape)
        if min(sides) + 2 * self.pad < self.span:
            padded = f" (pad={self.pad} added)" if self.pad else ""
            raise ShapeError(f"an image of at least {self.span}x{self.span}{padded}")
        if channels % self.groups or self.out % self.groups:
            raise ShapeError(f"input and output channels that groups={self.groups} divides")
        return self.out, *((side + 2 * self.pad - self.span) // self.stride + 1 for side in sides)

    def parameters(self, shape: Shape) -> int:
        return self.out * (shape[0] // self.groups * self.kernel**2 + self.bias)

    def multiply_adds(self, shape: Shape) -> int:
        return math.prod(self.output(shape)) * (shape[0] // self.groups) * self.kernel**2

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.Conv2d(
            shape[0], self.out, self.kernel, self.stride, self.pad, self.dilation, self.groups, bias=self.bias
        )

    def trained_as(self, shape: Shape) -> tuple[Layer, ...]:
        if self.expand == 1:
            return (self,)
        inner, outer = self.expand * shape[0], self.expand * self.out
        middle = Conv(self.kernel, outer, self.stride, self.pad, dilation=self.dilation)
        return Conv(1, inner), middle, Conv(1, self.out, bias=self.bias)

    def training_module(self, shape: Shape, *, inplace: bool) -> nn.Module:
        if self.expand == 1:
            return self.module(shape, inplace=inplace)
        modules = []
        for layer in self.trained_as(shape):
            modules.append(layer.module(shape, inplace=False))
            shape = layer.output(shape)
        return ExpandedConv(*modules)

    def __str__(self) -> str:
        return _text(self, *["depthwise"] * self.depthwise, *["bias"] * self.bias)


@dataclass(frozen=True, slots=True)
class SeparableConv(Layer):
    """A depthwise separable convolution: a depthwise KxK, then a 1x1, without bias and without a norm between them."""

    word = "sep"
    usage = "sep KxK OUT [stride=N] [pad=N|same] [dilation=N]"
    kernel: int
    out: int
    stride: int = 1
    pad: int = 0
    dilation: int = 1

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        kernel, out, options = _read(cls, arguments)
        return cls(kernel, out, **_read_window(kernel, options))

    def parts(self, shape: Shape) -> tuple[Layer, ...]:
        channels = image(shape)[0]
        depthwise = Conv(self.kernel, channels, self.stride, self.pad, channels, dilation=self.dilation)
        return depthwise, Conv(1, self.out)

    def output(self, shape: Shape) -> Shape:
        depthwise, pointwise = self.parts(shape)
        return pointwise.output(depthwise.output(shape))

    def parameters(self, shape: Shape) -> int:
        depthwise, pointwise = self.parts(shape)
        return depthwise.parameters(shape) + pointwise.parameters(depthwise.output(shape))

    def multiply_adds(self, shape: Shape) -> int:
        depthwise, pointwise = self.parts(shape)
        return depthwise.multiply_adds(shape) + pointwise.multiply_adds(depthwise.output(shape))

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:
        depthwise, pointwise = self.parts(shape)
        inner = depthwise.output(shape)
        return nn.Sequential(depthwise.module(shape, inplace=inplace), pointwise.module(inner, inplace=False))

    def __str__(self) -> str:
        return _text(self)


class ExpandedConv(nn.Module):
    """A convolution as it is trained with `expand=R`: 1x1, KxK and 1x1, R times wider, and nothing between them.

    It maps (N, in, height, width) as the folded one does: the first convolution has no bias, so zeros around the image
    stay zeros.

    *Source*: Guo, Alvarez and Salzmann, "ExpandNets: Linear Over-parameterization to Train Compact Convolutional
    Networks", 2020.

    >>> trained = Conv(3, 8, pad=1, expand=4).training_module((2, 6, 6), inplace=False)
    >>> images = torch.randn(5, 2, 6, 6)
    >>> torch.allclose(trained(images), trained.fold()(images), atol=1e-5)
    True
    """

    def __init__(self, widen: nn.Module, middle: nn.Module, narrow: nn.Module) -> None:
        super().__init__()
        assert isinstance(widen, nn.Conv2d)
        assert isinstance(middle, nn.Conv2d)
        assert isinstance(narrow, nn.Conv2d)
        self.widen, self.middle, self.narrow = widen, middle, narrow

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Applies the three convolutions."""
        result: torch.Tensor = self.narrow(self.middle(self.widen(images)))
        return result

    def folded_weight(self) -> torch.Tensor:
        """The weights of the one convolution that computes the same, (out, in, kernel, kernel)."""
        return torch.einsum(
            "op,pqyx,qi->oiyx", self.narrow.weight.flatten(1), self.middle.weight, self.widen.weight.flatten(1)
        )

    def fold(self) -> nn.Conv2d:
        """The one convolution that computes the same."""
        middle = self.middle
        with torch.random.fork_rng(devices=[]):  # its initial weights are replaced, and must not use up random numbers
            folded = nn.Conv2d(
                self.widen.in_channels, self.narrow.out_channels, middle.kernel_size[0], middle.stride[0],
                middle.padding[0], middle.dilation[0], bias=self.narrow.bias is not None,
            ).to(middle.weight)  # fmt: skip
        with torch.no_grad():
            folded.weight.copy_(self.folded_weight())
            if folded.bias is not None and self.narrow.bias is not None:
                folded.bias.copy_(self.narrow.bias)
        folded.train(self.training)
        return folded


def _read(
    kind: type[Layer], arguments: Sequence[str], numbers: Sequence[str] = (), flags: Sequence[str] = ()
) -> tuple[int, int, dict[str, str]]:
    """Reads the kernel, the number of output channels, and the options."""
    if len(arguments) < 2:
        written = '"' + " ".join([kind.word, *arguments]) + '"'
        raise NotationError(Problem(found=f"{written} is incomplete", expected=kind.usage))
    size, out, *written_options = arguments
    sides = size.split("x")
    if len(sides) != 2 or sides[0] != sides[1]:
        raise NotationError(Problem(found=f'found the kernel "{size}"', expected="a square one such as 3x3"))
    options = read_options(kind, written_options, ["stride", "pad", "dilation", *numbers], flags)
    return whole_number(sides[0], "kernel side"), whole_number(out, "number of channels"), options


def _read_window(kernel: int, options: dict[str, str]) -> dict[str, int]:
    """Reads stride, dilation and pad."""
    stride, dilation = (whole_number(options.get(key, "1"), key) for key in ("stride", "dilation"))
    pad = options.get("pad", "0")
    if pad != "same":
        return {"stride": stride, "dilation": dilation, "pad": whole_number(pad, "pad", least=0)}
    margin = dilation * (kernel - 1)
    if margin % 2:
        raise NotationError(
            Problem(found=f"pad=same with the kernel {kernel}x{kernel}", expected="a kernel with an odd side")
        )
    return {"stride": stride, "dilation": dilation, "pad": margin // 2}


def _text(layer: Conv | SeparableConv, *others: str) -> str:
    """The canonical text: numbers at their defaults are left out."""
    defaults = {"stride": 1, "pad": 0, "dilation": 1, "groups": 1, "expand": 1}
    given = {key: getattr(layer, key, default) for key, default in defaults.items()}
    options = [f"{key}={number}" for key, number in given.items() if number != defaults[key]]
    return " ".join([layer.word, f"{layer.kernel}x{layer.kernel}", str(layer.out), *options, *others])
