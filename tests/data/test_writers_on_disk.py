"""Where the file that names MNIST's writers is searched, and which files are refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from drilldown.data.catalogue import QMNIST, WRITERS
from drilldown.data.dataset import Dataset, Split
from drilldown.data.loading import load_dataset, with_local_writers, with_writers
from drilldown.errors import DrilldownError
from support.datasets import write_dataset
from support.writers import STEM, WRITER_IDS, label_file, published, write_small_mnist


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small MNIST and its writers; no other place is searched."""
    return write_small_mnist(tmp_path / "data", monkeypatch)


def ids_of(dataset: Dataset) -> list[int] | None:
    return None if dataset.train.writers is None else dataset.train.writers.ids.tolist()


@pytest.mark.parametrize("place", [f"qmnist/{STEM}.gz", f"QMNIST/raw/{STEM}", f"mnist/{STEM}", f"{STEM}.gz"])
def test_the_writers_are_found_in_every_subfolder(folder, place):
    packed = (folder / QMNIST / f"{STEM}.gz").read_bytes()
    (folder / QMNIST / f"{STEM}.gz").unlink()
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_bytes(packed if place.endswith(".gz") else gzip.decompress(packed))
    for dataset in (with_writers(load_dataset("mnist")), with_local_writers(load_dataset("mnist"))):
        assert ids_of(dataset) == WRITER_IDS.tolist()


@pytest.mark.usefixtures("folder")
def test_the_given_folder_is_searched_before_the_environment(tmp_path):
    (tmp_path / "given").mkdir()
    damaged = tmp_path / "given" / STEM
    damaged.write_bytes(b"")
    with pytest.raises(DrilldownError) as caught:
        with_writers(load_dataset("mnist"), tmp_path / "given")
    assert str(caught.value).startswith(f"{damaged}: the data's SHA-256 is ")


def test_one_changed_byte_is_refused_where_writers_are_needed_and_ignored_where_not(folder):
    file = folder / QMNIST / f"{STEM}.gz"
    content = bytearray(gzip.decompress(file.read_bytes()))
    content[5000] ^= 1
    file.write_bytes(gzip.compress(content))
    dataset = load_dataset("mnist")
    with pytest.raises(DrilldownError, match=rf"{STEM}\.gz: the data's SHA-256 is .*; expected the published dataset"):
        with_writers(dataset)
    assert with_local_writers(dataset) is dataset


def test_writers_of_other_images_are_refused(folder, monkeypatch):
    labels = load_dataset("mnist").train.labels.numpy()
    other = label_file(np.roll(labels, 1))
    (folder / QMNIST / f"{STEM}.gz").write_bytes(gzip.compress(other))
    monkeypatch.setitem(WRITERS, "mnist", published(STEM, other))
    with pytest.raises(DrilldownError) as caught:
        with_writers(load_dataset("mnist"))
    assert str(caught.value).endswith(
        f"{STEM}.gz: other classes than the training images have; expected the writers of mnist"
    )


@pytest.mark.usefixtures("folder")
def test_a_dataset_without_known_writers_is_refused_or_returned_as_it_is(tmp_path):
    dataset = load_dataset(str(write_dataset(tmp_path / "letters")))
    with pytest.raises(DrilldownError) as caught:
        with_writers(dataset)
    assert (
        str(caught.value)
        == f'the writers of "{tmp_path / "letters"}" are unknown; expected one of the datasets "mnist", "qmnist"'
    )
    assert with_local_writers(dataset) is dataset


@pytest.mark.usefixtures("folder")
def test_a_copy_on_another_device_has_no_writers():
    split = with_writers(load_dataset("mnist")).train
    moved = split.to(torch.device("cpu"))
    assert moved.writers is None
    assert isinstance(moved, Split)
    assert moved.images.equal(split.images)
