"""Pictures and tables are read once; a damaged cache is no danger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drilldown.data import loading
from drilldown.data.loading import dataset_info, load_dataset
from drilldown.data.own import cache as caching
from drilldown.data.own import folders
from drilldown.data.pictures import read_colours
from support.own import save, shapes, write_pictures


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The pictures that were read from their files."""
    read: list[Path] = []

    def counting(file: Path) -> Any:
        read.append(file)
        return read_colours(file)

    monkeypatch.setattr(folders, "read_colours", counting)
    return read


def forget() -> None:
    """As in a new process."""
    loading._read_own.cache_clear()
    loading._read_info.cache_clear()


def test_pictures_are_read_once(tmp_path, cache, readings):
    folder = str(write_pictures(tmp_path / "photos"))
    first = load_dataset(folder)
    assert len(readings) == 42
    forget()
    again = load_dataset(folder)
    assert len(readings) == 42
    assert (again.identity, again.class_names, again.notices) == (first.identity, first.class_names, first.notices)
    assert again.train.images.equal(first.train.images)
    assert len([*cache.iterdir()]) == 1


def test_shape_and_classes_need_no_pixels_after_that(tmp_path, cache, readings):
    folder = str(write_pictures(tmp_path / "photos"))
    first = dataset_info(folder)
    forget()
    for file in cache.glob("*/*-ubyte"):
        file.unlink()
    assert dataset_info(folder) == first
    assert len(readings) == 42


def test_a_changed_picture_is_noticed(tmp_path, readings):
    folder = write_pictures(tmp_path / "photos")
    first = load_dataset(str(folder))
    save(shapes(1, seed=9)[0][0], folder / "train" / "circle" / "0.png")
    assert load_dataset(str(folder)).identity != first.identity
    save(shapes(30)[0][0], folder / "train" / "circle" / "0.png")
    assert load_dataset(str(folder)).identity == first.identity
    assert len(readings) == 3 * 42


@pytest.mark.parametrize("damage", ["cut", "flipped", "removed", "document", "nonsense"])
def test_a_damaged_cache_is_read_again_from_the_pictures(tmp_path, cache, readings, damage):
    folder = str(write_pictures(tmp_path / "photos"))
    first = load_dataset(folder)
    forget()
    (images,) = cache.glob("*/train-images*")
    document = images.with_name("content.json")
    content = bytearray(images.read_bytes())
    if damage == "cut":
        images.write_bytes(content[:-1])
    elif damage == "flipped":
        content[100] ^= 1
        images.write_bytes(content)
    elif damage == "removed":
        images.unlink()
    elif damage == "document":
        document.write_bytes(document.read_bytes()[:-20])
    else:
        document.write_text("{}")
    assert load_dataset(folder).identity == first.identity
    assert len(readings) == 2 * 42
    forget()
    load_dataset(folder)
    assert len(readings) == 2 * 42


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, cache, readings):
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_text("a file in place of the folder")
    folder = str(write_pictures(tmp_path / "photos"))
    first = load_dataset(folder)
    forget()
    assert load_dataset(folder).identity == first.identity
    assert len(readings) == 2 * 42


def test_old_datasets_make_room(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(caching, "MOST_DATASETS", 2)
    for name in ("one", "two", "three"):
        load_dataset(str(write_pictures(tmp_path / name, 6, 3)))
    assert len([*cache.iterdir()]) == 2
