"""Limits on a chip: the names of the processors, and sizes as users write them."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field

from drilldown.errors import InvalidValueError, Problem

TargetName = Literal["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "riscv32", "avr", "host"]
TARGETS: tuple[TargetName, ...] = get_args(TargetName)
"""All processors, in the order in which they are measured."""
_SIZE = re.compile(r"(?P<number>\d[\d_,]*)(?P<unit>k|\s*(?:KiB|kB|B))?", re.IGNORECASE)


def read_size(text: str) -> int:
    """Reads a size such as `16k`, which has 16 · 1024 bytes as a chip's data sheet means it.

    *Raises* InvalidValueError where it is not one.

    >>> read_size("16k"), read_size("2_048"), read_size("4 KiB")
    (16384, 2048, 4096)
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidValueError(Problem(found=f'found "{text}"', expected="a number of bytes, such as 16k or 2048"))
    number = int(re.sub(r"\D", "", match["number"]))
    return number * 1024 if (match["unit"] or "B").strip().upper() != "B" else number


def _read_limit(value: object) -> object:
    """A limit as a file has it, as text or as a number."""
    size = read_size(value) if isinstance(value, str) else value
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
        raise InvalidValueError(
            Problem(found=f"found {shown}", expected='a number of bytes above 0, such as "16k" or 2048')
        )
    return size


ByteLimit = Annotated[int, BeforeValidator(_read_limit), Field(ge=1)]
"""A number of bytes above 0, in a file also as text: `"16k"`."""
