"""Names in layers: `"conv 3x3 {w1}"`, where `[space]` says which values `w1` can have.

A value is put in place of its name as text. It may contain names itself. A layer that becomes empty is dropped, and so
is a block without layers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.loading import NAME_IN_LAYER

VALID_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
"""A name that can stand in a layer."""
LONGEST_BLOCK = 10_000
"""The largest number of characters of a block after all names; few names can stand for very long texts."""
_POSITION_OF_WIDTH = {"conv": 2, "sep": 2, "linear": 1}
"""The position of the number of output channels among the words of a layer."""


def names_in(text: str) -> list[str]:
    """Lists the names in a text, in their order; a name can occur several times.

    >>> names_in("conv 3x3 {w1} groups={w1}, {norm}")
    ['w1', 'w1', 'norm']
    """
    return NAME_IN_LAYER.findall(text)


def stray_brace(text: str) -> str | None:
    """Returns a brace that belongs to no name, or None.

    >>> stray_brace("conv 3x3 {w1")
    '{'
    """
    match = re.search(r"[{}]", NAME_IN_LAYER.sub("", text))
    return match[0] if match else None


def replace_names(text: str, values: Mapping[str, str]) -> str:
    """Puts texts in place of names; a name without a text stays. Layers that become empty are dropped.

    *Raises* DrilldownError where the result is longer than LONGEST_BLOCK.

    >>> replace_names("conv 3x3 {w1}, {norm}, {act}", {"norm": "", "act": "relu, {drop}", "drop": "dropout 0.1"})
    'conv 3x3 {w1}, relu, dropout 0.1'
    """
    kept: list[str] = []
    length = 0
    for layer in text.split(","):
        replaced = NAME_IN_LAYER.sub(
            lambda match: replace_names(values[match[1]], values) if match[1] in values else f"{{{match[1]}}}", layer
        ).strip()
        length += len(replaced)
        if length > LONGEST_BLOCK:
            raise DrilldownError(Problem(found=f"a block of more than {LONGEST_BLOCK:,} characters"))
        if replaced or not NAME_IN_LAYER.search(layer):  # an empty layer that the user wrote is an error, found later
            kept.append(replaced)
    return ", ".join(kept)


def width_names(block: str) -> Iterator[str]:
    """Yields the names that stand for the output channels of a convolution or a linear layer.

    >>> list(width_names("conv 3x3 {w1}, conv 3x3 {w2} groups={w1}, conv 1x1 10, linear {w3}"))
    ['w1', 'w2', 'w3']
    """
    for layer in block.split(","):
        words = layer.split()
        position = _POSITION_OF_WIDTH.get(words[0].lower()) if words else None
        match = NAME_IN_LAYER.fullmatch(words[position]) if position and len(words) > position else None
        if match:
            yield match[1]
