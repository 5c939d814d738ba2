"""The runs of one experiment over seeds: which there are, and what they came to."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drilldown.effects import Effect, paired
from drilldown.experiment import Experiment
from drilldown.records import Epoch
from drilldown.runs import DIVERGED, FINISHED, Run
from drilldown.verdict import PassRate, Spread, spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A finished run, read once."""

    run: Run
    seed: int
    epochs: tuple[Epoch, ...]
    summary: dict[str, Any]

    @classmethod
    def read(cls, run: Run) -> Finished:
        """What a finished run's folder says."""
        summary = run.summary
        return cls(run=run, seed=int(summary["seed"]), epochs=run.epochs, summary=summary)

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
        """Percent of the training images, seen plainly."""
        return 100 * float(self.summary["clean_train_correct"]) / float(self.summary["clean_train_total"])

    @property
    def epoch_seconds(self) -> float:
        """Of training and evaluation, median over the epochs."""
        return statistics.median(epoch.train_seconds + epoch.test_seconds for epoch in self.epochs)

    @property
    def passed(self) -> bool:
        """Whether it met its budget."""
        return bool(self.summary["verdict"]["passed"])

    @property
    def split(self) -> str:
        """What its epochs were measured on: `test` or `validation`."""
        return str(self.summary["verdict"]["split"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """All runs of an experiment that there are."""

    experiment: Experiment
    finished: tuple[Finished, ...]
    """In the order of their seeds."""
    diverged: tuple[Run, ...]
    unfinished: tuple[Run, ...]
    """Interrupted, or under way."""

    @classmethod
    def of(cls, experiment: Experiment, root: Path) -> Seeds:
        """The runs of an experiment under the folder of all runs."""
        folder = Run.of(experiment, 0, root).path.parent
        return cls.among(experiment, [Run(file.parent) for file in folder.glob("seed-*/experiment.toml")])

    @classmethod
    def among(cls, experiment: Experiment, runs: Iterable[Run]) -> Seeds:
        """The runs given, all of them of one experiment."""
        found = sorted(((run.status, run) for run in runs), key=lambda pair: pair[1].seed)
        return cls(
            experiment=experiment,
            finished=tuple(Finished.read(run) for status, run in found if status == FINISHED),
            diverged=tuple(run for status, run in found if status == DIVERGED),
            unfinished=tuple(run for status, run in found if status not in (FINISHED, DIVERGED)),
        )

    @property
    def paths(self) -> set[Path]:
        """Where the finished runs lie."""
        return {one.run.path.resolve() for one in self.finished}

    @property
    def n(self) -> int:
        """Seeds that came to an end, for better or worse."""
        return len(self.finished) + len(self.diverged)

    @property
    def hold(self) -> int:
        """How many last epochs its accuracy is a mean of."""
        return min(self.experiment.budget.hold, self.experiment.recipe.epochs)

    @property
    def total(self) -> int:
        """Images that accuracies are measured on; only where a run is finished."""
        return self.finished[0].epochs[0].test.total

    @property
    def split(self) -> str:
        """What epochs are measured on: `test` or `validation`."""
        return "test" if self.experiment.recipe.holdout is None else "validation"

    @property
    def rate(self) -> PassRate | None:
        """How many met the budget, those that diverged counted as failed; None without runs."""
        return PassRate(sum(one.passed for one in self.finished), self.n) if self.n else None

    def spread(self, figure: Callable[[Finished], float]) -> Spread | None:
        """A figure over the finished seeds; None where there are none."""
        return spread([figure(one) for one in self.finished]) if self.finished else None

    def by_epoch(self, figure: Callable[[Epoch], float]) -> list[list[float]]:
        """A figure of each epoch, over the finished seeds: a list an epoch."""
        return [[figure(epoch) for epoch in same] for same in zip(*(one.epochs for one in self.finished), strict=True)]

    def accuracies(self, hold: int | None = None) -> dict[int, float]:
        """By seed, percent, mean of the last epochs."""
        return {one.seed: one.accuracy(hold or self.hold) for one in self.finished}

    def losses(self, hold: int | None = None) -> dict[int, float]:
        """By seed, cross-entropy in nats, mean of the last epochs."""
        return {one.seed: one.loss(hold or self.hold) for one in self.finished}

    @property
    def accuracy(self) -> Spread | None:
        """Percent, mean of the last epochs, over seeds."""
        return self.spread(lambda one: one.accuracy(self.hold))

    @property
    def loss(self) -> Spread | None:
        """Cross-entropy in nats, mean of the last epochs, over seeds."""
        return self.spread(lambda one: one.loss(self.hold))


def worth(before: Seeds, after: Seeds) -> tuple[Effect | None, Effect | None]:
    """After minus before, paired by seed, over the last epochs that both hold; None where they share no finished seed.

    *Returns* the effect on accuracy, in points, and on loss, in nats.
    """
    hold = min(before.hold, after.hold)
    return paired(before.accuracies(hold), after.accuracies(hold)), paired(before.losses(hold), after.losses(hold))


def incomparable(one: Seeds, other: Seeds) -> str | None:
    """Why accuracies of two experiments must not be subtracted; None where they may."""
    datasets = one.experiment.recipe.dataset, other.experiment.recipe.dataset
    if datasets[0] != datasets[1]:
        return f"different data ({datasets[0]}, {datasets[1]})"
    if one.split != other.split:
        return f"measured on different images ({one.split}, {other.split})"
    if one.experiment.recipe.holdout != other.experiment.recipe.holdout:
        return "measured on validation splits of different size"
    return None
