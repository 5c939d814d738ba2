"""The layers of the block notation: their names and arguments, their shapes and their cost.

Shapes are (channels, height, width) or, after `flatten`, (features,); the batch dimension is left out.

To add a layer, write a subclass of `Layer` and add it to LAYERS. The torch engine, the layer table and the template of
`drilldown new` then know it.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import nn

from drilldown.errors import InvalidValueError, Problem, did_you_mean
from drilldown.network.other_names import suggest_layer

Shape = tuple[int, ...]
"""(channels, height, width) or (features,)."""
LARGEST_NUMBER = 1_000_000
"""The largest whole number in the notation; a larger number is a typing error."""


class NotationError(InvalidValueError):
    """A block that is not valid notation."""


class ShapeError(ValueError):
    """A layer that cannot take its input's shape; the message is a noun phrase for a shape that it can take."""


@dataclass(frozen=True, slots=True)
class Layer(ABC):
    """One layer of the notation; `str` returns its canonical text."""

    word: ClassVar[str]
    """The layer's name in the notation."""
    usage: ClassVar[str]
    """The name with its arguments, for messages: `linear OUT`."""
    window: ClassVar[tuple[int, int]] = (1, 1)
    """The side and the stride, in input pixels, of the window that one output depends on."""
    elementwise: ClassVar[bool] = False
    """Whether each output depends on one input only, so that the output can overwrite the input."""

    @classmethod
    @abstractmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """Makes the layer from the words after its name; raises NotationError."""

    @abstractmethod
    def output(self, shape: Shape) -> Shape:
        """Returns the output's shape for an input of this shape; raises ShapeError where the input does not fit."""

    @abstractmethod
    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:
        """Makes the PyTorch module for an input of this shape; with `inplace`, it may overwrite its input."""

    def parameters(self, shape: Shape) -> int:  # noqa: ARG002
        """Returns the number of trainable parameters for an input of this shape."""
        return 0

    def multiply_adds(self, shape: Shape) -> int:  # noqa: ARG002
        """Returns the multiply-adds for one image; only convolutions and linear layers count, as is usual."""
        return 0


class _PlainLayer(Layer):
    """A layer without arguments; its output has the shape of its input."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        if arguments:
            raise NotationError(_unexpected(cls, arguments[0]))
        return cls()

    def output(self, shape: Shape) -> Shape:
        return shape

    def __str__(self) -> str:
        return self.word


@dataclass(frozen=True, slots=True)
class Conv(Layer):
    """A square convolution, by default without padding and without bias."""

    word = "conv"
    usage = "conv KxK OUT [stride=N] [pad=N] [groups=N] [bias]"
    kernel: int
    out: int
    stride: int = 1
    pad: int = 0
    groups: int = 1
    bias: bool = False

    @property
    def window(self) -> tuple[int, int]:  # type: ignore[override]
        return self.kernel, self.stride

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        if len(arguments) < 2:
            raise NotationError(Problem(found=f"{_quoted_layer(cls, arguments)} is incomplete", expected=cls.usage))
        size, out, *options = arguments
        sides = size.lower().split("x")
        if len(sides) != 2 or sides[0] != sides[1]:
            raise NotationError(Problem(found=f'found the kernel "{size}"', expected="a square one such as 3x3"))
        given: dict[str, int | bool] = {}
        for option in options:
            key, equals, value = option.partition("=")
            if key in given:
                raise NotationError(Problem(found=f'"{key}" is given twice', expected=cls.usage))
            if option == "bias":
                given["bias"] = True
            elif key in ("stride", "pad", "groups") and equals:
                given[key] = _whole(value, key, least=0 if key == "pad" else 1)
            elif key in ("stride", "pad", "groups", "bias"):
                right = "bias, without a value" if key == "bias" else f"{key}=N, with a number"
                raise NotationError(Problem(found=f'found "{option}"', expected=right))
            else:
                raise NotationError(_unexpected(cls, option, ["stride", "pad", "groups", "bias"]))
        return cls(_whole(sides[0], "kernel side"), _whole(out, "number of channels"), **given)  # type: ignore[arg-type]

    def output(self, shape: Shape) -> Shape:
        channels, *sides = _image(shape)
        if min(sides) + 2 * self.pad < self.kernel:
            padded = f" (pad={self.pad} added)" if self.pad else ""
            raise ShapeError(f"an image of at least {self.kernel}x{self.kernel}{padded}")
        if channels % self.groups or self.out % self.groups:
            raise ShapeError(f"input and output channels that groups={self.groups} divides")
        return self.out, *((side + 2 * self.pad - self.kernel) // self.stride + 1 for side in sides)

    def parameters(self, shape: Shape) -> int:
        return self.out * (shape[0] // self.groups * self.kernel**2 + self.bias)

    def multiply_adds(self, shape: Shape) -> int:
        return math.prod(self.output(shape)) * (shape[0] // self.groups) * self.kernel**2

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.Conv2d(shape[0], self.out, self.kernel, self.stride, self.pad, groups=self.groups, bias=self.bias)

    def __str__(self) -> str:
        defaults = {"stride": 1, "pad": 0, "groups": 1}
        options = [f"{key}={getattr(self, key)}" for key, value in defaults.items() if getattr(self, key) != value]
        return " ".join([self.word, f"{self.kernel}x{self.kernel}", str(self.out), *options, *["bias"] * self.bias])


@dataclass(frozen=True, slots=True)
class BatchNorm(_PlainLayer):
    """Batch normalisation with a learned scale and shift."""

    word = usage = "bn"
    elementwise = True

    def parameters(self, shape: Shape) -> int:
        return 2 * shape[0]  # scale and shift of each channel

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0])


@dataclass(frozen=True, slots=True)
class ReLU(_PlainLayer):
    """The rectified linear unit, max(0, x)."""

    word = usage = "relu"
    elementwise = True

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.ReLU(inplace=inplace)


@dataclass(frozen=True, slots=True)
class _Pool(Layer):
    """Pooling with windows that do not overlap."""

    size: int

    @property
    def window(self) -> tuple[int, int]:  # type: ignore[override]
        return self.size, self.size

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        if not arguments:
            raise NotationError(Problem(found=f'"{cls.word}" is incomplete', expected=cls.usage))
        if len(arguments) > 1:
            raise NotationError(_unexpected(cls, arguments[1]))
        return cls(_whole(arguments[0], "pool's side"))

    def output(self, shape: Shape) -> Shape:
        channels, *sides = _image(shape)
        if min(sides) < self.size:
            raise ShapeError(f"an image of at least {self.size}x{self.size}")
        return channels, *(side // self.size for side in sides)

    def __str__(self) -> str:
        return f"{self.word} {self.size}"


@dataclass(frozen=True, slots=True)
class MaxPool(_Pool):
    """The maximum of each N×N window; remaining rows and columns at the edge are left out."""

    word = "maxpool"
    usage = "maxpool N"

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.MaxPool2d(self.size)


@dataclass(frozen=True, slots=True)
class AvgPool(_Pool):
    """The mean of each N×N window; remaining rows and columns at the edge are left out."""

    word = "avgpool"
    usage = "avgpool N"

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.AvgPool2d(self.size)


@dataclass(frozen=True, slots=True)
class GlobalAveragePool(_PlainLayer):
    """The mean of each channel, as an image of 1×1 pixels."""

    word = usage = "gap"

    def output(self, shape: Shape) -> Shape:
        return _image(shape)[0], 1, 1

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.AdaptiveAvgPool2d(1)


@dataclass(frozen=True, slots=True)
class Dropout(Layer):
    """Dropout: in training each number becomes 0 with probability P, and the others are multiplied by 1/(1−P)."""

    word = "dropout"
    usage = "dropout P"
    elementwise = True
    probability: float

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        if len(arguments) > 1:
            raise NotationError(_unexpected(cls, arguments[1]))
        text = arguments[0] if arguments else ""
        probability = float(text) if re.fullmatch(r"[0-9]*\.?[0-9]+(e-?[0-9]+)?", text) else math.nan
        if not 0 <= probability < 1:
            raise NotationError(Problem(found=f'found the probability "{text}"', expected="a number from 0 to below 1"))
        return cls(probability)

    def output(self, shape: Shape) -> Shape:
        return shape

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.Dropout(self.probability)

    def __str__(self) -> str:
        return f"{self.word} {self.probability!r}"


@dataclass(frozen=True, slots=True)
class Flatten(_PlainLayer):
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
    out: int

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        if not arguments:
            raise NotationError(Problem(found='"linear" is incomplete', expected=cls.usage))
        if len(arguments) > 1:
            raise NotationError(_unexpected(cls, arguments[1]))
        return cls(_whole(arguments[0], "number of outputs"))

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


LAYERS: dict[str, type[Layer]] = {
    kind.word: kind
    for kind in (
        AvgPool, BatchNorm, Conv, Dropout, Flatten, GlobalAveragePool, Linear, MaxPool, ReLU
    )
}  # fmt: skip
"""All layers of the notation by their names."""


def parse_block(text: str) -> tuple[Layer, ...]:
    """Reads the layers of one block; raises NotationError at the first layer that is not valid.

    >>> [str(layer) for layer in parse_block("conv 3x3 10 pad=1,bn, relu")]
    ['conv 3x3 10 pad=1', 'bn', 'relu']
    """
    layers = []
    for part in text.split(","):
        word, *arguments = part.split() or [""]
        kind = LAYERS.get(word.lower())
        if kind is None:
            found = f'unknown layer "{word}"' if word else "an empty layer (is there an extra comma?)"
            raise NotationError(
                Problem(
                    found=found,
                    expected=f"one of {', '.join(LAYERS)}",
                    suggestion=suggest_layer(word, LAYERS) if word else None,
                )
            )
        layers.append(kind.parse([argument.lower() for argument in arguments]))
    return tuple(layers)


def _image(shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ShapeError("an image, but an earlier layer has flattened the input")
    return shape


def _whole(text: str, meaning: str, *, least: int = 1) -> int:
    # isascii: int() also accepts the digits of other scripts.
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if least <= number <= LARGEST_NUMBER:
        return number
    raise NotationError(
        Problem(
            found=f'found "{text}" as the {meaning}',
            expected=f"a whole number from {least} to {LARGEST_NUMBER:,}",
        )
    )


def _quoted_layer(kind: type[Layer], arguments: Sequence[str]) -> str:
    return '"' + " ".join([kind.word, *arguments]) + '"'


def _unexpected(kind: type[Layer], argument: str, known: Sequence[str] = ()) -> Problem:
    return Problem(
        found=f'"{argument}" is not known after "{kind.word}"',
        expected=kind.usage if kind.usage != kind.word else "nothing after it",
        suggestion=did_you_mean(argument.partition("=")[0], known),
    )
