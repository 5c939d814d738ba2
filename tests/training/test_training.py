"""The training loop: its plans, its records, and what it refuses before the first epoch."""

from __future__ import annotations

import pytest
import torch

from drilldown import Compute, Training, load
from drilldown.data.dataset import Dataset
from drilldown.errors import DrilldownError

RECIPE = ["recipe.dataset=glyphs", "recipe.epochs=2", "recipe.batch_size=64"]


def test_a_plan_holds_every_image_once_and_a_learning_rate_per_step(tiny: Dataset) -> None:
    training = Training(load("under-8k", RECIPE), tiny, compute=Compute(engine="torch"))
    first, second = training.plan(1), training.plan(2)
    for plan in (first, second):
        assert sorted(plan.order.tolist()) == list(range(len(tiny.train)))
        assert len(plan.learning_rates) == 4  # 200 images in batches of 64
    assert not torch.equal(first.order, second.order)
    assert first.dropout_seed != second.dropout_seed
    recipe = training.experiment.recipe
    rates = [recipe.schedule.learning_rate(recipe.optimizer.lr, step, 4, 8) for step in range(8)]
    assert [*first.learning_rates, *second.learning_rates] == rates


def test_a_plan_depends_on_seed_and_epoch_alone(tiny: Dataset) -> None:
    one, other = (Training(load("under-8k", RECIPE), tiny, seed=3, compute=Compute(engine="torch")) for _ in range(2))
    list(other)  # a training that has trained makes the same plans
    assert torch.equal(one.plan(2).order, other.plan(2).order)
    assert one.plan(2).dropout_seed == other.plan(2).dropout_seed
    another = Training(load("under-8k", RECIPE), tiny, seed=4, compute=Compute(engine="torch"))
    assert not torch.equal(one.plan(2).order, another.plan(2).order)


def test_each_epoch_yields_its_record(tiny: Dataset) -> None:
    training = Training(load("under-8k", RECIPE), tiny, compute=Compute(engine="torch"))
    records = list(training)
    assert [record.epoch for record in records] == [1, 2]
    assert tuple(records) == training.epochs
    assert {(record.train.total, record.test.total) for record in records} == {(200, 100)}
    assert list(training) == []


def test_a_batch_larger_than_the_training_set_is_refused(tiny: Dataset) -> None:
    with pytest.raises(DrilldownError, match="at most 200, the number of training images"):
        Training(load("under-8k", ["recipe.dataset=glyphs", "recipe.batch_size=201"]), tiny)
