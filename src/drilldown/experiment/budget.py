"""The budget of an experiment: limits for parameters and epochs, a bar for accuracy, and limits on a chip."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from drilldown.experiment.chip import ByteLimit, TargetName
from drilldown.table import Percent, Table


def _not_a_fraction(accuracy: float) -> float:
    if 0 < accuracy <= 1:
        raise ValueError(f"found {accuracy}, expected percent, such as {100 * accuracy:g}")
    return accuracy


class Budget(Table):
    """Limits for parameters and epochs, an accuracy bar for the last epochs, and limits on a chip; a missing limit is
    not checked."""

    parameters: Annotated[int, Field(ge=1)] | None = None
    """The largest number of trainable parameters."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """The largest number of epochs."""
    accuracy: Annotated[Percent, AfterValidator(_not_a_fraction)] | None = None
    """The accuracy, in percent, that each of the last `hold` epochs must reach."""
    hold: Annotated[int, Field(ge=1)] = 5
    """The number of last epochs that must reach `accuracy`."""
    flash: ByteLimit | None = None
    """The flash that the int8 code in C may take on `chip`, in bytes or as `"16k"`: code and constants."""
    ram: ByteLimit | None = None
    """The RAM that it may take there, in bytes or as `"4k"`: `struct net` and the stack."""
    chip: TargetName | None = None
    """The processor that `flash` and `ram` are meant for. There is no default: the same code takes twice the flash on
    another one."""

    @property
    def chip_text(self) -> str:
        """The limits on a chip in words; empty where there are none.

        >>> Budget(flash="16k", ram="4k", chip="avr").chip_text
        'at most 16,384 B of flash and 4,096 B of RAM on avr'
        """
        pairs = ("flash", self.flash), ("RAM", self.ram)
        limits = " and ".join(f"{limit:,} B of {name}" for name, limit in pairs if limit is not None)
        return f"at most {limits} on {self.chip}" if limits else ""

    @model_validator(mode="after")
    def _chip_with_limits(self) -> Self:
        limits = [name for name in ("flash", "ram") if getattr(self, name) is not None]
        if limits and self.chip is None:
            raise ValueError(f'{" and ".join(limits)} without a chip, expected also, for example, chip = "cortex-m4"')
        if self.chip is not None and not limits:
            raise ValueError(f'chip = "{self.chip}" limits nothing, expected also flash or ram, such as flash = "16k"')
        return self
