"""Loading a dataset by its name where its files must be fetched first."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from drilldown.data.catalogue import CATALOGUE, QMNIST, STEMS, WRITERS, PublishedFile
from drilldown.data.finding import cache_folder
from drilldown.data.loading import load_dataset, with_local_writers, with_writers
from drilldown.errors import DrilldownError
from drilldown.files import LOCK
from support.mirror import ANSWERS, NOWHERE, Mirror, send
from support.writers import STEM, WRITER_IDS, write_small_mnist


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror.running() as mirror:
        yield mirror


@pytest.fixture(autouse=True)
def _no_other_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DRILLDOWN_MIRROR", "DRILLDOWN_DATA", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache" / "drilldown"
    return cache_folder()


def serve(
    monkeypatch: pytest.MonkeyPatch, mirror: Mirror, name: str, contents: dict[str, bytes], *, packed: bool
) -> None:
    """Puts four files on the server, and their checksums into the catalogue."""

    def answer(server: Mirror, handler: BaseHTTPRequestHandler) -> None:
        send(gzip.compress(contents[handler.path.split("/")[2].removesuffix(".gz")], mtime=0))(server, handler)

    monkeypatch.setitem(ANSWERS, "served", answer)
    files = {
        stem: PublishedFile(
            stem=stem,
            mirrors=(mirror("served"),),
            sha256=hashlib.sha256(gzip.compress(content, mtime=0) if packed else content).hexdigest(),
            size=len(content),
            packed=packed,
        )
        for stem, content in contents.items()
    }
    monkeypatch.setitem(CATALOGUE, name, files)


def small_dataset() -> dict[str, bytes]:
    """Images of noise in ten classes."""
    pixels = np.random.default_rng(1).bytes(20 * 28 * 28)
    images = struct.pack(">HBBIII", 0, 8, 3, 20, 28, 28) + pixels
    labels = struct.pack(">HBBI", 0, 8, 1, 20) + bytes(range(10)) * 2
    return {stem: images if "images" in stem else labels for stem in STEMS}


@pytest.mark.parametrize(("name", "packed"), [("mnist", False), ("kmnist", True)])
def test_a_dataset_is_fetched_once(mirror, empty_cache, monkeypatch, name, packed):
    serve(monkeypatch, mirror, name, small_dataset(), packed=packed)
    names: list[str] = []
    first = load_dataset(name, on_download=lambda stem, *_: names.append(stem))
    assert (len(first.train), first.classes, first.identity) == (20, 10, name)
    assert list(dict.fromkeys(names)) == list(STEMS)
    assert {path.name for path in (empty_cache / name).iterdir()} == {LOCK, *(f"{stem}.gz" for stem in STEMS)}
    assert mirror.requested == [f"served/{stem}.gz" for stem in STEMS]
    second = load_dataset(name)
    assert len(mirror.requested) == len(STEMS)
    assert second.train.images.equal(first.train.images)


def test_a_fetched_file_that_was_changed_later_is_refused(mirror, empty_cache, monkeypatch):
    contents = small_dataset()
    serve(monkeypatch, mirror, "kmnist", contents, packed=True)
    load_dataset("kmnist")
    # The same data, packed differently: for this dataset the checksum of the archive is published.
    path = empty_cache / "kmnist" / f"{STEMS[3]}.gz"
    path.write_bytes(gzip.compress(contents[STEMS[3]], 1, mtime=5))
    with pytest.raises(
        DrilldownError, match=r"the archive's SHA-256 is .*; expected the published dataset; delete the file"
    ):
        load_dataset("kmnist")


def test_files_are_fetched_into_the_cache_and_not_into_the_given_folder(mirror, empty_cache, tmp_path, monkeypatch):
    serve(monkeypatch, mirror, "mnist", small_dataset(), packed=False)
    (tmp_path / "given").mkdir()
    load_dataset("mnist", tmp_path / "given")
    assert list((tmp_path / "given").iterdir()) == []
    assert len(list((empty_cache / "mnist").glob("*.gz"))) == 4


@pytest.fixture(scope="module")
def mnist_root() -> Path:
    """The folder of MNIST's files, if this machine has them."""
    root = Path(os.environ.get("DRILLDOWN_DATA") or "nowhere") / "mnist"
    if not all((root / f"{stem}.gz").is_file() for stem in STEMS):
        pytest.skip("DRILLDOWN_DATA does not name a folder with MNIST")
    return root


def test_mnist_is_fetched_from_the_mirror_in_the_environment(mirror, empty_cache, monkeypatch, mnist_root):
    monkeypatch.setitem(
        ANSWERS,
        "mnist",
        lambda server, handler: send((mnist_root / Path(handler.path).name).read_bytes())(server, handler),
    )
    monkeypatch.setenv("DRILLDOWN_MIRROR", mirror("mnist"))
    dataset = load_dataset("mnist")
    assert (len(dataset.train), len(dataset.test), dataset.mean) == (60_000, 10_000, (0.1307,))
    assert mirror.requested == [f"mnist/{stem}.gz" for stem in STEMS]
    assert len(list((empty_cache / "mnist").glob("*.gz"))) == 4


def test_without_a_network_the_message_lists_folders_mirrors_and_solutions(empty_cache, tmp_path, monkeypatch):
    offline = {
        stem: replace(known, mirrors=(NOWHERE, f"{NOWHERE}second/")) for stem, known in CATALOGUE["mnist"].items()
    }
    monkeypatch.setitem(CATALOGUE, "mnist", offline)
    monkeypatch.setenv("DRILLDOWN_DATA", str(tmp_path / "environment"))
    with pytest.raises(DrilldownError) as caught:
        load_dataset("mnist", tmp_path / "given")
    message = str(caught.value)
    assert message.startswith("mnist is not on this machine and could not be fetched.")
    roots = [tmp_path / "given", tmp_path / "environment", empty_cache]
    for root in roots:
        assert f"{root / 'mnist'}\n" in message
        assert f"{root / 'MNIST' / 'raw'}\n" in message
    assert message.index(str(roots[0])) < message.index(str(roots[1])) < message.index(str(roots[2]))
    for address in (NOWHERE, f"{NOWHERE}second/"):
        assert f"{address}train-images-idx3-ubyte.gz: no connection" in message
    for solution in ("connect to the network", "--data", "DRILLDOWN_DATA", "--set recipe.dataset=glyphs", *STEMS):
        assert solution in message
    assert [path.name for path in (empty_cache / "mnist").iterdir()] == [LOCK]


def test_a_cache_that_cannot_be_written_is_reported(mirror, tmp_path, monkeypatch):
    serve(monkeypatch, mirror, "mnist", small_dataset(), packed=False)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DrilldownError, match="the dataset cannot be stored here"):
        load_dataset("mnist")


# ---- the writers of MNIST


@pytest.fixture
def served_writers(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small MNIST, without the file that names its writers: this is on the server."""
    folder = write_small_mnist(tmp_path, monkeypatch)
    file = folder / QMNIST / f"{STEM}.gz"
    monkeypatch.setitem(ANSWERS, "writers", send(file.read_bytes()))
    monkeypatch.setitem(WRITERS, "mnist", replace(WRITERS["mnist"], mirrors=(mirror("writers"),)))
    file.unlink()
    return folder


@pytest.mark.usefixtures("served_writers")
def test_the_writers_are_fetched_once(mirror):
    names: list[str] = []
    dataset = with_writers(load_dataset("mnist"), on_download=lambda stem, *_: names.append(stem))
    assert dataset.train.writers is not None
    assert dataset.train.writers.ids.tolist() == WRITER_IDS.tolist()
    assert dataset.train.writers.sources.tolist() == [0 if writer < 2100 else 4 for writer in WRITER_IDS]
    assert set(names) == {STEM}
    assert {path.name for path in (cache_folder() / QMNIST).iterdir()} == {LOCK, f"{STEM}.gz"}
    with_writers(load_dataset("mnist"))
    assert mirror.requested == [f"writers/{STEM}.gz"]


@pytest.mark.usefixtures("served_writers")
def test_a_dataset_alone_and_a_remark_about_writers_fetch_no_writers(mirror):
    assert load_dataset("mnist").train.writers is None
    assert with_local_writers(load_dataset("mnist")).train.writers is None
    assert mirror.requested == []


@pytest.mark.usefixtures("served_writers")
def test_other_bytes_are_not_taken_for_the_writers(mirror, monkeypatch):
    monkeypatch.setitem(WRITERS, "mnist", replace(WRITERS["mnist"], mirrors=(mirror("other"),)))
    with pytest.raises(DrilldownError, match=rf"other/{STEM}\.gz: more than [\d,]+ bytes"):
        with_writers(load_dataset("mnist"))
    assert [path.name for path in (cache_folder() / QMNIST).iterdir()] == [LOCK]


def test_writers_that_cannot_be_fetched_are_reported_with_folders_mirrors_and_solutions(served_writers, monkeypatch):
    monkeypatch.setitem(WRITERS, "mnist", replace(WRITERS["mnist"], mirrors=(NOWHERE,)))
    with pytest.raises(DrilldownError) as caught:
        with_writers(load_dataset("mnist"), served_writers / "given")
    message = str(caught.value)
    assert message.startswith("qmnist, the file with the writers of mnist, is not on this machine and could not be ")
    for root in (served_writers / "given", served_writers, cache_folder()):
        for folder in (root / "qmnist", root / "QMNIST" / "raw", root / "mnist", root):
            assert f"    {folder}\n" in message
    assert f"{NOWHERE}{STEM}.gz: no connection" in message
    for solution in (f"copy {STEM} (plain or .gz)", "DRILLDOWN_DATA", "--set recipe.holdout=10_000"):
        assert solution in message
