"""Numbers as C: arrays of constants."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Array:
    """An array of constants."""

    name: str
    type: str
    length: int
    text: str
    bytes: int
    in_flash: bool
    """Whether an AVR reads it from its flash; else it is copied into the RAM."""


class Constants:
    """The arrays of constants; equal ones are written once.

    *Arguments*: `in_flash`: whether an AVR reads them from its flash.
    """

    def __init__(self, *, in_flash: bool) -> None:
        self.arrays: dict[tuple[str, str, bool], Array] = {}
        """By type, text and memory."""
        self._in_flash = in_flash
        self._names: dict[str, str] = {}

    def add(self, name: str, kind: str, values: torch.Tensor, *, is_pixel: bool = False) -> str:
        """Adds an array, and returns its name: another one where the same array is known.

        *Arguments*: `is_pixel`: it stands for a pixel, which is read from the RAM.
        """
        numbers = values.detach().reshape(-1)
        texts = map(float_text, numbers.float().tolist()) if kind == "float" else map(str, numbers.long().tolist())
        text = number_lines(texts)
        in_flash = self._in_flash and not is_pixel
        array = Array(name, kind, len(numbers), text, len(numbers) * _SIZES[kind], in_flash)
        self._names[name] = self.arrays.setdefault((kind, text, in_flash), array).name
        return self._names[name]

    def name(self, name: str) -> str:
        """The name of the array that stands for another name."""
        return self._names[name]

    @property
    def bytes(self) -> int:
        """The size of all arrays."""
        return sum(array.bytes for array in self.arrays.values())


LINE = 115
"""The longest line of numbers, in characters."""
_SIZES = {"float": 4, "int32_t": 4, "uint16_t": 2, "uint8_t": 1, "int8_t": 1}


def number_lines(numbers: Iterable[str]) -> str:
    """Numbers as indented lines.

    >>> print(number_lines(["1", "-2"]))
        1, -2
    """
    lines, line = [], "   "
    for number in numbers:
        if len(line) + len(number) > LINE:
            lines.append(line)
            line = "   "
        line += f" {number},"
    return "\n".join([*lines, line]).removesuffix(",")


def float_text(value: float) -> str:
    """A number as a constant in C, which reads it back as the same float32.

    >>> float_text(1.0), float_text(-2.5e-8)
    ('1.0f', '-2.5e-08f')
    """
    text = str(np.float32(value))
    return f"{text}f" if {".", "e"} & set(text) else f"{text}.0f"
