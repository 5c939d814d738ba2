"""A small QMNIST beside the small MNIST of `writers.py`: the same first test images, and further ones."""

from __future__ import annotations

import functools
import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from drilldown.data import catalogue
from drilldown.data.catalogue import CATALOGUE, QMNIST, PublishedFile
from drilldown.data.glyphs import draw_glyphs
from support.mirror import NOWHERE
from support.writers import IMAGES, WRITER_IDS, label_file, write_small_mnist

TEST_IMAGES = 100
FURTHER_IMAGES = 400
TRAIN_FILES = ("qmnist-train-images-idx3-ubyte", "qmnist-train-labels-idx2-int")
TEST_FILES = ("qmnist-test-images-idx3-ubyte", "qmnist-test-labels-idx2-int")
TEST_IDS = np.random.default_rng(7).permuted(np.arange(3000, 3000 + TEST_IMAGES + FURTHER_IMAGES) % 40 + 3000)
"""The writer of each test image: 40 writers, none of whom wrote training images."""


@functools.cache
def small_qmnist() -> tuple[dict[str, bytes], tuple[np.ndarray, np.ndarray]]:
    """Returns the contents of the four files by stem, and the test images (N, 28, 28) with their classes (N)."""
    train, test = draw_glyphs(IMAGES, TEST_IMAGES)
    further_images, further_labels = draw_glyphs(IMAGES + FURTHER_IMAGES, TEST_IMAGES)[0]
    images = np.concatenate([test[0].numpy().squeeze(), further_images[IMAGES:].numpy().squeeze()])
    labels = np.concatenate([test[1].numpy(), further_labels[IMAGES:].numpy()])
    contents = dict(zip(TRAIN_FILES, _files(train[0].numpy().squeeze(), train[1].numpy(), WRITER_IDS), strict=True))
    return contents | dict(zip(TEST_FILES, _files(images, labels, TEST_IDS), strict=True)), (images, labels)


def _files(images: np.ndarray, labels: np.ndarray, writers: np.ndarray) -> tuple[bytes, bytes]:
    return struct.pack(">4B3I", 0, 0, 8, 3, *images.shape) + images.tobytes(), label_file(labels, writers)


def published_qmnist(contents: dict[str, bytes], *mirrors: str) -> dict[str, PublishedFile]:
    """The catalogue's entries: as with the real files, only the MD5 of the archive is known of images."""
    files = {}
    for stem, content in contents.items():
        archive = gzip.compress(content, mtime=0)
        images = "images" in stem
        files[stem] = PublishedFile(
            stem=stem,
            mirrors=mirrors or (NOWHERE,),
            md5=hashlib.md5(archive).hexdigest() if images else "",
            sha256="" if images else hashlib.sha256(content).hexdigest(),
            size=len(content),
            packed=images,
        )
    return files


def write_small_qmnist(folder: Path, patch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """Writes a small MNIST with its writers and a small QMNIST; no other place is searched.

    *Returns* the test images and classes of QMNIST.
    """
    write_small_mnist(folder, patch)
    contents, test = small_qmnist()
    files = published_qmnist(contents)
    patch.setitem(CATALOGUE, QMNIST, files)
    for name in ("mnist", QMNIST):
        patch.setitem(catalogue.WRITERS, name, files[TRAIN_FILES[1]])
        patch.setitem(catalogue.TEST_WRITERS, name, files[TEST_FILES[1]])
    for stem, content in contents.items():
        (folder / QMNIST / f"{stem}.gz").write_bytes(gzip.compress(content, mtime=0))
    return test
