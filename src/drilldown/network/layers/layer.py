"""The base of all layers of the block notation, and what their classes share.

Shapes are (channels, height, width) or, after `flatten`, (features,); the batch dimension is left out.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

from torch import nn

from drilldown.errors import InvalidValueError, Problem, did_you_mean

Shape = tuple[int, ...]
"""(channels, height, width) or (features,)."""
LARGEST_NUMBER = 1_000_000
"""The largest whole number in the notation; a larger number is a typing error."""


class NotationError(InvalidValueError):
    """A block that is not valid notation.

    *Arguments*: `path`: the keys and indices from the block to the wrong part; empty where the block is a text.
    `text`: the wrong part, where it is a text.
    """

    def __init__(self, problem: Problem, path: tuple[str | int, ...] = (), text: str | None = None) -> None:
        super().__init__(problem)
        self.path, self.text = path, text


class ShapeError(ValueError):
    """A layer that cannot take its input's shape; the message is a noun phrase for a shape that it can take."""


class Window(NamedTuple):
    """The window of the input that one output depends on, in pixels."""

    side: int = 1
    stride: int = 1
    """The distance of the windows of two neighbouring outputs."""
    pad: int = 0
    """How far the first window begins before the image."""


@dataclass(frozen=True, slots=True)
class Layer(ABC):
    """One layer of the notation; `str` returns its canonical text."""

    word: ClassVar[str]
    """The layer's name in the notation."""
    usage: ClassVar[str]
    """The name with its arguments, for messages: `linear OUT`."""
    window: ClassVar[Window] = Window()
    """The part of the image that one output depends on."""
    whole: ClassVar[bool] = False
    """Whether each output depends on the whole image instead."""
    overwrites: ClassVar[bool] = False
    """Whether the output can take the place of the input in memory."""
    own_weights: ClassVar[bool] = False
    """Whether each pass of a shared `repeat` has weights of its own, as norms have; the passes share other weights."""

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

    def trained_as(self, shape: Shape) -> tuple[Layer, ...]:  # noqa: ARG002
        """Returns the layers that are trained in its place, and folded into this one at the end; usually itself."""
        return (self,)

    def training_module(self, shape: Shape, *, inplace: bool) -> nn.Module:
        """Makes the module that is trained."""
        return self.module(shape, inplace=inplace)

    def parts(self, shape: Shape) -> tuple[Layer, ...]:  # noqa: ARG002
        """Returns the layers that it stands for; for most layers only itself, with all that the input decides.

        *Raises* ShapeError where the input does not fit.
        """
        return (self,)

    def parameters(self, shape: Shape) -> int:  # noqa: ARG002
        """Returns the number of trainable parameters for an input of this shape."""
        return 0

    def multiply_adds(self, shape: Shape) -> int:  # noqa: ARG002
        """Returns the multiply-adds for one image; only convolutions and linear layers count, as is usual."""
        return 0


class PlainLayer(Layer):
    """A layer without arguments; its output has the shape of its input."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        if arguments:
            raise NotationError(unexpected(cls, arguments[0]))
        return cls()

    def output(self, shape: Shape) -> Shape:
        return shape

    def __str__(self) -> str:
        return self.word


def image(shape: Shape) -> Shape:
    """Returns the shape of an image; raises ShapeError where it is flat."""
    if len(shape) != 3:
        raise ShapeError("an image, but an earlier layer has flattened the input")
    return shape


def whole_number(text: str, meaning: str, *, least: int = 1) -> int:
    """Reads a whole number; raises NotationError."""
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


def below_one(kind: type[Layer], arguments: Sequence[str], meaning: str) -> float:
    """Reads the only argument, a number from 0 to below 1; raises NotationError."""
    if len(arguments) > 1:
        raise NotationError(unexpected(kind, arguments[1]))
    text = arguments[0] if arguments else ""
    number = float(text) if re.fullmatch(r"[0-9]*\.?[0-9]+(e-?[0-9]+)?", text) else math.nan
    if not 0 <= number < 1:
        raise NotationError(Problem(found=f'found the {meaning} "{text}"', expected="a number from 0 to below 1"))
    return number


def only_number(kind: type[Layer], arguments: Sequence[str], meaning: str) -> int:
    """Reads the only argument, a whole number; raises NotationError."""
    if not arguments:
        raise NotationError(Problem(found=f'"{kind.word}" is incomplete', expected=kind.usage))
    if len(arguments) > 1:
        raise NotationError(unexpected(kind, arguments[1]))
    return whole_number(arguments[0], meaning)


def read_options(
    kind: type[Layer], written: Sequence[str], numbers: Sequence[str], flags: Sequence[str] = ()
) -> dict[str, str]:
    """Reads options such as `stride=2` and `bias`, each at most once; raises NotationError.

    *Arguments*: `numbers`: the options with a value. `flags`: those without one.

    *Returns* the values as texts; of a flag, an empty one.
    """
    given: dict[str, str] = {}
    for option in written:
        key, equals, value = option.partition("=")
        if key in given:
            raise NotationError(Problem(found=f'"{key}" is given twice', expected=kind.usage))
        if key in flags if equals else key in numbers:
            right = f"{key}, without a value" if equals else f"{key}=N, with a number"
            raise NotationError(Problem(found=f'found "{option}"', expected=right))
        if key not in (*numbers, *flags):
            raise NotationError(unexpected(kind, option, [*numbers, *flags]))
        given[key] = value
    return given


def unexpected(kind: type[Layer], argument: str, known: Sequence[str] = ()) -> Problem:
    """The problem of an argument that the layer does not have."""
    return Problem(
        found=f'"{argument}" is not known after "{kind.word}"',
        expected=kind.usage if kind.usage != kind.word else "nothing after it",
        suggestion=did_you_mean(argument.partition("=")[0], known),
    )
