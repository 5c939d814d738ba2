"""Datasets in NumPy's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drilldown.data.loading import dataset_info, load_dataset
from drilldown.errors import DrilldownError
from support.datasets import write_dataset
from support.own import shapes

TRAIN, TEST = shapes(30), shapes(12, seed=1)


def write(file: Path, names: str = "x_train y_train x_test y_test", **changed: Any) -> str:
    arrays = dict(zip(names.split(), (*TRAIN, *TEST), strict=True)) | changed
    np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
    return str(file)


def error_of(path: Path | str) -> str:
    with pytest.raises(DrilldownError) as caught:
        load_dataset(str(path))
    if "pixels from" not in str(caught.value):  # these are not read for shape and classes
        with pytest.raises(DrilldownError) as of_info:
            dataset_info(str(path))
        assert str(of_info.value) == str(caught.value)
    assert len(caught.value.problems) == 1
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    "names",
    [
        "x_train y_train x_test y_test",
        "train_images train_labels test_images test_labels",
        "X_train Y_train X_test Y_test",
        "xtrain ytrain xtest ytest",
        "training-images training-labels testing-images testing-labels",
        "train_x train_y valid_x valid_y",
    ],
)
def test_the_usual_names_are_read(tmp_path, names):
    dataset = load_dataset(write(tmp_path / "a.npz", names))
    assert np.array_equal(dataset.train.images.numpy(), TRAIN[0].transpose(0, 3, 1, 2))
    assert np.array_equal(dataset.test.labels.numpy(), TEST[1])
    info = dataset_info(str(tmp_path / "a.npz"))
    assert (info.image_shape, info.classes) == (dataset.image_shape, dataset.classes) == ((3, 12, 12), 3)


def test_medmnists_six_keys_are_read_and_the_validation_images_are_left_out(tmp_path):
    names = "train_images train_labels test_images test_labels"
    more = {"train_labels": TRAIN[1][:, None], "test_labels": TEST[1][:, None]}
    path = write(tmp_path / "pathmnist.npz", names, val_images=TEST[0], val_labels=TEST[1][:, None], **more)
    dataset = load_dataset(path)
    assert (len(dataset.train), len(dataset.test)) == (30, 12)
    assert dataset.notices[0].startswith("12 validation images are left out")


def test_the_name_of_a_file_needs_no_slash(tmp_path, monkeypatch):
    write(tmp_path / "mnist.npz")
    monkeypatch.chdir(tmp_path)
    assert load_dataset("mnist.npz").identity == load_dataset("./mnist.npz").identity


@pytest.mark.parametrize(
    "convert",
    [
        lambda images: images.astype(np.int64),
        lambda images: images / 255,
        lambda images: (images / 255).astype(np.float32),
        lambda images: images.astype(np.float64),
        lambda images: np.asfortranarray(images),
        lambda images: images.transpose(0, 3, 1, 2),
        lambda images: images.reshape(len(images), -1),
    ],
    ids=["int64", "fractions", "float32", "float64", "Fortran", "NCHW", "flat"],
)
def test_types_and_axes_do_not_matter(tmp_path, convert):
    first = load_dataset(write(tmp_path / "first.npz"))
    other = load_dataset(write(tmp_path / "other.npz", x_train=convert(TRAIN[0]), x_test=convert(TEST[0])))
    assert other.identity == first.identity


def test_one_column_for_each_class_is_a_label(tmp_path):
    first = load_dataset(write(tmp_path / "first.npz"))
    other = load_dataset(write(tmp_path / "other.npz", y_train=np.eye(3)[TRAIN[1]]))
    assert other.identity == first.identity


def test_arrays_without_test_images_are_split_by_class_and_always_the_same(tmp_path):
    path = write(tmp_path / "a.npz", x_test=None, y_test=None)
    dataset = load_dataset(path)
    assert dataset.test.labels.bincount().tolist() == [2, 2, 2]
    assert "6 of 30 were chosen" in dataset.notices[0]
    again = load_dataset(write(tmp_path / "b.npz", "images labels a b", a=None, b=None))
    assert again.identity == dataset.identity


def test_a_folder_of_arrays_is_read(tmp_path):
    first = load_dataset(write(tmp_path / "first.npz"))
    (tmp_path / "arrays").mkdir()
    for name, array in zip(("x_train", "y_train", "x_test", "y_test"), (*TRAIN, *TEST), strict=True):
        np.save(tmp_path / "arrays" / f"{name}.npy", array)
    (tmp_path / "k49").mkdir()
    for name, array in zip(("train-imgs", "train-labels", "test-imgs", "test-labels"), (*TRAIN, *TEST), strict=True):
        np.savez_compressed(tmp_path / "k49" / f"k49-{name}.npz", array)
    for folder in ("arrays", "k49"):
        assert load_dataset(str(tmp_path / folder)).identity == first.identity


def test_the_same_images_as_idx_files_are_the_same_dataset(tmp_path):
    grey: dict[str, Any] = {"train_images": TRAIN[0][..., 0], "train_labels": TRAIN[1], "test_images": TEST[0][..., 0],
            "test_labels": TEST[1]}  # fmt: skip
    idx = write_dataset(tmp_path / "idx", **grey)
    np.savez(tmp_path / "a.npz", **grey)
    assert load_dataset(str(tmp_path / "a.npz")).identity == load_dataset(str(idx)).identity


def test_pickles_are_refused_and_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    message = error_of(write(tmp_path / "a.npz", x_train=np.array([Bomb()], dtype=object)))
    assert message.startswith("x_train: Python objects (pickle), which can run any program; expected an array")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x_train": TRAIN[0][:7]}, "y_train: 30 labels; expected one label for each of the 7 images in x_train"),
        ({"x_test": TEST[0][:, :5]}, "x_test: images of 5x12; expected 12x12, the size of the training images"),
        ({"x_test": TEST[0][..., 0]}, "x_test: images of 12x12 with 1 channels; expected 12x12 with 3 channels"),
        ({"x_train": np.zeros((30, 7))}, "x_train: 7 pixels an image; expected a square number"),
        ({"x_train": TRAIN[0] - 300.0}, "x_train: pixels from -300 to "),
        ({"x_train": TRAIN[0] * np.nan}, "x_train: pixels from nan to nan"),
        ({"y_train": np.ones((30, 3))}, "y_train: several labels for an image"),
        ({"y_train": TRAIN[1] + 0.5}, "y_train: labels that are no whole numbers"),
        ({"y_train": TRAIN[1] * 2}, "training label 1: class 2, but there is no image of class 1"),
        ({"y_train": np.full(30, 10**12)}, "training labels: class 1000000000000"),
        ({"y_test": None}, "the arrays x_train, y_train, x_test"),
    ],
)
def test_wrong_arrays_are_refused_with_their_names(tmp_path, changed, message):
    if changed == {"y_test": None}:
        changed = {"y_train": None, "y_test": None}
        message = "the arrays x_train, x_test"
    assert error_of(write(tmp_path / "a.npz", **changed)).startswith(message)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "byte", "names"])
def test_a_damaged_file_is_one_message(tmp_path, damage):
    file = Path(write(tmp_path / "a.npz"))
    content = bytearray(file.read_bytes())
    if damage == "names":
        np.savez(file, a=np.zeros(3), b=np.zeros(3))
        assert error_of(file).startswith("contains a, b; expected x_train, y_train, x_test, y_test as in Keras")
        return
    if damage == "byte":
        content[200:204] = b"\xff\xff\xff\xff"
    file.write_bytes(
        {"empty": b"", "cut": bytes(content[:-100]), "text": b"not an archive"}.get(damage, bytes(content))
    )
    with pytest.raises(DrilldownError, match="damaged"):
        load_dataset(str(file))
