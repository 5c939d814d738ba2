"""A training of two batches, which a dry run makes in place of a whole one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from drilldown.data.dataset import Split
from drilldown.engines.engine import EpochPlan
from drilldown.evaluation.predictions import Evaluation
from drilldown.evaluation.records import EpochRecord
from drilldown.training.steps import take_steps
from drilldown.training.training import Training

EVALUATED = 100
"""The images of each split that are evaluated."""


class DryTraining(Training):
    """Trains the last two batches of the first epoch, and evaluates a few images.

    The last batch of an epoch may be smaller than the others, so both sizes are tried.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs"])
    >>> [(epoch.train.total, epoch.test.total) for epoch in DryTraining(experiment)]  # 6,000 images, batches of 64
    [(112, 100)]
    """

    def __iter__(self) -> Iterator[EpochRecord]:
        """Trains one epoch, which consists of two batches."""
        self.judged = _first(self.judged)
        yield next(super().__iter__())

    def plan(self, number: int) -> EpochPlan:
        """The last two steps of an epoch's plan."""
        stop = self.steps_per_epoch
        return take_steps(super().plan(number), max(0, stop - 2), stop, self.experiment.recipe.batch_size)

    def final(self) -> tuple[Evaluation, Evaluation]:
        """Evaluates a few images; as predictions for the other test images, it repeats those."""
        whole = self.test
        self.test, self.dataset = _first(whole), replace(self.dataset, train=_first(self.dataset.train))
        test, clean_train = super().final()
        repeats = -(-len(whole) // len(self.test))
        return Evaluation.of(test.logits.repeat(repeats, 1)[: len(whole)], whole.labels), clean_train


def _first(split: Split) -> Split:
    return split.take(torch.arange(min(EVALUATED, len(split))))
