"""The budget of an experiment: limits for parameters and epochs, and a bar for accuracy."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from drilldown.table import Percent, Table


def _not_a_fraction(accuracy: float) -> float:
    if 0 < accuracy <= 1:
        raise ValueError(f"found {accuracy}, expected percent, such as {100 * accuracy:g}")
    return accuracy


class Budget(Table):
    """Limits for parameters and epochs, and an accuracy bar for the last epochs; a missing limit is not checked."""

    parameters: Annotated[int, Field(ge=1)] | None = None
    """The largest number of trainable parameters."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """The largest number of epochs."""
    accuracy: Annotated[Percent, AfterValidator(_not_a_fraction)] | None = None
    """The accuracy, in percent, that each of the last `hold` epochs must reach."""
    hold: Annotated[int, Field(ge=1)] = 5
    """The number of last epochs that must reach `accuracy`."""
