"""The training loop: its plans, its records, and what it refuses before the first epoch."""

from __future__ import annotations

import pytest
import torch

from drilldown import Compute, Training, load
from drilldown.data.dataset import Dataset
from drilldown.errors import DrilldownError
from drilldown.evaluation.predictions import predict_logits
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
    "int4": ["recipe.precision=int4", "recipe.ema=0.9"],
}


@pytest.mark.parametrize(("name", "engine"), [
    *((name, "torch") for name in RESUMED), ("plateau", "native"), ("augmentation", "native"), ("int4", "native"),
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


@pytest.mark.parametrize("engine", ["torch", "native"])
def test_with_int4_the_judged_and_saved_weights_are_rounded_and_the_trained_ones_are_not(
    engine: EngineName, tiny: Dataset
) -> None:
    experiment = load("eva5-s5/06", [*RECIPE, "recipe.precision=int4", "recipe.ema=0.8"])
    training = Training(experiment, tiny, compute=Compute(engine=engine, device="cpu"))
    list(training)
    model, state = training.engine.model(), training.engine.state()
    logits = predict_logits(model, tiny.test.images, tiny.mean, tiny.std)
    torch.testing.assert_close(training.engine.evaluate(tiny.test).logits, logits, rtol=1e-4, atol=1e-5)
    saved = experiment.build()
    saved.load_state_dict(model.state_dict())
    assert torch.equal(predict_logits(saved.eval(), tiny.test.images, tiny.mean, tiny.std), logits)
    for part, weight in ("average", model.get_parameter("conv2.weight")), ("network", None):
        exact = state[f"{part}.conv2.weight"]
        counts = [len((row / row.abs().max() * 7).round().unique()) for row in exact]
        assert max(len(row.unique()) for row in exact) > 15 >= max(counts)
        if weight is not None:
            steps = exact.abs().amax((1, 2, 3), keepdim=True) / 7
            torch.testing.assert_close(weight.detach(), (exact / steps).round() * steps)


@pytest.mark.parametrize(
    ("augment", "place"), [("crop = 28", "crop.size"), ("affine = { translate = [2, 40] }", "affine.translate")]
)
def test_pixels_beyond_the_image_are_refused(augment: str, place: str, tiny: Dataset) -> None:
    with pytest.raises(DrilldownError, match=rf"recipe\.augment\.{place}: found \d+ pixels, and the images are 28x28"):
        Training(load("under-8k", [*RECIPE, f"recipe.augment={{ {augment} }}"]), tiny)
