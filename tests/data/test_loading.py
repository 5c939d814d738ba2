"""Where datasets are searched, which datasets are refused, and when files are read."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from drilldown.data.catalogue import STEMS
from drilldown.data.dataset import Dataset, DatasetInfo
from drilldown.data.loading import dataset_info, load_dataset
from drilldown.errors import DrilldownError
from support.datasets import random_images, write_dataset

# The number of images per digit from 0 to 9 in the published labels.
TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small dataset into a folder of this name, see `write_dataset`."""

    def write(name: str = "letters", **options: Any) -> Path:
        return write_dataset(tmp_path / name, **options)

    return write


@pytest.fixture(autouse=True)
def _no_other_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment of this machine nor the user's cache is searched."""
    monkeypatch.delenv("DRILLDOWN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def error_of(name: Any, root: Path | None = None) -> str:
    with pytest.raises(DrilldownError) as caught:
        load_dataset(str(name), root)
    return str(caught.value)


# ---- MNIST


@pytest.fixture(scope="module")
def mnist_files() -> dict[str, Path]:
    """The four files of MNIST by stem, if this machine has them."""
    root = os.environ.get("DRILLDOWN_DATA")
    if not root:
        pytest.skip("DRILLDOWN_DATA does not name a folder with MNIST")
    files = {stem: Path(root) / "mnist" / f"{stem}.gz" for stem in STEMS}
    if not all(file.is_file() for file in files.values()):
        pytest.skip("the folder in DRILLDOWN_DATA has no mnist/ with four .gz files")
    return files


@pytest.fixture(scope="module")
def mnist(mnist_files: dict[str, Path]) -> Dataset:
    return load_dataset("mnist", next(iter(mnist_files.values())).parents[1])


def test_mnist_is_the_published_dataset(mnist):
    assert (len(mnist.train), len(mnist.test), mnist.classes) == (60_000, 10_000, 10)
    assert mnist.image_shape == (1, 28, 28)
    assert mnist.train.images.dtype == torch.uint8
    assert (mnist.mean, mnist.std) == ((0.1307,), (0.3081,))
    assert mnist.train.labels.bincount().tolist() == TRAIN_COUNTS
    assert mnist.test.labels.bincount().tolist() == TEST_COUNTS
    assert mnist.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.identity == "mnist"


def test_mean_and_deviation_of_mnist_agree_with_numpy(mnist):
    pixels = mnist.train.images.numpy()
    assert mnist.mean[0] == pytest.approx(pixels.mean(dtype=np.float64) / 255, abs=5e-5)
    assert mnist.std[0] == pytest.approx(pixels.std(dtype=np.float64) / 255, abs=5e-5)


@pytest.mark.parametrize("subfolder", [".", "mnist", "MNIST/raw"])
def test_mnist_is_found_in_every_subfolder(mnist_files, tmp_path, subfolder):
    (tmp_path / subfolder).mkdir(parents=True, exist_ok=True)
    for stem, file in mnist_files.items():
        (tmp_path / subfolder / f"{stem}.gz").symlink_to(file)
    assert len(load_dataset("mnist", tmp_path).test) == 10_000


def test_the_given_folder_is_searched_before_the_environment_and_the_cache(mnist_files, tmp_path, monkeypatch):
    for name in ("given", "environment", "cache/drilldown"):
        (tmp_path / name / "mnist").mkdir(parents=True)
        for stem, file in mnist_files.items():
            (tmp_path / name / "mnist" / f"{stem}.gz").symlink_to(file)
    monkeypatch.setenv("DRILLDOWN_DATA", str(tmp_path / "environment"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("given", "environment", "cache/drilldown"):
        # The message names the damaged file, and so the folder that is searched first.
        damaged = tmp_path / name / "mnist" / "train-images-idx3-ubyte.gz"
        damaged.unlink()
        damaged.write_bytes(b"")
        assert str(damaged) in error_of("mnist", tmp_path / "given")
        shutil.rmtree(tmp_path / name)


def test_files_in_the_given_folder_itself_come_before_the_environment(mnist_files, tmp_path, monkeypatch):
    monkeypatch.setenv("DRILLDOWN_DATA", str(next(iter(mnist_files.values())).parents[1]))
    (tmp_path / "given").mkdir()
    for stem in mnist_files:
        (tmp_path / "given" / stem).write_bytes(b"mine")
    assert str(tmp_path / "given") in error_of("mnist", tmp_path / "given")


def test_one_changed_byte_of_mnist_is_refused(mnist_files, tmp_path):
    stem = "t10k-labels-idx1-ubyte"
    for other, file in mnist_files.items():
        if other != stem:
            (tmp_path / file.name).symlink_to(file)
    content = bytearray(gzip.decompress(mnist_files[stem].read_bytes()))
    content[5000] ^= 1
    changed = tmp_path / stem
    changed.write_bytes(content)
    message = error_of("mnist", tmp_path)
    assert message.startswith(f"{changed}: the data's SHA-256 is ")
    assert "expected the published dataset; delete the file" in message
    # By its path, the folder is an ordinary dataset.
    assert load_dataset(str(tmp_path)).identity != "mnist"


def test_swapped_files_of_mnist_are_refused(mnist_files, tmp_path):
    train, test = "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"
    for stem, file in mnist_files.items():
        name = {train: test, test: train}.get(stem, stem)
        (tmp_path / f"{name}.gz").symlink_to(file)
    assert f"{train}.gz: the data's SHA-256 is " in error_of("mnist", tmp_path)


# ---- folders


def test_a_folder_is_read_with_its_own_statistics(folder):
    images, labels = random_images(40, 6, 9, seed=2), np.arange(40) % 4
    path = folder(train_images=images, train_labels=labels, test_images=random_images(3, 6, 9), test_labels=[3, 0, 1])
    dataset = load_dataset(str(path))
    assert dataset.train.images.tolist() == images[:, None].tolist()
    assert dataset.train.labels.tolist() == labels.tolist()
    assert dataset.train.labels.dtype == torch.int64
    assert dataset.test.labels.tolist() == [3, 0, 1]
    assert (dataset.image_shape, dataset.classes) == ((1, 6, 9), 4)
    assert dataset.mean == (round(float((images / 255).mean()), 4),)
    assert dataset.std == (round(float((images / 255).std()), 4),)


@pytest.mark.parametrize(("side", "classes"), [(1, 2), (8, 26), (64, 47), (3, 256)])
def test_other_image_sizes_and_numbers_of_classes_are_read(folder, side, classes):
    labels = np.arange(2 * classes) % classes
    dataset = load_dataset(str(folder(train_images=random_images(len(labels), side, side), train_labels=labels,
                              test_images=random_images(6, side, side), test_labels=[0, 1] * 3)))  # fmt: skip
    assert (dataset.image_shape, dataset.classes) == ((1, side, side), classes)


@pytest.mark.parametrize("naming", ["{}", "{}.gz"])
def test_files_may_be_plain_or_compressed(folder, naming):
    assert len(load_dataset(str(folder(naming=naming))).train) == 12


def test_names_may_have_a_dot_in_place_of_a_dash(folder):
    path = folder()
    for file in list(path.iterdir()):
        file.rename(path / file.name.replace("-idx", ".idx"))
    assert (path / "t10k-images.idx3-ubyte").is_file()
    assert len(load_dataset(str(path)).train) == 12


def test_the_identity_depends_on_the_content_and_not_on_path_or_compression(folder):
    first = load_dataset(str(folder("first")))
    moved = load_dataset(str(folder("somewhere/else")))
    packed = load_dataset(str(folder("packed", naming="{}.gz")))
    assert first.identity == moved.identity == packed.identity
    assert first.identity.startswith("sha256:")


@pytest.mark.parametrize("part", ["train_images", "train_labels", "test_images", "test_labels"])
def test_the_identity_depends_on_each_of_the_four_files(folder, part):
    base = load_dataset(str(folder("base")))
    changed = {
        "train_images": random_images(12, seed=7),
        "train_labels": (np.arange(12) + 1) % 3,
        "test_images": random_images(6, seed=7),
        "test_labels": (np.arange(6) + 1) % 3,
    }
    assert load_dataset(str(folder("changed", **{part: changed[part]}))).identity != base.identity


def test_swapped_training_and_test_files_are_another_dataset(folder):
    first, second, labels = random_images(6), random_images(6, seed=5), np.arange(6) % 3
    options = {"train_labels": labels, "test_labels": labels}
    one = folder("one", train_images=first, test_images=second, **options)
    swapped = folder("swapped", train_images=second, test_images=first, **options)
    assert load_dataset(str(one)).identity != load_dataset(str(swapped)).identity


def test_a_name_with_a_slash_is_loaded_from_that_folder(tmp_path, monkeypatch, folder):
    folder("mnist")
    monkeypatch.chdir(tmp_path)
    assert load_dataset("./mnist").classes == 3


# ---- refused datasets


def test_a_gap_in_the_labels_is_refused_with_the_first_label_above_it(folder):
    message = error_of(folder(train_labels=[0, 0, 1, 3, 1, 0, 3, 3, 0, 1, 0, 1]))
    assert (
        "training label 3: class 3, but there is no image of class 2; expected classes 0, 1, 2, … without a gap"
    ) in message


def test_labels_that_begin_at_one_are_shifted_and_keep_their_numbers_as_names(folder):
    path = folder(train_labels=np.arange(12) % 3 + 1, test_labels=np.arange(6) % 3 + 1)
    dataset = load_dataset(str(path))
    assert dataset.train.labels.tolist() == (np.arange(12) % 3).tolist()
    assert dataset.class_names == dataset_info(str(path)).class_names == ("1", "2", "3")
    assert dataset.notices == ("the labels begin at 1: class 1 is the network's first output, class 3 its last",)


def test_labels_that_begin_at_two_have_a_gap(folder):
    assert "training label 0: class 2, but there is no image of class 0" in error_of(
        folder(train_labels=np.arange(12) % 3 + 2)
    )


def test_a_test_label_out_of_range_is_refused_with_its_position(folder):
    message = error_of(folder(test_labels=[0, 1, 2, 2, 9, 3]))
    assert "test label 4: class 9; expected 0 to 2, the classes of the training labels" in message


@pytest.mark.parametrize(("part", "name"), [("train", "train-labels-idx1-ubyte"), ("test", "t10k-labels-idx1-ubyte")])
def test_different_counts_of_images_and_labels_are_refused(folder, part, name):
    path = folder(**{f"{part}_labels": np.arange(5) % 3})
    count, images = {"train": 12, "test": 6}[part], name.replace("labels-idx1", "images-idx3")
    assert error_of(path) == f"{path / name}: 5 labels; expected one label for each of the {count} images in {images}"


def test_different_sizes_of_training_and_test_images_are_refused(folder):
    path = folder(test_images=random_images(6, 7, 5))
    assert error_of(path) == (
        f"{path / 't10k-images-idx3-ubyte'}: images of 7x5; expected 5x7, the size of the training images"
    )


def test_a_single_class_is_refused(folder):
    assert "only one class; expected labels of at least two classes" in error_of(folder(train_labels=np.zeros(12)))


@pytest.mark.parametrize("ink", [0, 7, 255])
def test_training_images_of_a_single_colour_are_refused(folder, ink):
    assert "training images of a single colour" in error_of(folder(train_images=np.full((12, 5, 7), ink)))


@pytest.mark.parametrize("shape", [(0, 5, 7), (12, 0, 7), (12, 5, 0)])
def test_images_without_pixels_are_refused(folder, shape):
    message = error_of(folder(train_images=np.zeros(shape), train_labels=np.arange(shape[0]) % 3))
    assert f"images of shape {shape}; expected at least one pixel" in message


def test_an_empty_test_split_is_refused(folder):
    assert "t10k-images" in error_of(folder(test_images=np.zeros((0, 5, 7)), test_labels=[]))


def test_a_folder_without_the_four_files_is_refused_with_their_names(folder, tmp_path):
    assert "no such folder; expected IDX files train-images-idx3-ubyte, " in error_of(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path / 'empty'}: contains nothing; expected IDX files" in error_of(tmp_path / "empty")
    path = folder()
    (path / "t10k-labels-idx1-ubyte").unlink()
    assert "contains t10k-images-idx3-ubyte, train-images-idx3-ubyte, train-labels-idx1-ubyte; " in error_of(path)


@pytest.mark.parametrize("name", ["./" + "x" * 300, "./\0", "/dev/null/x"])
def test_an_impossible_path_is_no_folder(name):
    assert "no such folder" in error_of(name)


def test_swapped_images_and_labels_are_recognised(folder):
    path = folder()
    images, labels = path / "train-images-idx3-ubyte", path / "train-labels-idx1-ubyte"
    images.rename(path / "other")
    labels.rename(images)
    (path / "other").rename(labels)
    message = error_of(path)
    assert message.startswith(f"{images}: byte 3: 1 dimensions; ")
    assert message.endswith("are images and labels swapped?")


def test_a_damaged_file_is_refused_with_its_path(folder):
    path = folder(naming="{}.gz")
    file = path / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-5])
    assert error_of(path).startswith(f"{file}: damaged gzip data (")


# ---- what is read, and when


def test_the_info_agrees_with_the_dataset(folder):
    assert dataset_info(str(folder())) == DatasetInfo((1, 5, 7), 3)
    glyphs = load_dataset("glyphs")
    assert dataset_info("glyphs") == DatasetInfo(glyphs.image_shape, glyphs.classes)


def test_the_info_of_mnist_needs_no_files(mnist):
    assert dataset_info("mnist") == DatasetInfo(mnist.image_shape, mnist.classes)


def test_the_info_reads_no_pixels(folder):
    path = folder(naming="{}.gz")
    file = path / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-5])
    assert dataset_info(str(path)) == DatasetInfo((1, 5, 7), 3)
    assert error_of(path).startswith(f"{file}: damaged gzip data (")


@pytest.mark.parametrize("length", [-1, 1])
def test_the_info_refuses_a_plain_file_of_a_wrong_length(folder, length):
    path = folder()
    file = path / "t10k-images-idx3-ubyte"
    content = file.read_bytes()
    file.write_bytes((content + b"x")[: len(content) + length])
    with pytest.raises(DrilldownError) as caught:
        dataset_info(str(path))
    assert f"{file}: {6 * 5 * 7 + length} bytes of data; expected 210, as the header says (6 x 5 x 7)" in str(
        caught.value
    )
    assert str(caught.value) == error_of(path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"train_labels": np.zeros(12)},
        {"train_labels": np.arange(5) % 3},
        {"test_labels": [0, 1, 2, 2, 9, 3]},
        {"test_images": random_images(6, 7, 5)},
        {"train_images": np.zeros((12, 0, 7))},
    ],
)
def test_the_info_refuses_wrong_headers_and_labels_with_the_same_message(folder, arrays):
    path = folder(**arrays)
    with pytest.raises(DrilldownError) as caught:
        dataset_info(str(path))
    assert str(caught.value) == error_of(path)


def test_unchanged_files_are_read_once_and_changed_files_again(folder):
    path = folder()
    first = load_dataset(str(path))
    assert load_dataset(str(path)) is first
    assert dataset_info(str(path)) is dataset_info(str(path))
    folder(train_images=random_images(12, seed=9))
    os.utime(path / "train-images-idx3-ubyte", ns=(1, 1))
    assert load_dataset(str(path)).identity != first.identity
    folder(train_images=random_images(12, 8, 8), test_images=random_images(6, 8, 8))
    assert dataset_info(str(path)).image_shape == load_dataset(str(path)).image_shape == (1, 8, 8)
