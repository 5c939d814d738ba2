"""Limits for flash and RAM, and what exceeds them on which target."""

from __future__ import annotations

import dataclasses

from pydantic import BaseModel, ConfigDict

from drilldown.errors import DrilldownError, InvalidValueError
from drilldown.experiment.chip import read_size
from drilldown.export.targets.figures import TargetFigures
from drilldown.shown import PublicNames


class Limits(PublicNames, BaseModel):
    """The flash and the RAM that the int8 code may take, in bytes; None for no limit."""

    model_config = ConfigDict(frozen=True)

    flash: int | None = None
    ram: int | None = None
    """For `struct net` and the stack."""


def parse_size(text: str, option: str) -> int:
    """Reads a size such as `16k`, which has 16 · 1024 bytes as a chip's data sheet means it; raises DrilldownError.

    >>> parse_size("16k", "--flash"), parse_size("2_048", "--ram")
    (16384, 2048)
    """
    try:
        return read_size(text)
    except InvalidValueError as error:
        raise DrilldownError(dataclasses.replace(error.problem, place=option)) from None


def exceeded(limits: Limits, figures: TargetFigures) -> tuple[str, ...]:
    """A sentence for each limit that a target does not keep, or that cannot be judged there."""
    sizes, lines = figures.sizes, []
    for name, limit in (("flash", limits.flash), ("RAM", limits.ram)):
        if limit is None:
            continue
        if sizes is None:
            lines.append(f"{figures.target}: {name} not measured (limit {limit:,} B)")
            continue
        found = sizes.flash if name == "flash" else sizes.ram + sizes.stack
        parts = "" if name == "flash" else f" = {sizes.ram:,} B + {sizes.stack:,} B of stack"
        if found > limit:
            lines.append(
                f"{figures.target}: {name} {found:,} B{parts}, limit {limit:,} B: {found - limit:,} B too much"
            )
    return tuple(lines)
