"""A small dataset in the place of MNIST, with a file that names its writers."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from drilldown.data.catalogue import CATALOGUE, QMNIST, STEMS, WRITERS, PublishedFile
from drilldown.data.glyphs import draw_glyphs
from support.mirror import NOWHERE

STEM = WRITERS["mnist"].stem
IMAGES = 300
WRITER_IDS = np.random.default_rng(5).choice([*range(12), *range(2100, 2112)], IMAGES)
"""The writer of each training image: 24 writers, half of them below 2100."""


def label_file(classes: np.ndarray, ids: np.ndarray = WRITER_IDS) -> bytes:
    """The bytes of a file with extended labels, as QMNIST's page describes it; columns that are not read are noise."""
    table = np.random.default_rng(6).integers(0, 99, (len(ids), 8))
    table[:, :3] = np.stack([classes, np.where(ids < 2100, 0, 4), ids], 1)
    return struct.pack(">3I", 0x0C02, *table.shape) + table.astype(">i4").tobytes()


def published(stem: str, content: bytes, *mirrors: str) -> PublishedFile:
    """The catalogue's entry for a file with this content."""
    digest = hashlib.sha256(content).hexdigest()
    return PublishedFile(stem=stem, mirrors=mirrors or (NOWHERE,), sha256=digest, size=len(content))


def write_small_mnist(folder: Path, patch: pytest.MonkeyPatch, *, writers: bool = True) -> Path:
    """Writes 300 training and 100 test images as MNIST, and their writers; no other place is searched.

    *Arguments*: `writers`: whether the file that names the writers is written as well.
    """
    (folder / "mnist").mkdir(parents=True)
    (folder / QMNIST).mkdir()
    splits = draw_glyphs(IMAGES, 100)
    contents = {}
    for (images, labels), stems in zip(splits, (STEMS[:2], STEMS[2:]), strict=True):
        contents[stems[0]] = struct.pack(">4B3I", 0, 0, 8, 3, *images.shape) + images.numpy().tobytes()
        contents[stems[1]] = struct.pack(">4BI", 0, 0, 8, 1, len(labels)) + labels.byte().numpy().tobytes()
    for stem, content in contents.items():
        (folder / "mnist" / f"{stem}.gz").write_bytes(gzip.compress(content))
    patch.setitem(CATALOGUE, "mnist", {stem: published(stem, content) for stem, content in contents.items()})
    table = label_file(splits[0][1].numpy())
    patch.setitem(WRITERS, "mnist", published(STEM, table))
    if writers:
        (folder / QMNIST / f"{STEM}.gz").write_bytes(gzip.compress(table))
    patch.setenv("DRILLDOWN_DATA", str(folder))
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    patch.delenv("DRILLDOWN_MIRROR", raising=False)
    return folder
