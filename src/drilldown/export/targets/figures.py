"""The figures of one target, as `export.json` holds them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from drilldown.export.targets.catalogue import TargetName
from drilldown.shown import PublicNames

Count = Annotated[int, Field(ge=0)]


class Sizes(PublicNames, BaseModel):
    """The compiled code, in bytes."""

    model_config = ConfigDict(frozen=True)

    text: Count
    """The instructions, with the functions that they need from the compiler's library."""
    rodata: Count
    """The constants."""
    data: Count
    """Variables with a first value."""
    bss: Count
    """Variables that begin with 0."""
    library: Count
    """The part of `text` that comes from the compiler's library, such as a division."""
    ram: Count
    """`sizeof(struct net)` with `data` and `bss`; where the processor copies constants into the RAM, also `rodata`."""
    stack: Count
    """The deepest chain of calls from a function of the header: its frames summed, of `-fstack-usage`."""

    @property
    def flash(self) -> int:
        """The bytes of the flash memory."""
        return self.text + self.rodata + self.data


class LayerCost(PublicNames, BaseModel):
    """The cost of one step of the network."""

    model_config = ConfigDict(frozen=True)

    name: str
    count: Annotated[float, Field(ge=0)]
    """The mean for an image."""


class Execution(PublicNames, BaseModel):
    """The code on test images, run by an emulator."""

    model_config = ConfigDict(frozen=True)

    emulator: str
    images: Annotated[int, Field(ge=1)]
    """The number of test images that it ran, the first ones."""
    differing: Count
    """The number of logits that differ from the reference."""
    unit: Literal["instructions", "cycles"]
    count: Annotated[float, Field(ge=0)]
    """The mean for an image."""
    layers: tuple[LayerCost, ...] = ()
    """Empty where the emulator does not tell them apart. What is missing to `count` puts the steps in order."""


class TargetFigures(PublicNames, BaseModel):
    """What is known about the int8 code on one target."""

    model_config = ConfigDict(frozen=True)

    target: TargetName
    processor: str
    compiler: str = ""
    """The compiler with its version, and the flags; empty where it is missing."""
    sizes: Sizes | None = None
    execution: Execution | None = None
    missing: tuple[str, ...] = ()
    """Why figures are missing, and which package to install."""

    @property
    def missed(self) -> str | None:
        """A sentence where logits differ from the reference."""
        if self.execution is None or not self.execution.differing:
            return None
        return f"on {self.target}, {self.execution.differing:,} logits of {self.execution.images:,} images differ"
