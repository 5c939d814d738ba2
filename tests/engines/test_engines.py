"""The contract of both engines: they train like PyTorch in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drilldown import Training, load
from drilldown.data.augmentation import AugmentationDraws, draw_augmentation
from drilldown.data.targets import Targets
from drilldown.data.teacher import Teacher
from drilldown.data.transforms import Augmentation
from drilldown.engines.engine import Engine, Progress
from drilldown.engines.native.specs import ENTRIES
from drilldown.errors import DrilldownError, TrainingDivergedError
from drilldown.experiment.optimizers import SGD, Adam, AdamW
from drilldown.experiment.recipe import Recipe
from drilldown.network.blocks import Block
from drilldown.network.layers import LAYERS, SeparableConv
from drilldown.randomness import stream
from drilldown.settings import Compute, EngineName
from support.engine_networks import WORDS, network_of, networks
from support.engines import (
    CLASSES,
    Reference,
    assert_close,
    check,
    make_dataset,
    make_engine,
    make_plan,
    warped_gradients,
)

ENGINES: tuple[EngineName, ...] = ("torch", "native")
BATCHES = (1, 15, 16, 17, 64, 96)

each_engine = pytest.mark.parametrize("name", ENGINES)
tried = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    return Recipe(
        batch_size=draw(st.sampled_from(BATCHES)),
        optimizer=draw(st.one_of(sgds(), adams())),
        label_smoothing=draw(st.sampled_from([0.0, 0.1])),
        l1=draw(st.sampled_from([0.0, 0.001])),
        ema=draw(st.sampled_from([None, 0.9])),
    )


@st.composite
def sgds(draw: st.DrawFn) -> SGD:
    momentum = draw(st.sampled_from([0.0, 0.5, 0.9]))
    return SGD(
        name="sgd",
        lr=0.1,
        momentum=momentum,
        nesterov=momentum > 0 and draw(st.booleans()),
        weight_decay=draw(st.sampled_from([0.0, 0.01])),
    )


@st.composite
def adams(draw: st.DrawFn) -> Adam | AdamW:
    """With the usual `eps`, a gradient that is 0 but for rounding would make a step as long as any other."""
    betas = draw(st.sampled_from([(0.9, 0.999), (0.8, 0.95), (0.0, 0.9)]))
    decay = draw(st.sampled_from([0.0, 0.1]))
    if draw(st.booleans()):
        return Adam(name="adam", lr=0.1, betas=betas, eps=0.01, weight_decay=decay)
    return AdamW(name="adamw", lr=0.1, betas=betas, eps=0.01, weight_decay=decay)


@pytest.mark.parametrize(("name", "examples"), [("torch", 15), ("native", 40)], ids=ENGINES)
def test_twenty_batches_of_any_network_agree_with_float64(name: str, examples: int) -> None:
    """The arithmetic of the layers is PyTorch's own in one engine, and ours in the other: it gets more examples."""

    @settings(tried, max_examples=examples)
    @given(data=st.data())
    def agree(data: st.DataObject) -> None:
        layers, side = data.draw(networks(dropout=name == "native"))
        check(name, layers, data.draw(recipes()), side)

    agree()


@pytest.mark.parametrize("word", WORDS)
def test_each_word_of_the_notation_agrees_with_float64(word: str) -> None:
    sgd = SGD(name="sgd", lr=0.1, momentum=0.9, weight_decay=0.01)
    recipe = Recipe(batch_size=17, optimizer=sgd, ema=0.9)
    for side in ((9, 10), (12, 7)):
        assert check("native", network_of(word), recipe, side, batches=4) >= 1


ROUNDED: dict[str, list[Block]] = {
    "usual": ["conv 3x3 4, bn, relu, conv 3x3 6 pad=1 bias, relu, bn, maxpool 2, conv 1x1 5, gap, linear 4"],
    "depthwise": ["conv 3x3 6, sep 3x3 8 pad=same, bn, silu, conv 3x3 6 groups=2 stride=2, gap, linear 6, linear 4"],
    "skips": ["conv 3x3 5, bn", {"skip": ["conv 3x3 8 stride=2 pad=same, bn, relu"]}, "conv 1x1 4, gap"],
    "shared": ["conv 3x3 5", {"repeat": 3, "shared": True, "layers": ["conv 3x3 5 pad=1, bn, relu"]}, "gap, linear 4"],
    "one layer": ["flatten, linear 4"],
    "one layer, used twice": [{"repeat": 2, "shared": True, "layers": ["conv 3x3 1 pad=same"]}, "conv 3x3 4, gap"],
}  # fmt: skip


@each_engine
@pytest.mark.parametrize("network", ROUNDED)
def test_training_with_rounded_weights_agrees_with_float64(name: str, network: str) -> None:
    layers, adam = ROUNDED[network], Adam(name="adam", lr=0.1, eps=0.01, weight_decay=0.1)
    sgd = SGD(name="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    for recipe in (Recipe(batch_size=17, optimizer=sgd, ema=0.9, precision="int4"),
                   Recipe(batch_size=16, optimizer=adam, l1=1e-3, precision="int4")):  # fmt: skip
        assert check(name, layers, recipe, (9, 10), batches=5) >= 2


def test_each_word_has_a_network_of_its_own_or_is_declined_by_name() -> None:
    for word, layer in LAYERS.items():
        assert (word in WORDS) == (layer in ENTRIES or layer is SeparableConv), word


@each_engine
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_images_with_channels_agree_with_float64(name: str, channels: int) -> None:
    recipe = Recipe(batch_size=17, optimizer=SGD(name="sgd", lr=0.1, momentum=0.9))
    layers: list[Block] = [
        {"skip": ["conv 3x3 4 pad=same, bn, relu"]},
        "maxpool 2, conv 3x3 5, relu, gap",
        f"linear {CLASSES}",
    ]
    assert check(name, layers, recipe, (11, 8), batches=4, channels=channels) >= 1


@each_engine
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_probabilities_of_a_teacher_are_learned_as_in_float64(name: str, smoothing: float) -> None:
    recipe = Recipe(batch_size=17, optimizer=SGD(name="sgd", lr=0.1, momentum=0.9), label_smoothing=smoothing)
    layers = ["conv 3x3 4, bn, relu", "maxpool 2", "conv 1x1 4", "gap"]
    assert check(name, layers, recipe, (9, 10), batches=4, taught=True) >= 2


@each_engine
def test_targets_that_are_the_labels_train_as_the_labels_do(name: str) -> None:
    recipe = Recipe(batch_size=16, optimizer=SGD(name="sgd", lr=0.1), label_smoothing=0.1)
    plain = make_dataset(50, (5, 6))
    sure = torch.nn.functional.one_hot(plain.train.labels, CLASSES).float()
    taught = plain.taught(Targets(sure, torch.ones(50, dtype=torch.bool), Teacher()))
    engines = [make_engine(name, ["flatten", f"linear {CLASSES}"], recipe, each) for each in (plain, taught)]
    plan = make_plan(torch.arange(50).flip(0), [0.1] * 4)
    first, second = (engine.train_epoch(plan) for engine in engines)
    assert first.correct == second.correct  # counted by the labels
    assert first.loss == pytest.approx(second.loss, rel=1e-6)


@each_engine
@pytest.mark.parametrize("size", BATCHES)
def test_a_usual_network_agrees_with_float64(name: str, size: int) -> None:
    recipe = Recipe(batch_size=size, optimizer=SGD(name="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3))
    layers = ["conv 3x3 4, bn, relu", "conv 3x3 6 pad=1, relu, bn", "maxpool 2", "conv 1x1 4", "gap"]
    assert check(name, layers, recipe, (9, 10)) >= 3


@each_engine
def test_a_whole_epoch_with_a_smaller_last_batch_agrees_with_float64(name: str) -> None:
    """The mean is over the actual batch: 100 images in batches of 32 leave 4."""
    recipe = Recipe(batch_size=32, optimizer=SGD(name="sgd", lr=0.1, momentum=0.9), label_smoothing=0.2, ema=0.95)
    layers = ["conv 3x3 4, bn, relu", "avgpool 2", "flatten", f"linear {CLASSES}"]
    dataset = make_dataset(100, (8, 8))
    engine = make_engine(name, layers, recipe, dataset)
    reference = Reference(layers, recipe, dataset, engine.network)  # type: ignore[attr-defined]
    order, rates = torch.randperm(100, generator=stream(0, "order", 1)), [0.1, 0.05, 0.02, 0.01]
    tally = engine.train_epoch(make_plan(order, rates))
    losses = [reference.step(order[i * 32 : (i + 1) * 32], rate, i * 32) for i, rate in enumerate(rates)]
    assert abs(tally.loss - sum(x * n for x, n in zip(losses, (32, 32, 32, 4), strict=True)) / 100) < 1e-5
    assert tally.total == 100
    for key, want in reference.state().items():
        assert_close(engine.state()[key], want, key, 1e-3)


@each_engine
@settings(tried, max_examples=20)
@given(data=st.data())
def test_images_are_warped_and_jittered_as_the_recipe_says(name: str, data: st.DataObject) -> None:
    recipe = Augmentation.model_validate(
        {
            "rotate": data.draw(st.sampled_from([0.0, 15.0, 180.0])),
            "affine": {"rotate": 10.0, "translate": data.draw(st.sampled_from([0.0, 0.2, 0.9])), "scale": [0.5, 1.5],
                       "shear": 20.0},
            "jitter": {"brightness": 0.5, "contrast": 0.5},
        }
    )  # fmt: skip
    draws = draw_augmentation(recipe, 20, stream(data.draw(st.integers(0, 1000)), "augment"), 9, 12)
    draws = replace(draws, brightness_contrast=None) if data.draw(st.booleans()) else draws
    channels = data.draw(st.integers(1, 4))
    for actual, expected in zip(*warped_gradients(draws, "bilinear", name, channels), strict=True):
        assert_close(actual, expected, "gradient", 1e-4, 1e-5)


@each_engine
def test_nearest_takes_the_nearest_pixel(name: str) -> None:
    """The shifts and rotations map no pixel to the middle between two."""
    angle = torch.linspace(0.3, 3.0, 20)
    inverse = torch.stack(
        [torch.stack([angle.cos(), -angle.sin(), angle * 0.7], 1), torch.stack([angle.sin(), angle.cos(), -angle], 1)],
        1,
    )
    for channels in (1, 3):
        found = warped_gradients(AugmentationDraws(inverse, None), "nearest", name, channels)
        for actual, expected in zip(*found, strict=True):
            assert_close(actual, expected, "gradient", 1e-4, 1e-5)


@each_engine
def test_a_loss_that_is_not_finite_stops_the_epoch_and_names_the_step(name: str) -> None:
    recipe = Recipe(batch_size=10, optimizer=SGD(name="sgd", lr=1.0))
    dataset = make_dataset(60, (8, 8))
    engine = make_engine(name, ["conv 3x3 4, relu, maxpool 2, flatten", f"linear {CLASSES}"], recipe, dataset)
    rates = [0.1, 0.1, 1e30, 0.1, 0.1, 0.1]
    with pytest.raises(TrainingDivergedError, match=r"epoch 1, step [45] of 6"):
        engine.train_epoch(make_plan(torch.arange(60), rates))


@each_engine
def test_a_nan_within_the_network_stops_the_epoch(name: str) -> None:
    """A relu or a maximum after it may treat NaN as a small number."""
    dataset = make_dataset(20, (8, 8))
    layers = ["conv 3x3 4, bn, relu, maxpool 2, flatten", f"linear {CLASSES}"]
    engine = make_engine(name, layers, Recipe(batch_size=10), dataset)
    state = engine.state()
    state["network.conv1.weight"][0] = torch.nan
    engine.restore(state)
    with pytest.raises(TrainingDivergedError, match=r"epoch 1, step 1 of 2"):
        engine.train_epoch(make_plan(torch.arange(20), [0.1, 0.1]))


@each_engine
def test_progress_counts_up_to_the_whole_epoch(name: str) -> None:
    dataset = make_dataset(500, (6, 6))
    engine = make_engine(name, ["flatten", f"linear {CLASSES}"], Recipe(batch_size=7), dataset)
    ticks: list[Progress] = []
    tally = engine.train_epoch(make_plan(torch.arange(500), [0.01] * 72), ticks.append)
    assert ticks[-1].so_far == tally
    assert [tick.step for tick in ticks] == sorted(tick.step for tick in ticks)
    assert (ticks[-1].step, ticks[-1].steps, tally.total) == (72, 72, 500)


NETWORK: list[Block] = [
    "conv 3x3 5, bn, relu",
    {"repeat": 2, "shared": True, "layers": ["conv 3x3 5 pad=same, bn"]},
    "maxpool 2, conv 3x3 6 expand=2, relu, bn, gap",
    f"linear {CLASSES}",
]
NESTEROV = SGD(name="sgd", lr=0.1, momentum=0.9, nesterov=True)
MOVED = {
    "sgd": Recipe(batch_size=16, optimizer=NESTEROV),
    "sgd and an average": Recipe(batch_size=16, optimizer=NESTEROV, ema=0.9),
    "adam": Recipe(batch_size=16, optimizer=Adam(name="adam", lr=0.1, eps=0.01)),
    "adamw": Recipe(batch_size=16, optimizer=AdamW(name="adamw", lr=0.1, eps=0.01)),
}


@pytest.mark.parametrize("first", ENGINES)
@pytest.mark.parametrize("second", ENGINES)
@pytest.mark.parametrize("kind", MOVED)
def test_weights_and_state_move_between_engines(first: str, second: str, kind: str) -> None:
    """Two epochs end with the same weights where another engine trains the second."""
    recipe = MOVED[kind]
    dataset = make_dataset(90, (10, 10))

    def plan(epoch: int) -> object:
        return make_plan(torch.randperm(90, generator=stream(0, "order", epoch)), [0.05] * 6, epoch)

    first_engine, second_engine = (make_engine(name, NETWORK, recipe, dataset) for name in (first, second))
    first_engine.train_epoch(plan(1))  # type: ignore[arg-type]
    moved = first_engine.state()
    second_engine.restore(moved)
    assert {k: v.shape for k, v in second_engine.state().items()} == {k: v.shape for k, v in moved.items()}
    assert all(torch.equal(second_engine.state()[k], v) for k, v in moved.items())
    assert_close(
        first_engine.evaluate(dataset.test).logits, second_engine.evaluate(dataset.test).logits, "scores", 1e-5, 1e-5
    )
    first_engine.train_epoch(plan(2))  # type: ignore[arg-type]
    second_engine.train_epoch(plan(2))  # type: ignore[arg-type]
    for key, want in first_engine.state().items():
        assert_close(second_engine.state()[key], want, key, 1e-3, 1e-5)


@each_engine
def test_the_model_gives_the_engines_logits_and_is_a_copy(name: str) -> None:
    dataset = make_dataset(40, (10, 10))
    engine: Engine = make_engine(name, NETWORK, Recipe(batch_size=16, ema=0.5), dataset)
    engine.train_epoch(make_plan(torch.arange(40), [0.1] * 3))
    model = engine.model().eval()
    images = (dataset.test.images.float() / 255 - dataset.mean[0]) / dataset.std[0]
    with torch.no_grad():
        assert_close(model(images), engine.evaluate(dataset.test).logits, "scores", 1e-5, 1e-5)
    raw = engine.evaluate(dataset.test, raw=True).logits
    assert not torch.allclose(raw, engine.evaluate(dataset.test).logits)


def test_a_batch_of_one_value_per_channel_is_refused_before_training() -> None:
    """A single value has no variance; PyTorch raises an error as well."""

    experiment = load("under-8k", ['network.layers=["conv 28x28 4, bn", "linear 10"]', "recipe.dataset=glyphs",
                                   "recipe.batch_size=1"])  # fmt: skip
    for name in ENGINES:
        with pytest.raises(DrilldownError, match="one value per channel"):
            Training(experiment, compute=Compute(engine=name))
