"""`drilldown data convert`: what is written is read again as the same dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drilldown.data.dataset import Dataset
from drilldown.data.loading import load_dataset
from drilldown.data.own.writing import write_dataset
from drilldown.errors import DrilldownError
from support.datasets import write_dataset as write_idx
from support.own import shapes, write_pictures


def numbered(folder: Path, **changed: np.ndarray) -> Dataset:
    (images, labels), (more, others) = shapes(30), shapes(12, seed=1)
    arrays: dict[str, Any] = {"x_train": images, "y_train": labels, "x_test": more, "y_test": others} | changed
    np.savez(folder / "numbered.npz", **arrays)
    return load_dataset(str(folder / "numbered.npz"))


def assert_same(first: Dataset, second: Dataset) -> None:
    assert second.identity == first.identity
    assert second.class_names == first.class_names
    for one, other in ((first.train, second.train), (first.test, second.test)):
        assert other.images.equal(one.images)
        assert other.labels.equal(one.labels)


@pytest.mark.parametrize("kind", ["idx", "pictures"])
@pytest.mark.parametrize("source", ["pictures", "tree", "numbers", "grey", "from one"])
def test_a_round_trip_is_exact(tmp_path, kind, source):
    if source == "numbers":
        dataset = numbered(tmp_path)
    elif source in ("grey", "from one"):
        first = int(source == "from one")
        dataset = load_dataset(str(write_idx(tmp_path / "s", train_labels=np.arange(12) % 3 + first,
                                             test_labels=np.arange(6) % 3 + first)))  # fmt: skip
    else:
        dataset = load_dataset(str(write_pictures(tmp_path / "s", 30, 12 if source == "pictures" else 0)))
    write_dataset(dataset, tmp_path / "a" / "written", kind)
    assert_same(dataset, load_dataset(str(tmp_path / "a" / "written")))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["written"]


def test_names_in_another_order_keep_their_order(tmp_path):
    folder = write_idx(tmp_path / "named")
    (folder / "classes.txt").write_text("zebra\nant\nmouse\n")
    dataset = load_dataset(str(folder))
    assert dataset.class_names == ("zebra", "ant", "mouse")
    write_dataset(dataset, tmp_path / "pictures", "pictures")
    assert_same(dataset, load_dataset(str(tmp_path / "pictures")))


def test_more_than_256_classes_are_written(tmp_path):
    labels = np.arange(300)
    dataset = numbered(tmp_path, x_train=shapes(300)[0], y_train=labels)
    write_dataset(dataset, tmp_path / "idx", "idx")
    assert_same(dataset, load_dataset(str(tmp_path / "idx")))


@pytest.mark.parametrize("channels", [2, 4])
def test_pictures_cannot_hold_two_or_four_channels(tmp_path, channels):
    images = shapes(30, channels=channels)[0]
    dataset = numbered(tmp_path, x_train=images, x_test=images[:12])
    with pytest.raises(DrilldownError, match=f"images with {channels} channels; expected 1 or 3, .*; write --to idx"):
        write_dataset(dataset, tmp_path / "pictures", "pictures")
    write_dataset(dataset, tmp_path / "idx", "idx")
    assert_same(dataset, load_dataset(str(tmp_path / "idx")))


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "x" * 300])
def test_names_that_no_folder_can_have_are_refused(tmp_path, name):
    folder = write_idx(tmp_path / "named")
    (folder / "classes.txt").write_text(f"{name}\nant\nmouse\n")
    with pytest.raises(DrilldownError, match=r"the class name .*; expected names that a folder can have"):
        write_dataset(load_dataset(str(folder)), tmp_path / "pictures", "pictures")
    assert not (tmp_path / "pictures").exists()


def test_nothing_is_overwritten(tmp_path):
    dataset = numbered(tmp_path)
    for target in ("file", "folder", "link"):
        path = tmp_path / target
        {"file": path.touch, "folder": path.mkdir, "link": lambda p=path: p.symlink_to("nowhere")}[target]()
        with pytest.raises(DrilldownError, match="exists already; expected the name of a new folder"):
            write_dataset(dataset, path, "idx")


def test_a_place_that_cannot_be_written_is_one_message(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DrilldownError, match=r"cannot be written \((Not a directory|File exists)\)"):
        write_dataset(numbered(tmp_path), tmp_path / "file" / "target", "idx")
