"""The table `[network]` of an experiment file."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from drilldown.network.blocks import Block, canonical_block
from drilldown.network.module_arguments import check_values
from drilldown.table import Table

_BLOCK_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "object"}]}


class Network(Table):
    """The network: layers in block notation, or a user's own module."""

    layers: (
        Annotated[
            tuple[Annotated[Block, PlainValidator(canonical_block), WithJsonSchema(_BLOCK_SCHEMA)], ...],
            Field(strict=False),
        ]
        | None
    ) = None
    """The blocks of layers, from the image to the logits: texts, and tables with the key `skip` or `repeat`."""
    python: Annotated[str, StringConstraints(pattern=r"^[^/\\:]+\.py:[A-Za-z_]\w*$")] | None = None
    """The user's own module as `FILE.py:CLASS`; the file is in the folder of the experiment."""
    arguments: Annotated[dict[str, Any], AfterValidator(check_values)] = Field(default={})
    """The keyword arguments of the user's class."""

    @model_validator(mode="after")
    def _either_layers_or_python(self) -> Self:
        if (self.layers is None) == (self.python is None):
            both = "neither" if self.layers is None else "both"
            raise ValueError(f'{both} of "layers" and "python" given, expected one of the two')
        if self.layers == ():
            raise ValueError("no layers, expected at least one block")
        if self.arguments and self.python is None:
            raise ValueError('"arguments" given with "layers", expected "python"')
        return self
