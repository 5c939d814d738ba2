"""The records of a training: counts over all images, never fractions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Annotated, Any

import pydantic

Count = Annotated[int, pydantic.Field(strict=True, ge=0)]
Finite = Annotated[float, pydantic.Field(strict=True, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Tally:
    """Loss and correct predictions over a set of images."""

    loss: Finite
    """Mean cross-entropy over all of them, in nats."""
    correct: Count
    total: Annotated[int, pydantic.Field(strict=True, ge=1)]

    @property
    def accuracy(self) -> Fraction:
        """Percent, exactly: as floats, ten of the counts around 9,940 of 10,000 fall on the wrong side of 99.4."""
        return Fraction(100 * self.correct, self.total)

    def __str__(self) -> str:
        return f"{float(self.accuracy):.2f} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One epoch of a run: a line of `epochs.jsonl`."""

    epoch: Count
    """From 1."""
    lr: Finite
    """The learning rate of its last step."""
    train: Tally
    """Measured while the weights change: with augmentation and dropout, before the step of each batch."""
    test: Tally
    """Measured after the epoch in evaluation mode, on the test images; on the validation images with a holdout."""
    held_out: bool = False
    """Whether `test` was measured on the validation split."""
    raw_test_correct: Count | None = None
    """With weight averaging: correct predictions of the weights that are not averaged."""
    train_seconds: Finite
    test_seconds: Finite

    def __str__(self) -> str:
        part = "validation" if self.held_out else "test"
        return f"epoch {self.epoch}: train {self.train}, {part} {self.test}, {part} loss {self.test.loss:.4f}"

    def to_json(self) -> dict[str, Any]:
        """The record as `epochs.jsonl` has it."""
        part = "val" if self.held_out else "test"
        raw = {} if self.raw_test_correct is None else {f"raw_{part}_correct": self.raw_test_correct}
        return {
            "epoch": self.epoch,
            "lr": self.lr,
            **{f"train_{key}": value for key, value in asdict(self.train).items()},
            **{f"{part}_{key}": value for key, value in asdict(self.test).items()},
            **raw,
            "train_seconds": self.train_seconds,
            "test_seconds": self.test_seconds,
        }

    @classmethod
    def from_json(cls, document: Any) -> EpochRecord:
        """The record that `to_json` wrote; raises ValueError where a value is missing or impossible."""
        if not isinstance(document, dict):
            raise ValueError("a record is not a table")
        held_out = "val_loss" in document
        part = "val" if held_out else "test"
        values = {
            "held_out": held_out,
            "train": {key: document.get(f"train_{key}") for key in ("loss", "correct", "total")},
            "test": {key: document.get(f"{part}_{key}") for key in ("loss", "correct", "total")},
            "raw_test_correct": document.get(f"raw_{part}_correct"),
            **{key: document.get(key) for key in ("epoch", "lr", "train_seconds", "test_seconds")},
        }
        try:
            record = _RECORD.validate_python(values)
        except pydantic.ValidationError as error:
            detail = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, detail['loc']))}: {detail['msg'].lower()}") from None
        if record.train.correct > record.train.total or record.test.correct > record.test.total:
            raise ValueError(f"epoch {record.epoch}: more correct predictions than images")
        return record


_RECORD = pydantic.TypeAdapter(EpochRecord)


def log_text(epoch: EpochRecord) -> str:
    """An epoch as the lines that authors of such drill-downs paste."""
    part = "Validation" if epoch.held_out else "Test"

    def line(name: str, tally: Tally) -> str:
        share = f"{tally.correct}/{tally.total} ({float(tally.accuracy):.2f}%)"
        return f"{name} set: Average loss: {tally.loss:.4f}, Accuracy: {share}\n"

    return f"EPOCH: {epoch.epoch}\n{line('Train', epoch.train)}{line(part, epoch.test)}\n"
