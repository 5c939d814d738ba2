"""Datasets: where they are found, what is refused, and that what is read is what was written."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.data.catalogue import check_dataset_name, is_dataset_folder
from drilldown.data.dataset import Dataset, Split
from drilldown.data.glyphs import draw_glyphs
from drilldown.data.loading import load_dataset, shape_of
from drilldown.errors import DrilldownError

STEMS = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("test", "images"): "t10k-images-idx3-ubyte",
    ("test", "labels"): "t10k-labels-idx1-ubyte",
}
# Counts of the digits 0 to 9, as any count over the published labels gives them.
TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def idx_bytes(array: Any) -> bytes:
    array = np.asarray(array)
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def pictures(count: int = 12, height: int = 5, width: int = 7, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width))


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a dataset of twelve training and six test images in three classes, or what is given instead."""

    def write(*parts: str, naming: str = "{}", **given: Any) -> Path:
        place = tmp_path.joinpath(*(parts or ("letters",)))
        place.mkdir(parents=True, exist_ok=True)
        arrays = {
            "train_images": pictures(12),
            "train_labels": np.arange(12) % 3,
            "test_images": pictures(6, seed=1),
            "test_labels": np.arange(6) % 3,
        } | given
        for (part, kind), stem in STEMS.items():
            content = idx_bytes(arrays[f"{part}_{kind}"])
            name = naming.format(stem)
            (place / name).write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
        return place

    return write


@pytest.fixture(autouse=True)
def _nothing_else_to_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what this machine's environment names nor what its user fetched before."""
    monkeypatch.delenv("DRILLDOWN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def mistake(name: Any, within: Path | None = None) -> str:
    with pytest.raises(DrilldownError) as caught:
        load_dataset(str(name), within)
    return str(caught.value)


# ---- MNIST itself


@pytest.fixture(scope="module")
def mnist_files() -> dict[str, Path]:
    """The four files of MNIST, where this machine has them."""
    root = os.environ.get("DRILLDOWN_DATA")
    if not root:
        pytest.skip("DRILLDOWN_DATA does not say where MNIST lies")
    files = {stem: Path(root) / "mnist" / f"{stem}.gz" for stem in STEMS.values()}
    if not all(file.is_file() for file in files.values()):
        pytest.skip("there is no mnist/ with four .gz files in DRILLDOWN_DATA")
    return files


@pytest.fixture(scope="module")
def mnist(mnist_files: dict[str, Path]) -> Dataset:
    return load_dataset("mnist", next(iter(mnist_files.values())).parents[1])


def test_mnist_is_what_was_published(mnist):
    assert (len(mnist.train), len(mnist.test), mnist.classes) == (60_000, 10_000, 10)
    assert mnist.image_shape == (1, 28, 28)
    assert mnist.train.images.dtype == torch.uint8
    assert (mnist.mean, mnist.std) == (0.1307, 0.3081)
    assert mnist.train.labels.bincount().tolist() == TRAIN_COUNTS
    assert mnist.test.labels.bincount().tolist() == TEST_COUNTS
    assert mnist.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.identity == "mnist"


def test_mnists_mean_and_deviation_agree_with_numpy(mnist):
    pixels = mnist.train.images.numpy()
    assert mnist.mean == pytest.approx(pixels.mean(dtype=np.float64) / 255, abs=5e-5)
    assert mnist.std == pytest.approx(pixels.std(dtype=np.float64) / 255, abs=5e-5)


@pytest.mark.parametrize("layout", [".", "mnist", "MNIST/raw"])
def test_mnist_is_found_in_every_layout(mnist_files, tmp_path, layout):
    (tmp_path / layout).mkdir(parents=True, exist_ok=True)
    for stem, file in mnist_files.items():
        (tmp_path / layout / f"{stem}.gz").symlink_to(file)
    assert len(load_dataset("mnist", tmp_path).test) == 10_000


def test_the_folder_that_is_given_comes_before_the_environments_and_that_before_the_cache(
    mnist_files, tmp_path, monkeypatch
):
    for name in ("given", "environment", "cache/drilldown"):
        (tmp_path / name / "mnist").mkdir(parents=True)
        for stem, file in mnist_files.items():
            (tmp_path / name / "mnist" / f"{stem}.gz").symlink_to(file)
    monkeypatch.setenv("DRILLDOWN_DATA", str(tmp_path / "environment"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("given", "environment", "cache/drilldown"):
        # What is looked at first is told by the file that is found wanting.
        bad = tmp_path / name / "mnist" / "train-images-idx3-ubyte.gz"
        bad.unlink()
        bad.write_bytes(b"")
        assert str(bad) in mistake("mnist", tmp_path / "given")
        shutil.rmtree(tmp_path / name)


def test_a_flat_folder_that_is_given_comes_before_the_environments(mnist_files, tmp_path, monkeypatch):
    monkeypatch.setenv("DRILLDOWN_DATA", str(next(iter(mnist_files.values())).parents[1]))
    (tmp_path / "given").mkdir()
    for stem in mnist_files:
        (tmp_path / "given" / stem).write_bytes(b"mine")
    assert str(tmp_path / "given") in mistake("mnist", tmp_path / "given")


def test_one_changed_byte_of_mnist_is_noticed(mnist_files, tmp_path):
    stem = "t10k-labels-idx1-ubyte"
    for other, file in mnist_files.items():
        if other != stem:
            (tmp_path / file.name).symlink_to(file)
    content = bytearray(gzip.decompress(mnist_files[stem].read_bytes()))
    content[5000] ^= 1
    bad = tmp_path / stem
    bad.write_bytes(content)
    said = mistake("mnist", tmp_path)
    assert said.startswith(f"{bad}: the data's SHA-256 is ")
    assert "expected the published mnist; delete the file" in said
    # By its path, it is a dataset like any other.
    assert load_dataset(str(tmp_path)).identity != "mnist"


def test_exchanged_files_of_mnist_are_noticed(mnist_files, tmp_path):
    one, other = "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"
    for stem, file in mnist_files.items():
        name = {one: other, other: one}.get(stem, stem)
        (tmp_path / f"{name}.gz").symlink_to(file)
    assert f"{one}.gz: the data's SHA-256 is " in mistake("mnist", tmp_path)


# ---- folders by path


def test_a_folder_by_path_is_read_with_its_own_statistics(folder):
    images, labels = pictures(40, 6, 9, seed=2), np.arange(40) % 4
    place = folder(train_images=images, train_labels=labels, test_images=pictures(3, 6, 9), test_labels=[3, 0, 1])
    dataset = load_dataset(str(place))
    assert dataset.train.images.tolist() == images.tolist()
    assert dataset.train.labels.tolist() == labels.tolist()
    assert dataset.train.labels.dtype == torch.int64
    assert dataset.test.labels.tolist() == [3, 0, 1]
    assert (dataset.image_shape, dataset.classes) == ((1, 6, 9), 4)
    assert dataset.mean == round(float((images / 255).mean()), 4)
    assert dataset.std == round(float((images / 255).std()), 4)


@pytest.mark.parametrize(("side", "classes"), [(1, 2), (8, 26), (64, 47), (3, 256)])
def test_image_sizes_and_numbers_of_classes_may_be_others(folder, side, classes):
    labels = np.arange(2 * classes) % classes
    dataset = load_dataset(str(folder(train_images=pictures(len(labels), side, side), train_labels=labels,
                              test_images=pictures(6, side, side), test_labels=[0, 1] * 3)))  # fmt: skip
    assert (dataset.image_shape, dataset.classes) == ((1, side, side), classes)


@pytest.mark.parametrize("naming", ["{}", "{}.gz"])
def test_files_may_be_plain_or_packed(folder, naming):
    assert len(load_dataset(str(folder(naming=naming))).train) == 12


def test_files_may_have_a_dot_for_a_dash(folder):
    place = folder()
    for file in list(place.iterdir()):
        file.rename(place / file.name.replace("-idx", ".idx"))
    assert (place / "t10k-images.idx3-ubyte").is_file()
    assert len(load_dataset(str(place)).train) == 12


def test_the_identity_is_about_the_content_and_not_about_path_name_or_packing(folder):
    one = load_dataset(str(folder("one")))
    moved = load_dataset(str(folder("somewhere", "else")))
    packed = load_dataset(str(folder("packed", naming="{}.gz")))
    assert one.identity == moved.identity == packed.identity
    assert one.identity.startswith("sha256:")


@pytest.mark.parametrize("part", ["train_images", "train_labels", "test_images", "test_labels"])
def test_each_of_the_four_files_counts_for_the_identity(folder, part):
    base = load_dataset(str(folder("base")))
    changed = {
        "train_images": pictures(12, seed=7),
        "train_labels": (np.arange(12) + 1) % 3,
        "test_images": pictures(6, seed=7),
        "test_labels": (np.arange(6) + 1) % 3,
    }
    assert load_dataset(str(folder("changed", **{part: changed[part]}))).identity != base.identity


def test_training_and_test_files_exchanged_are_another_dataset(folder):
    images, labels = pictures(6), np.arange(6) % 3
    other = {"test_images": pictures(6, seed=5), "test_labels": labels}
    one = folder("one", train_images=images, train_labels=labels, **other)
    two = folder("two", train_images=other["test_images"], train_labels=labels, test_images=images, test_labels=labels)
    assert load_dataset(str(one)).identity != load_dataset(str(two)).identity


def test_a_path_is_known_by_its_slash(tmp_path, monkeypatch, folder):
    folder("mnist")
    monkeypatch.chdir(tmp_path)
    assert load_dataset("./mnist").classes == 3
    assert is_dataset_folder("mnist/")
    assert is_dataset_folder("..")
    assert not is_dataset_folder("mnist")


# ---- what is refused


def test_a_gap_in_the_labels_is_told_with_the_first_label_beyond_it(folder):
    said = mistake(folder(train_labels=[0, 0, 1, 3, 1, 0, 3, 3, 0, 1, 0, 1]))
    assert "training label 3: class 3, while no image is of class 2; expected classes 0, 1, 2, … without a gap" in said


def test_labels_that_begin_at_one_have_a_gap(folder):
    assert "training label 0: class 1, while no image is of class 0" in mistake(
        folder(train_labels=np.arange(12) % 3 + 1)
    )


def test_a_test_label_out_of_range_is_told_with_its_position(folder):
    said = mistake(folder(test_labels=[0, 1, 2, 2, 9, 3]))
    assert "test label 4: class 9; expected 0 to 2, the classes of the training labels" in said


@pytest.mark.parametrize(("part", "name"), [("train", "train-labels-idx1-ubyte"), ("test", "t10k-labels-idx1-ubyte")])
def test_counts_of_images_and_labels_that_differ_are_refused(folder, part, name):
    place = folder(**{f"{part}_labels": np.arange(5) % 3})
    count = {"train": 12, "test": 6}[part]
    assert mistake(place).startswith(f"{place / name}: 5 labels; expected as many as there are images ({count} in ")


def test_sizes_of_training_and_test_images_that_differ_are_refused(folder):
    place = folder(test_images=pictures(6, 7, 5))
    assert mistake(place) == (
        f"{place / 't10k-images-idx3-ubyte'}: images of 7x5; expected 5x7, the size of the training images"
    )


def test_a_single_class_is_refused(folder):
    assert "a single class; expected labels of two classes or more" in mistake(folder(train_labels=np.zeros(12)))


@pytest.mark.parametrize("ink", [0, 7, 255])
def test_training_images_of_one_colour_are_refused(folder, ink):
    assert "all of one colour" in mistake(folder(train_images=np.full((12, 5, 7), ink)))


@pytest.mark.parametrize("shape", [(0, 5, 7), (12, 0, 7), (12, 5, 0)])
def test_images_without_pixels_are_refused(folder, shape):
    said = mistake(folder(train_images=np.zeros(shape), train_labels=np.arange(shape[0]) % 3))
    assert f"images of shape {shape}; expected some pixels" in said


def test_an_empty_test_split_is_refused(folder):
    assert "t10k-images" in mistake(folder(test_images=np.zeros((0, 5, 7)), test_labels=[]))


def test_a_folder_that_is_not_there_or_holds_something_else_says_what_was_expected(folder, tmp_path):
    assert "no such folder; expected IDX files train-images-idx3-ubyte, " in mistake(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path / 'empty'}: holds nothing; expected IDX files" in mistake(tmp_path / "empty")
    place = folder()
    (place / "t10k-labels-idx1-ubyte").unlink()
    assert "holds t10k-images-idx3-ubyte, train-images-idx3-ubyte, train-labels-idx1-ubyte; " in mistake(place)


@pytest.mark.parametrize("name", ["./" + "x" * 300, "./\0", "/dev/null/x"])
def test_a_path_that_can_be_none_is_no_folder(name):
    assert "no such folder" in mistake(name)


def test_images_and_labels_exchanged_are_recognised(folder):
    place = folder()
    images, labels = place / "train-images-idx3-ubyte", place / "train-labels-idx1-ubyte"
    images.rename(place / "other")
    labels.rename(images)
    (place / "other").rename(labels)
    said = mistake(place)
    assert said.startswith(f"{images}: byte 3: 1 dimensions; ")
    assert said.endswith("are images and labels exchanged?")


def test_a_damaged_file_is_told_by_its_path(folder):
    place = folder(naming="{}.gz")
    file = place / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-5])
    assert mistake(place).startswith(f"{file}: damaged gzip data (")


@pytest.mark.parametrize(
    ("name", "meant"), [("minst", "mnist"), ("MNIST", "mnist"), ("fashion", "fashion-mnist"), ("glyph", "glyphs")]
)
def test_an_unknown_name_is_answered_with_the_nearest(name, meant):
    for ask in (load_dataset, shape_of, check_dataset_name):
        with pytest.raises(DrilldownError) as caught:
            ask(name)
        assert str(caught.value).startswith(f'unknown dataset "{name}"; expected one of "mnist", ')
        assert str(caught.value).endswith(f'did you mean "{meant}"?')


# ---- shape_of


def test_the_shape_of_a_dataset_is_that_of_its_images(folder):
    assert shape_of(str(folder())) == ((1, 5, 7), 3)
    drawn = load_dataset("glyphs")
    assert shape_of("glyphs") == (drawn.image_shape, drawn.classes)


def test_the_shape_of_mnist_is_known_without_having_it(mnist):
    assert shape_of("mnist") == (mnist.image_shape, mnist.classes)


# ---- a validation split


def numbered(labels: list[int]) -> Dataset:
    """A dataset whose images say by their pixels which ones they are."""
    count = len(labels)
    images = torch.stack([torch.arange(count) // 256, torch.arange(count) % 256], 1).to(torch.uint8)[:, None]
    split = Split(images, torch.tensor(labels))
    return Dataset("numbered", split, split, max(labels) + 1, 0.5, 0.5, "numbered")


def numbers(split: Split) -> list[int]:
    return [256 * int(high) + int(low) for high, low in split.images[:, 0]]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=300), st.data(), st.integers(0, 2**31))
def test_a_validation_split_is_apart_complete_and_stratified(labels, draw, seed):
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


def test_a_validation_split_depends_on_the_seed_and_on_nothing_else():
    dataset = numbered([0, 1] * 100)
    torch.manual_seed(1)
    first = numbers(dataset.hold_out(50, seed=3)[1])
    torch.manual_seed(2)
    assert numbers(dataset.hold_out(50, seed=3)[1]) == first
    assert numbers(dataset.hold_out(50, seed=4)[1]) != first


def test_a_validation_split_takes_each_image_equally_often():
    dataset, seeds = numbered([0] * 30 + [1] * 70), 300
    taken = torch.zeros(100)
    for seed in range(seeds):
        taken[numbers(dataset.hold_out(20, seed)[1])] += 1
    # A count of 300 draws at 20 %: six standard deviations of sqrt(300 · 0.2 · 0.8) either way.
    assert (taken - 60).abs().max() < 6 * (300 * 0.2 * 0.8) ** 0.5


@pytest.mark.parametrize("size", [100, 101, 10_000])
def test_a_validation_split_that_leaves_nothing_to_train_on_is_refused(size):
    with pytest.raises(
        DrilldownError, match=rf"recipe.holdout: {size:,} of 100 training images held out; expected fewer"
    ):
        numbered([0, 1] * 50).hold_out(size, seed=0)


# ---- glyphs


def test_glyphs_are_the_same_each_time_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    first = draw_glyphs(train=50, test=20)
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), after)
    for split, again in zip(first, draw_glyphs(train=50, test=20), strict=True):
        assert torch.equal(split[0], again[0])
        assert torch.equal(split[1], again[1])


def test_glyphs_of_another_seed_and_of_the_other_split_are_others():
    (train, _), (test, _) = draw_glyphs(train=30, test=30)
    (other, _), _ = draw_glyphs(train=30, test=30, seed=1)
    assert not torch.equal(train, other)
    assert not torch.equal(train, test)


def test_glyphs_are_of_mnists_form():
    drawn = load_dataset("glyphs")
    assert drawn.image_shape == (1, 28, 28)
    assert drawn.train.labels.bincount().tolist() == [600] * 10
    assert drawn.test.labels.bincount().tolist() == [100] * 10
    ink = drawn.train.images.float().mean(dim=0)
    # Light on dark, in the middle: the border is darker than the centre.
    assert ink[10:18, 10:18].mean() > 3 * torch.cat([ink[:3].flatten(), ink[-3:].flatten()]).mean()


def test_glyphs_can_be_told_apart_by_the_nearest_mean_image():
    drawn = load_dataset("glyphs")
    train, test = drawn.train.images.flatten(1).float(), drawn.test.images.flatten(1).float()
    means = torch.stack([train[drawn.train.labels == label].mean(dim=0) for label in range(10)])
    guessed = torch.cdist(test, means).argmin(dim=1)
    correct = int((guessed == drawn.test.labels).sum())
    assert correct > 500  # of 1,000, where chance gives 100
