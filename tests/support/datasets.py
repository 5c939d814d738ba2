"""Small datasets as folders of IDX files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np

FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


def idx_bytes(array: Any) -> bytes:
    """An array as the content of an IDX file."""
    array = np.asarray(array)
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def random_images(count: int = 12, height: int = 5, width: int = 7, seed: int = 0) -> np.ndarray:
    """Images of noise, (count, height, width)."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width))


def write_dataset(folder: Path, *, naming: str = "{}", **arrays: Any) -> Path:
    """Writes a dataset and returns its folder: twelve training and six test images in three classes.

    `arrays` replace the arrays of single files (see FILES); `naming` makes the names of the files from the stems.
    """
    folder.mkdir(parents=True, exist_ok=True)
    defaults = {
        "train_images": random_images(12),
        "train_labels": np.arange(12) % 3,
        "test_images": random_images(6, seed=1),
        "test_labels": np.arange(6) % 3,
    }
    for key, stem in FILES.items():
        content = idx_bytes((defaults | arrays)[key])
        name = naming.format(stem)
        (folder / name).write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    return folder


def write_two_images(folder: Path, side: int, ink: int = 9) -> Path:
    """Writes a dataset with one dark and one light image in each split, and returns its folder."""
    images = np.stack([np.zeros((side, side)), np.full((side, side), ink)])
    labels = [0, 1]
    return write_dataset(folder, train_images=images, train_labels=labels, test_images=images, test_labels=labels)
