"""The records of a finished run, read once."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drilldown.evaluation.records import EpochRecord
from drilldown.evaluation.verdict import Verdict
from drilldown.runs.summary import RunSummary

if TYPE_CHECKING:
    from drilldown.runs.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """The records of a finished run, from which tables, figures and reports are made."""

    run: Run
    seed: int
    epochs: tuple[EpochRecord, ...]
    summary: RunSummary
    verdict: Verdict
    """The verdict by the budget that holds."""
    hold: int
    """The number of last epochs that the budget judges."""

    @property
    def passed(self) -> bool:
        """Whether it met its budget."""
        return self.verdict.passed

    @property
    def split(self) -> str:
        """The images that its epochs were measured on: `test` or `validation`."""
        return self.verdict.split

    @property
    def last(self) -> tuple[float, ...]:
        """Percent, of each of the epochs that the budget judges."""
        return tuple(float(epoch.test.accuracy) for epoch in self.epochs[-self.hold :])

    def accuracy(self, hold: int) -> float:
        """Percent, mean of the last `hold` epochs."""
        last = [epoch.test for epoch in self.epochs[-hold:]]
        return 100 * sum(tally.correct for tally in last) / sum(tally.total for tally in last)

    def worst(self, hold: int) -> float:
        """Percent, of the worst of the last `hold` epochs."""
        return float(min(epoch.test.accuracy for epoch in self.epochs[-hold:]))

    def loss(self, hold: int) -> float:
        """Cross-entropy in nats, mean of the last `hold` epochs."""
        return statistics.fmean(epoch.test.loss for epoch in self.epochs[-hold:])

    @property
    def best(self) -> float:
        """Percent, of the best epoch."""
        return float(max(epoch.test.accuracy for epoch in self.epochs))

    @property
    def final(self) -> float:
        """Percent, of the last epoch."""
        return float(self.epochs[-1].test.accuracy)

    @property
    def clean_train(self) -> float:
        """Percent of the training images, without augmentation, in evaluation mode."""
        return self.summary.clean_train_accuracy

    @property
    def epoch_seconds(self) -> float:
        """Seconds of training and evaluation, median over the epochs."""
        return statistics.median(epoch.train_seconds + epoch.test_seconds for epoch in self.epochs)
