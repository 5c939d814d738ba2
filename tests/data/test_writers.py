"""Splits by writer: whole writers, as many images as asked for, and chosen by the seed alone."""

from __future__ import annotations

import gzip
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.data.catalogue import QMNIST
from drilldown.data.dataset import Dataset, Split
from drilldown.data.loading import load_dataset, with_writers
from drilldown.data.writers import WriterCounts, Writers, choose_writers, closest_sum, count_writers
from drilldown.errors import DrilldownError
from drilldown.randomness import stream

SIZES = st.lists(st.integers(1, 30), max_size=9)


def subsets(sizes: list[int]) -> list[tuple[int, ...]]:
    """The positions of each subset."""
    return [chosen for count in range(len(sizes) + 1) for chosen in itertools.combinations(range(len(sizes)), count)]


def distance_and_sum(sizes: list[int], target: int) -> tuple[int, int]:
    """The smallest distance of a subset's sum from the target, and the smallest such sum."""
    sums = [sum(sizes[position] for position in chosen) for chosen in subsets(sizes)]
    return min((abs(total - target), total) for total in sums)


def by_writer(sizes_by_source: dict[int, list[int]], seed: int = 0) -> Writers:
    """Writers with these numbers of images, by source; the images have a random order."""
    ids, sources = [], []
    for source, sizes in sizes_by_source.items():
        for number, size in enumerate(sizes):
            ids += [1000 * source + number] * size
            sources += [source] * size
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed))
    return Writers(torch.tensor(ids, dtype=torch.int64), torch.tensor(sources, dtype=torch.int64)).take(order)


def dataset_of(writers: Writers) -> Dataset:
    """A dataset of black images, of which only the writers matter."""
    count = len(writers)
    split = Split(torch.zeros(count, 1, 1, dtype=torch.uint8), torch.arange(count) % 2, writers)
    return Dataset("written", split, split, classes=2, mean=(0.5,), std=(0.5,), identity="written")


@settings(max_examples=200, deadline=None)
@given(SIZES, st.integers(-5, 250))
def test_the_closest_sum_is_that_of_the_best_of_all_subsets(sizes, target):
    chosen = closest_sum(sizes, target)
    total = sum(sizes[position] for position in chosen)
    assert (abs(total - target), total) == distance_and_sum(sizes, target)
    # Among the subsets with this sum, it has the earliest last item, then the earliest item before it, and so on.
    same = [items for items in subsets(sizes) if sum(sizes[position] for position in items) == total]
    assert tuple(chosen) == min(same, key=lambda items: items[::-1])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=7), st.lists(st.integers(1, 20), max_size=7), st.data())
def test_each_source_gives_its_share_in_whole_writers(first, second, draw):
    writers = by_writer({0: first, 4: second})
    images = draw.draw(st.integers(1, len(writers)))
    chosen = choose_writers(writers, images, stream(draw.draw(st.integers(0, 99)), "holdout"))
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    held, rest = set(writers.ids[chosen].tolist()), set(np.delete(writers.ids.numpy(), chosen.numpy()).tolist())
    assert not held & rest
    taken = {source: int((writers.sources[chosen] == source).sum()) for source in (0, 4)}
    share = round(images * sum(first) / len(writers))
    assert taken[0] == distance_and_sum(first, share)[1]
    assert taken[4] == distance_and_sum(second, images - taken[0])[1]


@pytest.mark.parametrize("by", ["class", "writer"])
def test_a_split_holds_each_image_once_with_its_writer(by):
    writers = by_writer({0: [3, 4, 5, 6], 4: [2, 7, 8]})
    split = Split(torch.arange(35, dtype=torch.uint8).view(35, 1, 1), torch.arange(35) % 2, writers)
    rest, held = Dataset("written", split, split, 2, (0.5,), (0.5,), "written").hold_out(12, seed=1, by=by)
    numbers = [part.images.flatten().tolist() for part in (rest.train, held)]
    assert sorted([*numbers[0], *numbers[1]]) == list(range(35))
    for part, of_part in zip((rest.train, held), numbers, strict=True):
        assert part.writers is not None
        assert part.writers.ids.tolist() == [int(writers.ids[number]) for number in of_part]
        assert part.writers.sources.tolist() == [int(writers.sources[number]) for number in of_part]


def test_a_split_by_writer_depends_only_on_the_seed():
    dataset = dataset_of(by_writer({0: [5] * 20, 4: [5] * 20}))
    torch.manual_seed(1)
    first = dataset.choose_held_out(50, seed=3, by="writer")
    torch.manual_seed(2)
    assert dataset.choose_held_out(50, seed=3, by="writer").equal(first)
    assert not dataset.choose_held_out(50, seed=4, by="writer").equal(first)


def test_a_split_by_writer_takes_each_writer_with_the_same_probability():
    writers, seeds = by_writer({0: [5] * 30, 4: [5] * 20}), 300
    dataset, taken = dataset_of(writers), torch.zeros(250)
    for seed in range(seeds):
        taken[dataset.choose_held_out(50, seed, "writer")] += 1
    # 300 draws with probability 0.2: at most six standard deviations, sqrt(300 · 0.2 · 0.8), from the mean of 60.
    assert (taken - 60).abs().max() < 6 * (300 * 0.2 * 0.8) ** 0.5


@pytest.mark.parametrize("images", [1, 2, 38, 39])
def test_a_split_by_writer_that_leaves_one_side_empty_is_refused(images):
    dataset = dataset_of(by_writer({0: [20], 4: [20]}))
    with pytest.raises(DrilldownError) as caught:
        dataset.hold_out(images, seed=0, by="writer")
    assert str(caught.value) == (
        f"recipe.holdout: {images} of 40 training images held out by writer; "
        "expected a number that leaves a writer on each side"
    )


def test_a_split_by_writer_needs_the_writers():
    split = Split(torch.zeros(4, 1, 1, dtype=torch.uint8), torch.arange(4) % 2)
    dataset = Dataset("mnist", split, split, classes=2, mean=(0.5,), std=(0.5,), identity="mnist")
    with pytest.raises(DrilldownError, match=r"recipe\.holdout: mnist was loaded without its writers; expected"):
        dataset.hold_out(2, seed=0, by="writer")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_writers_on_both_sides_are_counted_as_sets_count_them(training, validation):
    sides = [Writers(torch.tensor(ids), torch.zeros(len(ids), dtype=torch.int64)) for ids in (training, validation)]
    assert count_writers(*sides) == WriterCounts(
        training=len(set(training)),
        validation=len(set(validation)),
        shared_images=sum(writer in training for writer in validation),
    )


# ---- MNIST


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    """MNIST with its writers, if this machine has both."""
    root = Path(os.environ.get("DRILLDOWN_DATA") or "nowhere")
    if not (any(root.glob("mnist/*")) and any(root.glob(f"{QMNIST}/*"))):
        pytest.skip("DRILLDOWN_DATA does not name a folder with mnist/ and qmnist/")
    return with_writers(load_dataset("mnist"))


def writers_of(split: Split) -> Writers:
    assert split.writers is not None
    return split.writers


def test_mnist_has_the_published_writers(mnist):
    writers = writers_of(mnist.train)
    by_source = {source: set(writers.ids[writers.sources == source].tolist()) for source in (0, 4)}
    assert set(writers.sources.tolist()) == {0, 4}
    assert {source: len(ids) for source, ids in by_source.items()} == {0: 289, 4: 250}
    # QMNIST's page: the writers of series 0 are below 2100, those of series 4 are 2100 to 2599.
    assert max(by_source[0]) < 2100 <= min(by_source[4])
    assert max(by_source[4]) < 2600
    assert (writers.sources == 0).sum() == 30_950


def test_no_test_image_of_mnist_is_by_a_writer_of_training_images(mnist):
    file = Path(os.environ["DRILLDOWN_DATA"]) / QMNIST / "qmnist-test-labels-idx2-int.gz"
    if not file.is_file():
        pytest.skip(f"{file.name} is not on this machine")
    rows = np.frombuffer(gzip.decompress(file.read_bytes()), ">i4", offset=12).reshape(-1, 8)[: len(mnist.test)]
    assert rows[:, 0].tolist() == mnist.test.labels.tolist()
    assert not set(rows[:, 2].tolist()) & set(writers_of(mnist.train).ids.tolist())


@pytest.mark.parametrize("images", [1_000, 10_000])
def test_a_split_of_mnist_by_writer_has_exactly_the_images_asked_for_and_no_writer_twice(mnist, images):
    for seed in range(5):
        rest, held = mnist.hold_out(images, seed, "writer")
        counts = count_writers(writers_of(rest.train), writers_of(held))
        assert (len(held), counts.shared_images, counts.training + counts.validation) == (images, 0, 539)
        # Source 0 wrote 30,950 of the 60,000 images.
        assert abs(int((writers_of(held).sources == 0).sum()) - images * 30_950 / 60_000) < 1


def test_the_classes_of_a_split_of_mnist_by_writer_are_nearly_balanced(mnist):
    shares = mnist.train.labels.bincount() / len(mnist.train)
    for seed in range(5):
        held = mnist.hold_out(10_000, seed, "writer")[1]
        # As a sample of 10,000 single images: at most six standard deviations.
        deviation = (10_000 * shares * (1 - shares)).sqrt()
        assert ((held.labels.bincount() - 10_000 * shares).abs() < 6 * deviation).all()


def test_other_splits_of_mnist_share_writers(mnist):
    rest, held = mnist.hold_out(10_000, seed=0)
    assert count_writers(writers_of(rest.train), writers_of(held)) == WriterCounts(
        training=539, validation=539, shared_images=10_000
    )
    # A usual choice, and no better: 41 % of the last 10,000 images share a writer with the 50,000 before them.
    writers = writers_of(mnist.train)
    last = count_writers(writers.take(torch.arange(50_000)), writers.take(torch.arange(50_000, 60_000)))
    assert round(last.shared_images / 10_000, 2) == 0.41
