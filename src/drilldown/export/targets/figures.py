"""The figures of one target, as `export.json` holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from drilldown.experiment.chip import TargetName
from drilldown.shown import PublicNames

Count = Annotated[int, Field(ge=0)]

COLUMNS = ("target", "flash", "text", "rodata", "data", "bss", "RAM", "stack", "an image")
"""The heads of the table of figures."""


class Sizes(PublicNames, BaseModel):
    """The compiled code, in bytes."""

    model_config = ConfigDict(frozen=True)

    flash: Count
    """`text`, `rodata` and `data` together."""
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
    """`sizeof(struct net)` with `data` and `bss`."""
    stack: Count
    """The deepest chain of calls from a function of the header: its frames summed, of `-fstack-usage`."""


class StepCost(PublicNames, BaseModel):
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
    steps: tuple[StepCost, ...] = ()
    """Empty where the emulator does not tell them apart. The rest of `count` puts the steps in order."""


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
        found = f"{self.execution.differing:,} logits of {self.execution.images:,} images"
        return f"on {self.target}, {found} differ from the reference"

    @property
    def cells(self) -> tuple[str, ...]:
        """Its row in the table of figures."""
        s, run = self.sizes, self.execution
        sizes = (None,) * 7 if s is None else (s.flash, s.text, s.rodata, s.data, s.bss, s.ram, s.stack)
        image = "-" if run is None else f"{run.count:,.0f}{' cycles' if run.unit == 'cycles' else ''}"
        return (self.target, *("-" if size is None else f"{size:,}" for size in sizes), image)

    @property
    def sentences(self) -> tuple[str, ...]:
        """How the code was compiled and run, and what is missing."""
        run, lines = self.execution, [self.compiler] if self.compiler else []
        if run is not None:
            found = f"{run.differing:,} logits" if run.differing else "no logit"
            lines.append(f"{found} of {run.images:,} test images differs from the reference ({run.emulator})")
        return tuple(f"{self.target}: {line}" for line in (*lines, *(f"missing: {reason}" for reason in self.missing)))


class Table(NamedTuple):
    """A table as it is shown; all columns but the first have numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def figures_table(targets: Sequence[TargetFigures]) -> Table:
    """The figures of each target; one that is missing is a `-`."""
    return Table(COLUMNS, tuple(figures.cells for figures in targets))


def steps_table(targets: Sequence[TargetFigures]) -> Table:
    """The instructions of each step, with a column for each target that has them; no rows where none has."""
    counted = [(figures.target, figures.execution) for figures in targets]
    known = [(target, run) for target, run in counted if run is not None and run.steps]
    head = ("step", *(target for target, _ in known))
    if not known:
        return Table(head, ())
    columns = [[step.count for step in run.steps] for _, run in known]
    for column, (_, run) in zip(columns, known, strict=True):
        column.append(run.count - sum(column))
    names = [*(step.name for step in known[0][1].steps), "order of the steps"]
    return Table(
        head, tuple((name, *(f"{count:,.0f}" for count in row)) for name, *row in zip(names, *columns, strict=True))
    )
