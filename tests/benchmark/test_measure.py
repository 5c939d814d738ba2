"""The plain pipelines train on the same images as drilldown, and a pipeline that does not learn is refused."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from drilldown import load
from drilldown.benchmark import plain
from drilldown.benchmark.measure import FLOOR, benchmark_document, measure_speed
from drilldown.benchmark.plain_transforms import make_pil_transform
from drilldown.data.dataset import Dataset, Split
from drilldown.data.loading import load_dataset
from drilldown.data.transforms import Affine, Augmentation
from drilldown.errors import DrilldownError


@pytest.fixture(scope="module")
def glyphs() -> Dataset:
    full = load_dataset("glyphs")
    return replace(full, train=Split(full.train.images[:3000], full.train.labels[:3000]))


def test_each_pipeline_has_ratios_and_an_accuracy(glyphs: Dataset) -> None:
    torch.manual_seed(0)  # the plain pipelines draw from PyTorch's own stream
    calm = "recipe.optimizer.lr=0.05", "recipe.schedule={name='constant'}", "recipe.batch_size=32", "recipe.augment={}"
    experiment = load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=3", *calm])
    measured = measure_speed(experiment, glyphs, rounds=2)
    own, *others = measured.timings
    assert own.ratios == (1.0, 1.0)
    assert [timing.name for timing in measured.timings] == ["drilldown", "torch", "loader", "memory"]
    for timing in others:
        assert timing.ratios == tuple(a / b for a, b in zip(timing.seconds, own.seconds, strict=True))
        assert timing.accuracy >= FLOOR
    document = benchmark_document(experiment, measured)
    assert document["ratio"] == statistics.median(measured["loader"].ratios)
    assert {"experiment", "engine", "seconds", "plain_seconds", "ratio"} <= document.keys()


def test_a_pipeline_that_does_not_learn_is_refused(glyphs: Dataset) -> None:
    confused = replace(glyphs, train=Split(glyphs.train.images, torch.arange(3000) % 10))
    with pytest.raises(DrilldownError, match="its speed would mean nothing"):
        measure_speed(load("under-8k", ["recipe.dataset=glyphs"]), confused, rounds=1)


def test_the_loader_shuffles_and_yields_each_image_once(glyphs: Dataset) -> None:
    pipeline = plain.make_loader_pipeline(load("eva5-s5/04", ["recipe.dataset=glyphs"]), glyphs)
    first, second = (torch.cat([labels for _, labels in pipeline.batches()]) for _ in range(2))
    assert not torch.equal(first, second)
    assert first.bincount().tolist() == second.bincount().tolist() == glyphs.train.labels.bincount().tolist()


def test_without_augmentation_both_plain_pipelines_give_the_normalised_images(glyphs: Dataset) -> None:
    images = plain.TransformedImages(glyphs, Augmentation())
    expected = plain.normalise_images(glyphs.train, glyphs)
    for index in (0, 17, 2999):
        torch.testing.assert_close(images[index][0], expected[index])


def test_the_affine_coefficients_are_the_inverse_map_that_pil_expects() -> None:
    """An image with one bright corner, scaled to half its size without randomness."""
    image = Image.fromarray(np.pad(np.full((7, 7), 255, np.uint8), ((0, 21), (0, 21))))
    still = Augmentation(affine=Affine(scale=(0.5, 0.5)))
    small = np.asarray(make_pil_transform(still)(image), dtype=float)
    rows, columns = np.nonzero(small > 127)
    assert rows.min() == columns.min() == 7
    assert math.isclose((small > 127).sum(), 12.25, abs_tol=4)


@pytest.mark.parametrize(
    "augment",
    [
        {"crop": 20}, {"flip": {"p": 1}}, {"flip": {"direction": "both", "p": 1}}, {"rotate": [5, 10]},
        {"affine": {"translate": [3, 0.2], "shear": [1, 5]}}, {"perspective": {"p": 1}}, {"elastic": {}},
        {"jitter": {"brightness": [0.5, 0.6]}}, {"erase": {"p": 1}},
    ],
)  # fmt: skip
def test_the_plain_pipeline_makes_every_transform_with_its_probability(augment: dict[str, Any]) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(1, 256, (28, 28), np.uint8))
    ((name, settings),) = augment.items()
    changed = make_pil_transform(Augmentation.model_validate(augment))(image)
    assert (changed.size, changed.mode) == (image.size, "L")
    assert np.asarray(changed).tolist() != np.asarray(image).tolist()
    settings = settings if isinstance(settings, dict) else {"size" if name == "crop" else "degrees": settings}
    never = make_pil_transform(Augmentation.model_validate({name: settings | {"p": 0}}))(image)
    assert np.asarray(never).tolist() == np.asarray(image).tolist()
