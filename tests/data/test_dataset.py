"""Splitting a validation set off the training images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.data.dataset import Dataset, Split, count_repeated
from drilldown.data.loading import load_dataset
from drilldown.errors import DrilldownError
from support.datasets import random_images, write_dataset


def numbered(labels: list[int]) -> Dataset:
    """A dataset whose images contain their own index as pixels."""
    count = len(labels)
    images = torch.stack([torch.arange(count) // 256, torch.arange(count) % 256], 1).to(torch.uint8)[:, None]
    split = Split(images, torch.tensor(labels))
    return Dataset("numbered", split, split, max(labels) + 1, (0.5,), (0.5,), "numbered")


def numbers(split: Split) -> list[int]:
    return [256 * int(high) + int(low) for high, low in split.images[:, 0, 0]]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=300), st.data(), st.integers(0, 2**31))
def test_a_validation_split_is_disjoint_complete_and_stratified(labels, draw, seed):
    size = draw.draw(st.integers(1, len(labels) - 1))
    dataset = numbered(labels)
    rest, held = dataset.hold_out(size, seed)
    assert len(held) == size
    assert sorted(numbers(rest.train) + numbers(held)) == list(range(len(labels)))
    for split in (rest.train, held):
        assert split.labels.tolist() == [labels[number] for number in numbers(split)]
    for label in set(labels):
        share = labels.count(label) * size / len(labels)
        assert abs(held.labels.tolist().count(label) - share) < 1
    assert rest.test is dataset.test


def test_a_validation_split_depends_only_on_the_seed():
    dataset = numbered([0, 1] * 100)
    torch.manual_seed(1)
    first = numbers(dataset.hold_out(50, seed=3)[1])
    torch.manual_seed(2)
    assert numbers(dataset.hold_out(50, seed=3)[1]) == first
    assert numbers(dataset.hold_out(50, seed=4)[1]) != first


def test_a_validation_split_takes_each_image_with_the_same_probability():
    dataset, seeds = numbered([0] * 30 + [1] * 70), 300
    taken = torch.zeros(100)
    for seed in range(seeds):
        taken[numbers(dataset.hold_out(20, seed)[1])] += 1
    # 300 draws with probability 0.2: at most six standard deviations, sqrt(300 · 0.2 · 0.8), from the mean of 60.
    assert (taken - 60).abs().max() < 6 * (300 * 0.2 * 0.8) ** 0.5


@pytest.mark.parametrize("size", [100, 101, 10_000])
def test_a_validation_split_of_all_images_is_refused(size):
    with pytest.raises(
        DrilldownError, match=rf"recipe.holdout: {size:,} of 100 training images held out; expected fewer than 100"
    ):
        numbered([0, 1] * 50).hold_out(size, seed=0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_repeated_images_are_counted_as_comparing_all_pairs_counts_them(train, test):
    def images(values: list[int]) -> Split:
        pixels = torch.tensor([[[value % 5, value // 5]] for value in values], dtype=torch.uint8)
        return Split(pixels, torch.zeros(len(values), dtype=torch.int64))

    assert count_repeated(images(train), images(test)) == sum(value in train for value in test)


def test_a_test_split_that_repeats_training_images_is_named_with_the_number(tmp_path):
    clean = write_dataset(tmp_path / "clean")
    assert load_dataset(str(clean)).leakage_notice is None
    images = random_images(12)
    folder = write_dataset(tmp_path / "leaking", test_images=[*images[:4], *random_images(2, seed=9)])
    dataset = load_dataset(str(folder))
    assert dataset.leakage_notice is not None
    assert dataset.leakage_notice.startswith("4 of 6 test images are also training images")
    assert dataset.leakage_notice in str(dataset)
