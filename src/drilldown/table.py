"""The base of all TOML tables, and the kinds of numbers in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from drilldown.errors import DrilldownError, Problem
from drilldown.shown import PublicNames


class Table(PublicNames, BaseModel):
    """A TOML table: immutable, with exact types; unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    if not TYPE_CHECKING:  # a type checker reports a changed value by itself

        def __setattr__(self, name: str, value: object) -> None:
            """Refuses a changed value with a message that says what to do instead."""
            if not name.startswith("_"):
                raise DrilldownError(
                    Problem(
                        place=name,
                        found="the settings of an experiment cannot be changed",
                        suggestion='load it with the new value, as in drilldown.load("under-8k", ["recipe.epochs=5"])',
                    )
                )
            super().__setattr__(name, value)


Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
