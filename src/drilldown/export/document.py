"""`export.json`: what was exported from a run, and how each file was judged on the whole test set."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drilldown.errors import DrilldownError, Problem
from drilldown.evaluation.records import Tally
from drilldown.export.names import FormatName, ScheduleName
from drilldown.export.targets.figures import Table, TargetFigures, figures_table, steps_table
from drilldown.export.targets.limits import Limits, exceeded
from drilldown.files import read_json
from drilldown.runs.folder import EXPORT, EXPORT_DOCUMENT, FINISHED
from drilldown.runs.run import Run
from drilldown.shown import PublicNames


class Flipped(PublicNames, BaseModel):
    """A test image that a file predicts otherwise than the run did."""

    model_config = ConfigDict(frozen=True)

    image: int
    """The position of the image among the test images, from 0."""
    truth: int
    run: int
    """The class that the run predicted."""
    exported: int
    """The class that the exported file predicts."""


class Judged(PublicNames, BaseModel):
    """A format with its files, judged on all test images."""

    model_config = ConfigDict(frozen=True)

    format: FormatName
    files: tuple[str, ...]
    """Empty where the check failed: then nothing is published."""
    correct: Annotated[int, Field(ge=0)]
    total: Annotated[int, Field(ge=1)]
    flipped: tuple[Flipped, ...]
    """The test images with another class than the run predicted."""
    differing: Annotated[int, Field(ge=0)]
    """The number of wrong answers by the format's own measure: see `measure`."""
    measure: str
    """What `differing` counts, as a clause without its number."""
    greatest: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """The greatest difference of a logit, in the logits' own unit."""
    missed: str | None = None
    """Why the check failed; None where it passed."""
    constants: int | None = None
    """The size of all constants in bytes, for C."""
    ram: int | None = None
    """The size of `struct net` in bytes, for C, where pointers have 32 bits."""
    schedule: ScheduleName | None = None
    """The order of the calculation, for C."""
    checked_with: str = ""
    """The compiler, or the runtime, that the check used."""

    @property
    def passed(self) -> bool:
        """Whether it passed its check, and was published."""
        return self.missed is None

    @property
    def sentence(self) -> str:
        """The result of the check."""
        if self.missed is not None:
            return f"FAILED: {self.missed} ({self.checked_with})"
        return f"passed: {self.differing:,} {self.measure} ({self.checked_with})"


class Export(PublicNames, BaseModel):
    """What was exported from a run."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    experiment: str
    """`study/step`."""
    fingerprint: str
    seed: int
    weights: str
    """The SHA-256 of the file with the weights that were exported."""
    versions: dict[str, str]
    """Of drilldown and of PyTorch."""
    test: Tally
    """Of the run itself, on the test images."""
    formats: tuple[Judged, ...]
    refused: dict[FormatName, str]
    """The formats that this network has no files in, with the reason."""
    targets: tuple[TargetFigures, ...] = ()
    """The figures of the int8 code in C on processors."""
    limits: Limits = Limits()
    """For each target."""

    @property
    def exceeded(self) -> tuple[str, ...]:
        """A sentence for each limit that is not kept."""
        return tuple(line for figures in self.targets for line in exceeded(self.limits, figures))

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables about targets: the figures, and the instructions of each step."""
        return tuple(table for table in (figures_table(self.targets), steps_table(self.targets)) if table.rows)

    @property
    def remarks(self) -> tuple[str, ...]:
        """How the figures of the targets were found, and the limits that are exceeded."""
        return (*(line for figures in self.targets for line in figures.sentences), *self.exceeded)

    @property
    def passed(self) -> bool:
        """Whether all formats passed their checks, and all limits are kept."""
        return all(judged.passed for judged in self.formats) and not self.exceeded

    def to_json(self) -> dict[str, Any]:
        """The document as `export.json` holds it, without its checksum."""
        formats = [{**judged.model_dump(mode="json"), "passed": judged.passed} for judged in self.formats]
        return {
            **self.model_dump(mode="json"),
            "passed": self.passed,
            "exceeded": list(self.exceeded),
            "formats": formats,
        }


def read_export(run: Run) -> Export | None:
    """Reads what was exported from a run; None where nothing was, or where it was exported from other weights.

    *Raises* DrilldownError where the document is damaged.
    """
    file = run.path / EXPORT / EXPORT_DOCUMENT
    document = read_json(file)
    if not document or run.status != FINISHED:
        return None
    try:
        export = Export.model_validate(document)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise DrilldownError(
            Problem(file=file, found=f'"{place}" is invalid', suggestion="repeat drilldown export")
        ) from None
    return export if export.weights == run.weights_digest else None
