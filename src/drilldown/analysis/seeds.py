"""All runs of one experiment, and their figures over seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from drilldown.evaluation.effects import Effect, paired_effect
from drilldown.evaluation.intervals import PassRate, Spread, measure_spread
from drilldown.evaluation.records import EpochRecord
from drilldown.experiment.experiment import Experiment
from drilldown.runs.folder import DIVERGED, FINISHED
from drilldown.runs.run import FinishedRun, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """All runs of an experiment on disk."""

    experiment: Experiment
    finished: tuple[FinishedRun, ...]
    """Ordered by seed."""
    diverged: tuple[Run, ...]
    unfinished: tuple[Run, ...]
    """Interrupted or running."""

    @classmethod
    def of(cls, experiment: Experiment, runs_dir: Path) -> Seeds:
        """Reads the runs of an experiment under the folder of all runs."""
        return cls.among(experiment, Run.all_of(experiment, runs_dir))

    @classmethod
    def among(cls, experiment: Experiment, runs: Iterable[Run]) -> Seeds:
        """Sorts the given runs of one experiment by status."""
        by_status = [(run.status, run) for run in runs]
        finished = [run.read() for status, run in by_status if status == FINISHED]
        diverged = [run for status, run in by_status if status == DIVERGED]
        unfinished = [run for status, run in by_status if status not in (FINISHED, DIVERGED)]
        return cls(
            experiment=experiment,
            finished=tuple(sorted(finished, key=lambda run: run.seed)),
            diverged=tuple(sorted(diverged, key=lambda run: run.seed)),
            unfinished=tuple(sorted(unfinished, key=lambda run: run.seed)),
        )

    @property
    def paths(self) -> set[Path]:
        """The folders of the finished runs."""
        return {finished.run.path.resolve() for finished in self.finished}

    @property
    def n(self) -> int:
        """The number of finished and diverged seeds."""
        return len(self.finished) + len(self.diverged)

    @property
    def hold(self) -> int:
        """The number of last epochs over which its accuracy is averaged."""
        return min(self.experiment.budget.hold, self.experiment.recipe.epochs)

    @property
    def total(self) -> int:
        """The number of images that accuracies are measured on; needs a finished run."""
        return self.finished[0].epochs[0].test.total

    @property
    def split(self) -> str:
        """The split that epochs are measured on: `test` or `validation`."""
        return "test" if self.experiment.recipe.holdout is None else "validation"

    @property
    def teacher(self) -> str | None:
        """The teacher of its finished seeds in words; None without one."""
        return next((str(run.summary.teacher) for run in self.finished if run.summary.teacher), None)

    @property
    def rate(self) -> PassRate | None:
        """The seeds that met the budget; diverged seeds count as failed; None without runs."""
        return PassRate(sum(run.passed for run in self.finished), self.n) if self.n else None

    def spread(self, figure: Callable[[FinishedRun], float]) -> Spread | None:
        """Measures the spread of a figure over the finished seeds; None without finished seeds."""
        return measure_spread([figure(run) for run in self.finished]) if self.finished else None

    def by_epoch(self, figure: Callable[[EpochRecord], float]) -> list[list[float]]:
        """Returns a figure of each epoch over the finished seeds: one list per epoch."""
        return [[figure(epoch) for epoch in same] for same in zip(*(run.epochs for run in self.finished), strict=True)]

    def accuracies(self, hold: int | None = None) -> dict[int, float]:
        """Returns the mean accuracy of the last epochs in percent, by seed."""
        return {run.seed: run.accuracy(hold or self.hold) for run in self.finished}

    def losses(self, hold: int | None = None) -> dict[int, float]:
        """Returns the mean cross-entropy of the last epochs in nats, by seed."""
        return {run.seed: run.loss(hold or self.hold) for run in self.finished}

    @property
    def accuracy(self) -> Spread | None:
        """The mean accuracy of the last epochs in percent, over seeds."""
        return self.spread(lambda run: run.accuracy(self.hold))

    @property
    def loss(self) -> Spread | None:
        """The mean cross-entropy of the last epochs in nats, over seeds."""
        return self.spread(lambda run: run.loss(self.hold))


def measure_effect(before: Seeds, after: Seeds) -> tuple[Effect | None, Effect | None]:
    """Measures the effect of a change: after minus before, paired by seed; None where they share no finished seed.

    Both are averaged over the same number of last epochs.

    *Returns* the effect on accuracy, in points, and on loss, in nats.
    """
    hold = min(before.hold, after.hold)
    return paired_effect(before.accuracies(hold), after.accuracies(hold)), paired_effect(
        before.losses(hold), after.losses(hold)
    )


def why_incomparable(first: Seeds, second: Seeds) -> str | None:
    """Returns the reason why two experiments cannot be compared by their accuracies; None where they can."""
    datasets = first.experiment.recipe.dataset, second.experiment.recipe.dataset
    if datasets[0] != datasets[1]:
        return f"different data ({datasets[0]}, {datasets[1]})"
    if first.split != second.split:
        return f"measured on different images ({first.split}, {second.split})"
    holdouts = first.experiment.recipe.holdout, second.experiment.recipe.holdout
    if holdouts[0] != holdouts[1]:
        return f"measured on different validation splits ({holdouts[0]}, {holdouts[1]})"
    return None
