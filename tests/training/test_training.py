"""The training loop: its plans, its records, and what it refuses before the first epoch."""

from __future__ import annotations

import pytest
import torch

from drilldown import Compute, Training, load
from drilldown.data.dataset import Dataset
from drilldown.errors import DrilldownError
from drilldown.settings import EngineName

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


RESUMED = {
    "plateau": ['recipe.schedule={ name = "plateau", patience = 0, threshold = 0.9, factor = 0.5, warmup = 0.1 }'],
    "rmsprop": ['recipe.optimizer={ name = "rmsprop", lr = 0.001, momentum = 0.5, centered = true }'],
    "nadam": ['recipe.optimizer={ name = "nadam", lr = 0.001 }', "recipe.l1=0.001"],
    "augmentation": [
        "recipe.augment={ crop = { size = 22, p = 0.3 }, flip = {}, rotate = { degrees = 9, fade = 0.5 } }"
    ],
    "more augmentation": ["recipe.augment={ perspective = 0.2, elastic = { fade = 0.5 }, erase = {} }"],
}


@pytest.mark.parametrize(("name", "engine"), [
    *((name, "torch") for name in RESUMED), ("plateau", "native"), ("augmentation", "native"),
])  # fmt: skip
def test_a_resumed_training_ends_with_the_same_bits(name: str, engine: EngineName, tiny: Dataset) -> None:
    experiment = load(
        "eva5-s5/06", ["recipe.dataset=glyphs", "recipe.epochs=4", "recipe.batch_size=64", *RESUMED[name]]
    )
    compute = Compute(engine=engine, device="cpu", threads=1)
    whole = Training(experiment, tiny, seed=3, compute=compute)
    begun = Training(experiment, tiny, seed=3, compute=compute)
    list(whole)
    for _ in zip(range(2), begun, strict=False):
        pass
    resumed = Training(experiment, tiny, seed=3, compute=compute, checkpoint=begun.checkpoint())
    list(resumed)
    assert [epoch.lr for epoch in resumed.epochs] == [epoch.lr for epoch in whole.epochs]
    expected = whole.engine.state()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in resumed.engine.state().items())


def test_the_learning_rate_on_a_plateau_follows_from_the_training_losses_of_the_epochs_before(tiny: Dataset) -> None:
    schedule = 'recipe.schedule={ name = "plateau", patience = 0, threshold = 0.5, factor = 0.1, floor = 1e-4 }'
    training = Training(load("under-8k", [*RECIPE, "recipe.epochs=5", schedule]), tiny, compute=Compute(engine="torch"))
    list(training)
    expected, lowest, lr = [], float("inf"), training.experiment.recipe.optimizer.lr
    for epoch in training.epochs:
        expected.append(lr)
        if epoch.train.loss < 0.5 * lowest:
            lowest = epoch.train.loss
        else:
            lr = max(1e-4, 0.1 * lr)
    assert len(set(expected)) > 2
    assert [epoch.lr for epoch in training.epochs] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("augment", "place"), [("crop = 28", "crop.size"), ("affine = { translate = [2, 40] }", "affine.translate")]
)
def test_pixels_beyond_the_image_are_refused(augment: str, place: str, tiny: Dataset) -> None:
    with pytest.raises(DrilldownError, match=rf"recipe\.augment\.{place}: found \d+ pixels, and the images are 28x28"):
        Training(load("under-8k", [*RECIPE, f"recipe.augment={{ {augment} }}"]), tiny)
