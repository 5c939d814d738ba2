"""`summary.json`, typed: the figures of a finished run. Reading it needs no PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, field_validator

from drilldown.data.conventions import Conventions
from drilldown.data.teacher import Teacher
from drilldown.evaluation.chips import ChipFigures
from drilldown.evaluation.records import Tally
from drilldown.evaluation.verdict import Verdict
from drilldown.files import damaged_file, read_json
from drilldown.shown import PublicNames


class _Part(PublicNames, BaseModel):
    """A part of the summary; fields that a later version adds are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", arbitrary_types_allowed=True)


class AccuracyFigures(_Part):
    """Accuracies of the judged epochs, in percent."""

    best: float
    """Of the best epoch; shown, never used to pass."""
    final: float
    """Of the last epoch."""
    last: tuple[float, ...]
    """Of the last epochs, which the budget judges."""
    mean_last: float


class Normalisation(_Part):
    """How the model's images are normalised, channel by channel, for pixels scaled to 0…1.

    The file of a run with grey images holds single numbers, as version 0.1 wrote them.
    """

    mean: Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(min_length=1)]
    std: Annotated[tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...], Field(min_length=1)]

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _with_channels(cls, value: Any) -> Any:
        return value if isinstance(value, list | tuple) else (value,)

    @field_serializer("mean", "std")
    def _without_channel(self, values: tuple[float, ...]) -> float | tuple[float, ...]:
        return values if len(values) > 1 else values[0]


class Machine(_Part):
    """Where a run was trained; an interrupted run, where it ended."""

    host: str
    """The machine's name in its network."""
    processor: str


class RunSummary(_Part):
    """The figures of a finished run, as `summary.json` holds them."""

    experiment: str
    """`study/step`."""
    title: str = ""
    seed: int
    fingerprint: str = ""
    parameters: int
    epochs: Annotated[int, Field(ge=1)]
    engine: str
    device: str
    threads: int
    versions: dict[str, str] = {}
    """Of drilldown, torch, python and the engine's build."""
    machine: Machine | None = None
    """None for runs of version 0.1."""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Of training and evaluation, all epochs."""
    accuracy: AccuracyFigures
    last_correct: tuple[int, ...] = ()
    total: Annotated[int, Field(ge=1)]
    """Images that each epoch is judged on."""
    test: Tally
    """Of the final model on the test images."""
    files: dict[str, str] = {}
    """The SHA-256 of the run's files, by name; empty for runs of version 0.1."""
    normalisation: Normalisation
    pictures: Conventions | None = None
    """The conventions of the dataset, by which pictures are prepared; None for runs of earlier versions."""
    clean_train_correct: Annotated[int, Field(ge=0)]
    """Training images that the final model predicts correctly, without augmentation, in evaluation mode."""
    clean_train_total: Annotated[int, Field(ge=1)]
    chip: ChipFigures | None = None
    """The int8 code on the chip of the budget, at the end of the training; None where the budget names no chip."""
    teacher: Teacher | None = None
    """The teacher whose probabilities were learned in place of the labels; None without one."""
    teacher_seen: int | None = None
    """The number of validation images that the teacher was trained on; None without both."""
    verdict: Verdict
    sha256: Annotated[str, Field(exclude=True)] = ""
    """The checksum of all other values, see `drilldown.files.with_checksum`."""

    @field_validator("verdict", mode="before")
    @classmethod
    def _read_verdict(cls, document: Any) -> Any:
        if not isinstance(document, dict):
            return document
        try:
            return Verdict.from_json(document)
        except (KeyError, TypeError) as error:
            raise ValueError("not a verdict") from error

    @field_serializer("verdict")
    def _write_verdict(self, verdict: Verdict) -> dict[str, Any]:
        return verdict.to_json()

    @property
    def clean_train_accuracy(self) -> float:
        """Percent of the training images, without augmentation, in evaluation mode."""
        return 100 * self.clean_train_correct / self.clean_train_total

    @property
    def teacher_text(self) -> str | None:
        """The teacher in words, and whether it was trained on the validation images; None without a teacher."""
        return None if self.teacher is None else self.teacher.describe(self.teacher_seen, self.total)

    def to_json(self) -> dict[str, Any]:
        """The document as `summary.json` holds it, without its checksum."""
        return self.model_dump(mode="json")


def read_summary(file: Path) -> RunSummary:
    """Reads `summary.json`; raises DrilldownError where it is damaged."""
    try:
        summary = RunSummary.model_validate(read_json(file))
    except ValidationError as error:
        detail = error.errors()[0]
        key = ".".join(map(str, detail["loc"]))
        raise damaged_file(file, f'"{key}" is {"missing" if detail["type"] == "missing" else "invalid"}') from None
    if summary.files and not summary.sha256:
        raise damaged_file(file, "its checksum is missing")
    return summary
