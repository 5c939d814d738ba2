"""QMNIST: fetched and verified by the checksums that loaders publish; its test images and their writers."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
import torch

from drilldown.data.catalogue import CATALOGUE, QMNIST
from drilldown.data.finding import cache_folder
from drilldown.data.loading import dataset_info, load_dataset, local_test_labels, with_local_writers, with_writers
from drilldown.data.qmnist import load_test_split, parse_labels
from drilldown.data.travel import dataset_files
from drilldown.data.writers import Writers
from drilldown.errors import DrilldownError
from drilldown.files import LOCK
from support.mirror import ANSWERS, NOWHERE, Mirror, send
from support.qmnist import TEST_FILES, TEST_IDS, TRAIN_FILES, published_qmnist, small_qmnist, write_small_qmnist
from support.writers import WRITER_IDS

IMAGES, LABELS = TEST_FILES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small MNIST and a small QMNIST; no other place is searched."""
    write_small_qmnist(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror.running() as mirror:
        yield mirror


@pytest.fixture
def served(folder: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same files on a server alone."""
    contents, _ = small_qmnist()

    def answer(server: Mirror, handler: BaseHTTPRequestHandler) -> None:
        stem = handler.path.split("/")[2].removesuffix(".gz")
        send(gzip.compress(contents[stem], mtime=0))(server, handler)

    monkeypatch.setitem(ANSWERS, "qmnist", answer)
    monkeypatch.setitem(CATALOGUE, QMNIST, published_qmnist(contents, mirror("qmnist")))
    for file in (folder / QMNIST).iterdir():
        file.unlink()
    return folder


def ids_of(writers: Writers | None) -> list[int] | None:
    return None if writers is None else writers.ids.tolist()


@pytest.mark.usefixtures("folder")
def test_qmnist_has_the_training_images_of_mnist_and_further_test_images_with_writers():
    qmnist, mnist, (_, (images, labels)) = load_dataset(QMNIST), load_dataset("mnist"), small_qmnist()
    assert qmnist.identity == QMNIST
    assert qmnist.train.images.equal(mnist.train.images)
    assert qmnist.test.images[:100].equal(mnist.test.images)
    assert np.array_equal(qmnist.test.images.squeeze().numpy(), images)
    assert qmnist.test.labels.tolist() == labels.tolist()
    assert (qmnist.mean, qmnist.std) == (mnist.mean, mnist.std)
    assert (ids_of(qmnist.train.writers), ids_of(qmnist.test.writers)) == (WRITER_IDS.tolist(), TEST_IDS.tolist())
    assert dataset_info(QMNIST).image_shape == qmnist.image_shape
    assert ids_of(with_writers(qmnist).train.writers) == WRITER_IDS.tolist()


@pytest.mark.usefixtures("folder")
def test_the_test_images_of_mnist_are_the_first_with_a_writer():
    writers = with_local_writers(load_dataset("mnist"))
    assert (ids_of(writers.train.writers), ids_of(writers.test.writers)) == (
        WRITER_IDS.tolist(),
        TEST_IDS[:100].tolist(),
    )
    known = local_test_labels("mnist")
    assert known is not None
    assert known[0][:100].equal(writers.test.labels)
    assert local_test_labels("glyphs") is None


def test_a_damaged_file_of_test_writers_is_ignored_where_nothing_needs_it(folder):
    (folder / QMNIST / f"{LABELS}.gz").write_bytes(b"damaged")
    assert local_test_labels("mnist") is None
    dataset = with_local_writers(load_dataset("mnist"))
    assert (ids_of(dataset.train.writers), dataset.test.writers) == (WRITER_IDS.tolist(), None)


@pytest.mark.usefixtures("served")
def test_all_files_are_fetched_once_and_travel(mirror):
    names: list[str] = []
    dataset = load_dataset(QMNIST, on_download=lambda stem, *_: names.append(stem))
    assert list(dict.fromkeys(names)) == [*TRAIN_FILES, *TEST_FILES]
    stored = {path.name for path in (cache_folder() / QMNIST).iterdir()}
    assert stored == {LOCK, *(f"{stem}.gz" for stem in (*TRAIN_FILES, *TEST_FILES))}
    assert load_dataset(QMNIST) is dataset
    assert len(mirror.requested) == 4
    assert {Path(path).name for path in dataset_files(QMNIST)} == stored - {LOCK}


@pytest.mark.usefixtures("served")
def test_of_the_audit_set_only_missing_files_are_fetched(mirror):
    contents, (images, labels) = small_qmnist()
    (cache_folder() / QMNIST).mkdir(parents=True)
    (cache_folder() / QMNIST / LABELS).write_bytes(contents[LABELS])  # unpacked
    split = load_test_split()
    assert mirror.requested == [f"qmnist/{IMAGES}.gz"]
    assert (len(split), ids_of(split.writers)) == (len(labels), TEST_IDS.tolist())
    assert np.array_equal(split.images.squeeze().numpy(), images)


def test_another_archive_is_not_taken_for_the_published_one(served, monkeypatch):
    contents, _ = small_qmnist()
    changed = bytearray(contents[IMAGES])
    changed[5_000] ^= 1
    monkeypatch.setitem(ANSWERS, "qmnist", send(gzip.compress(bytes(changed), mtime=0)))
    with pytest.raises(DrilldownError, match=rf"qmnist/{IMAGES}\.gz: the archive's MD5 is \w{{12}}…, not \w{{12}}…"):
        load_test_split(served)
    assert [path.name for path in (cache_folder() / QMNIST).iterdir()] == [LOCK]


def test_one_changed_byte_of_a_stored_archive_is_noticed(folder):
    file = folder / QMNIST / f"{IMAGES}.gz"
    content = bytearray(file.read_bytes())
    content[-2] ^= 1  # in the length at the end, which not every program compares
    file.write_bytes(content)
    with pytest.raises(DrilldownError) as caught:
        load_test_split()
    assert str(caught.value).startswith(f"{file}: the archive's MD5 is ")


def test_of_an_unpacked_file_and_its_archive_the_archive_is_read(folder):
    contents, (images, _) = small_qmnist()
    (folder / QMNIST / IMAGES).write_bytes(contents[IMAGES])  # torchvision keeps both
    assert np.array_equal(load_test_split().images.squeeze().numpy(), images)
    (folder / QMNIST / f"{IMAGES}.gz").unlink()
    with pytest.raises(DrilldownError, match=rf"{IMAGES}: the archive's MD5 is "):
        load_test_split()


def test_an_audit_set_that_cannot_be_fetched_is_reported_with_folders_and_mirrors(folder):
    (folder / QMNIST / f"{IMAGES}.gz").unlink()
    with pytest.raises(DrilldownError) as caught:
        load_test_split()
    message = str(caught.value)
    assert message.startswith(f"{IMAGES}, a file of the audit set, is not on this machine and could not be fetched.")
    for part in (f"{folder / QMNIST}\n", f"{NOWHERE}{IMAGES}.gz: no connection", f"copy {IMAGES} (as .gz)"):
        assert part in message


# ---- the published files, where this machine has them


@pytest.fixture(scope="module")
def rows() -> tuple[torch.Tensor, Writers]:
    file = Path(os.environ.get("DRILLDOWN_DATA") or "nowhere") / QMNIST / f"{LABELS}.gz"
    if not file.is_file():
        pytest.skip(f"{file.name} is not on this machine")
    return parse_labels(CATALOGUE[QMNIST][LABELS].read(file))


def test_the_audit_set_of_the_published_labels_shares_writers_with_the_test_images_and_none_with_training(rows):
    labels, writers = rows
    mnist = with_local_writers(load_dataset("mnist"))
    assert mnist.test.labels.equal(labels[:10_000])
    assert mnist.train.writers is not None
    # The documentation and the output of an audit state these facts, and that a quarter is of a series not in MNIST.
    assert round(float((writers.sources[10_000:] == 1).double().mean()), 2) == 0.24
    assert set(writers.sources[:10_000].tolist()) == set(mnist.train.writers.sources.tolist()) == {0, 4}
    training, test, audit = (
        set(ids.tolist()) for ids in (mnist.train.writers.ids, writers.ids[:10_000], writers.ids[10_000:])
    )
    assert (len(labels), len(test), len(audit), len(test | audit), len(test & audit)) == (60_000, 297, 488, 535, 250)
    assert not training & (test | audit)
