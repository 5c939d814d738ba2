"""The records of a training: counts over all images, never fractions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any


@dataclass(frozen=True, slots=True)
class Tally:
    """Loss and correct predictions over a set of images."""

    loss: float
    """Mean cross-entropy over all of them, in nats."""
    correct: int
    total: int

    @property
    def accuracy(self) -> Fraction:
        """Percent, exactly: as floats, ten of the counts around 9,940 of 10,000 fall on the wrong side of 99.4."""
        return Fraction(100 * self.correct, self.total)

    def __str__(self) -> str:
        return f"{float(self.accuracy):.2f} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One epoch of a run: a line of `epochs.jsonl`."""

    epoch: int
    """From 1."""
    lr: float
    """The learning rate of its last step."""
    train: Tally
    """Measured while the weights change: with augmentation and dropout, before the step of each batch."""
    test: Tally
    """Measured after the epoch in evaluation mode, on the test images; on the validation images with a holdout."""
    held_out: bool = False
    """Whether `test` was measured on the validation split."""
    raw_test_correct: int | None = None
    """With weight averaging: correct predictions of the weights that are not averaged."""
    train_seconds: float
    test_seconds: float

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
    def from_json(cls, document: dict[str, Any]) -> EpochRecord:
        """The record that `to_json` wrote."""
        held_out = "val_loss" in document
        part = "val" if held_out else "test"

        def tally(of: str) -> Tally:
            return Tally(document[f"{of}_loss"], document[f"{of}_correct"], document[f"{of}_total"])

        return cls(
            epoch=document["epoch"],
            lr=document["lr"],
            train=tally("train"),
            test=tally(part),
            held_out=held_out,
            raw_test_correct=document.get(f"raw_{part}_correct"),
            train_seconds=document["train_seconds"],
            test_seconds=document["test_seconds"],
        )


def log_text(epoch: EpochRecord) -> str:
    """An epoch as the lines that authors of such drill-downs paste."""
    part = "Validation" if epoch.held_out else "Test"

    def line(name: str, tally: Tally) -> str:
        share = f"{tally.correct}/{tally.total} ({float(tally.accuracy):.2f}%)"
        return f"{name} set: Average loss: {tally.loss:.4f}, Accuracy: {share}\n"

    return f"EPOCH: {epoch.epoch}\n{line('Train', epoch.train)}{line(part, epoch.test)}\n"
