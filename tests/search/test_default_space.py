"""The default space: the dimensions of any recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drilldown.data.loading import load_dataset
from drilldown.data.ranges import spread
from drilldown.data.transforms import Affine, Augmentation, Jitter
from drilldown.experiment.loading import read_experiment
from drilldown.experiment.studies import available_studies
from drilldown.search.default_space import GLYPHS_IMAGES, PUBLISHED_IMAGES
from drilldown.search.reading import read_search
from drilldown.search.space import Space
from drilldown.search.tables import Choice, FloatDimension
from support.datasets import write_dataset
from support.experiments import PLAIN, VALID, document

Write = Callable[[str, str], Path]
SETTINGS = ["recipe.optimizer.lr", "recipe.optimizer.weight_decay", "recipe.augment", "recipe.batch_size"]


def values_of(space: Space, name: str) -> list[Any]:
    dimension = space.dimensions[name]
    assert isinstance(dimension, Choice)
    return list(dimension.values)


def default_of(write: Write, recipe: str) -> Space:
    return read_search(write("a.toml", PLAIN + recipe)).space


@pytest.mark.parametrize(
    "step", [step for study in available_studies() for step in study.steps], ids=lambda step: step.stem
)
def test_every_shipped_experiment_is_in_its_default_space(step: Path) -> None:
    space, experiment = read_search(step).space, read_experiment(step)
    assert space.original is not None
    original = space.experiment(space.original)
    assert original.fingerprint == experiment.fingerprint
    assert (original.parent is None) == (experiment.parent is None)
    rng = Random(0)
    for _ in range(5):
        values = space.sample(rng)
        candidate = space.experiment(values, 5)
        assert candidate.budget == experiment.budget
        assert candidate.recipe.epochs == experiment.recipe.epochs
        assert space.neighbours(values, rng) != values


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALID, st.integers())
def test_any_experiment_is_in_its_default_space_and_every_point_is_an_experiment(
    scratch: Path, values: dict[str, Any], seed: int
) -> None:
    (scratch / "a.toml").write_text(document(values), encoding="utf-8", newline="")
    experiment, search = read_experiment(scratch / "a.toml"), read_search(scratch / "a.toml")
    original = search.space.original
    assert original is not None
    assert search.space.experiment(original).fingerprint == experiment.fingerprint
    assert search.space.experiment(original).model_dump() == experiment.model_dump()
    rng = Random(seed)
    for _ in range(3):
        search.space.experiment(search.space.sample(rng))
    (scratch / "b.toml").write_text(search.to_toml(), encoding="utf-8", newline="")
    written = read_search(scratch / "b.toml")
    assert written.fingerprint == search.fingerprint
    assert written.space.original == original


def test_the_learning_rate_is_a_quarter_to_four_times_its_own(write: Write) -> None:
    space = default_of(write, 'optimizer = { name = "adam", lr = 0.003 }\n')
    assert space.dimensions["recipe.optimizer.lr"] == FloatDimension(float=(0.00075, 0.012), log=True, start=0.003)


def test_the_learning_rate_is_not_below_the_schedules_floor(write: Write) -> None:
    space = default_of(write, 'optimizer = { name = "sgd", lr = 0.1 }\nschedule = { name = "cosine", floor = 0.05 }\n')
    assert space.dimensions["recipe.optimizer.lr"].ends == (0.05, 0.4)


def test_the_weight_decay_is_nothing_or_near_its_own(write: Write) -> None:
    own = default_of(write, 'optimizer = { name = "sgd", lr = 0.1, weight_decay = 0.004 }\n')
    assert values_of(own, "recipe.optimizer.weight_decay") == [0, 0.001, 0.004, 0.016]
    without = default_of(write, 'optimizer = { name = "sgd", lr = 0.1 }\n')
    assert values_of(without, "recipe.optimizer.weight_decay")[0] == 0
    assert without.original is not None
    assert without.original["recipe.optimizer.weight_decay"] == 0


def test_the_distortion_is_scaled(write: Write) -> None:
    affine = "affine = { rotate = 10, translate = 0.08, scale = [0.8, 1.2], shear = 8 }"
    space = default_of(write, f'augment = {{ {affine}, jitter = {{ contrast = 0.4 }}, interpolation = "nearest" }}\n')
    none, half, own, more = (Augmentation.model_validate(value) for value in values_of(space, "recipe.augment"))
    assert none == Augmentation(interpolation="nearest")
    assert half.affine == Affine(rotate=5, translate=0.04, scale=(0.9, 1.1), shear=4)
    assert half.jitter == Jitter(contrast=0.2)
    assert own == read_experiment(space.path).recipe.augment
    assert more.affine == Affine(rotate=15, translate=0.12, scale=(0.7, 1.3), shear=12)
    assert {augment.interpolation for augment in (half, own, more)} == {"nearest"}


def test_a_distortion_stays_within_what_is_possible(write: Write) -> None:
    affine = "affine = { rotate = 170, translate = 0.9, scale = [0.1, 9.0], shear = 89 }"
    space = default_of(write, f"augment = {{ rotate = 180, {affine}, jitter = {{ brightness = 0.95 }} }}\n")
    for value in values_of(space, "recipe.augment"):
        Augmentation.model_validate(value)


def test_without_augmentation_the_alternative_is_a_mild_distortion(write: Write) -> None:
    none, mild = (Augmentation.model_validate(value) for value in values_of(default_of(write, ""), "recipe.augment"))
    assert none == Augmentation()
    assert mild.affine is not None
    assert 0 < spread(mild.affine.rotate)[1] <= 10
    assert 0 < spread(mild.affine.translate)[1] <= 0.1


def test_the_batch_size_is_half_once_or_double_within_the_training_images(write: Write, tmp_path: Path) -> None:
    assert values_of(default_of(write, "batch_size = 50\n"), "recipe.batch_size") == [25, 50, 100]
    assert values_of(default_of(write, "batch_size = 1\n"), "recipe.batch_size") == [1, 2]
    assert values_of(default_of(write, "batch_size = 4000\n"), "recipe.batch_size") == [2000, 4000]
    write_dataset(tmp_path / "data")  # twelve training images of three classes
    text = PLAIN.replace("glyphs", "./data").replace("linear 10", "linear 3") + "batch_size = 8\n"
    assert values_of(read_search(write("b.toml", text)).space, "recipe.batch_size") == [4, 8]


def test_the_numbers_of_training_images_are_right() -> None:
    assert len(load_dataset("glyphs").train) == GLYPHS_IMAGES


def test_mnist_has_as_many_training_images_as_the_other_published_datasets() -> None:
    from drilldown.data.catalogue import CATALOGUE

    for files in CATALOGUE.values():
        images, _, _, _ = files.values()
        assert images.size == 16 + PUBLISHED_IMAGES * 28 * 28


def test_of_a_network_in_python_only_the_recipe_is_varied(write: Write) -> None:
    write(
        "model.py", "from torch import nn\n\n\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    text = 'title = "A"\n[network]\npython = "model.py:net"\n[recipe]\ndataset = "glyphs"\n'
    search = read_search(write("a.toml", text))
    assert list(search.space.dimensions) == SETTINGS
    assert search.space.widths == frozenset()
    assert search.space.original is not None
    assert search.space.experiment(search.space.original).fingerprint == read_experiment(search.path).fingerprint
    assert read_search(write("b.toml", search.to_toml())).fingerprint == search.fingerprint


def test_the_flagship_is_varied_in_widths_depth_head_and_recipe() -> None:
    space = read_search("under-8k").space
    assert list(space.dimensions) == [*(f"w{n}" for n in range(1, 7)), "depth1", "depth2", "head", *SETTINGS]
