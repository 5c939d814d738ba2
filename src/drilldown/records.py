"""What a training says about itself: counts over all images, never fractions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Self

import torch
import torch.nn.functional as F


@dataclass(frozen=True, slots=True)
class Tally:
    """Loss and correct answers over a set of images."""

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


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A network's answers to a set of images."""

    tally: Tally
    scores: torch.Tensor
    """(N, classes), float32, on the CPU: the class scores before softmax."""

    @classmethod
    def of(cls, scores: torch.Tensor, labels: torch.Tensor) -> Self:
        """Class scores (N, classes) against labels (N); the loss in double precision."""
        scores, labels = scores.cpu(), labels.cpu()
        loss = float(F.cross_entropy(scores.double(), labels))
        return cls(Tally(loss, int((scores.argmax(1) == labels).sum()), len(labels)), scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One epoch of a run: a line of `epochs.jsonl`."""

    epoch: int
    """From 1."""
    lr: float
    """The learning rate of its last step."""
    train: Tally
    """Running, while the weights changed: with augmentation and dropout, before each batch's step."""
    test: Tally
    """After it, in evaluation mode, on the test images, or on the validation images where there are some."""
    held_out: bool = False
    """Whether `test` was measured on the validation split."""
    raw_test_correct: int | None = None
    """With weight averaging: what the weights that are not averaged get right."""
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
    def from_json(cls, said: dict[str, Any]) -> Epoch:
        """The record that `to_json` wrote."""
        held_out = "val_loss" in said
        part = "val" if held_out else "test"

        def tally(of: str) -> Tally:
            return Tally(said[f"{of}_loss"], said[f"{of}_correct"], said[f"{of}_total"])

        return cls(
            epoch=said["epoch"],
            lr=said["lr"],
            train=tally("train"),
            test=tally(part),
            held_out=held_out,
            raw_test_correct=said.get(f"raw_{part}_correct"),
            train_seconds=said["train_seconds"],
            test_seconds=said["test_seconds"],
        )


def log_lines(epoch: Epoch) -> str:
    """An epoch as the lines that authors of such drill-downs paste."""
    part = "Validation" if epoch.held_out else "Test"

    def line(name: str, tally: Tally) -> str:
        share = f"{tally.correct}/{tally.total} ({float(tally.accuracy):.2f}%)"
        return f"{name} set: Average loss: {tally.loss:.4f}, Accuracy: {share}\n"

    return f"EPOCH: {epoch.epoch}\n{line('Train', epoch.train)}{line(part, epoch.test)}\n"
