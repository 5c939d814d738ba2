"""QMNIST: MNIST with the writer of each image, and with 50,000 further test images.

The first 10,000 test images are MNIST's; the others were lost when MNIST was made, and were found again in 2019.

*Source*: Yadav and Bottou, "Cold Case: The Lost MNIST Digits", 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from drilldown.data.catalogue import CATALOGUE, QMNIST
from drilldown.data.dataset import Split
from drilldown.data.download import OnDownload
from drilldown.data.finding import dataset_folders, fetch_files, find_files
from drilldown.data.idx import parse_idx
from drilldown.data.writers import Writers
from drilldown.memory import check_memory

TEST_FILES = ("qmnist-test-images-idx3-ubyte", "qmnist-test-labels-idx2-int")
"""The stems of the files with the 60,000 test images."""
_HEADER_BYTES = 12
"""The header of a label file: a magic number and two sizes."""


def parse_labels(content: bytes | bytearray) -> tuple[torch.Tensor, Writers]:
    """Reads classes and writers from the verified bytes of a file with extended labels.

    A row has eight numbers: class, source (NIST's series of forms), writer, and five that are not needed.

    >>> classes, writers = parse_labels(bytes(12) + bytes([0, 0, 0, 7] * 8))
    >>> classes.tolist(), writers.ids.tolist()
    ([7], [7])
    """
    table = np.frombuffer(content, ">i4", offset=_HEADER_BYTES).reshape(-1, 8)
    classes, sources, ids = (torch.from_numpy(column.astype("int64")) for column in table.T[:3])
    return classes, Writers(ids, sources)


def parse_splits(contents: Mapping[str, bytearray]) -> Iterator[Split]:
    """Yields the training split, then the test split, from the verified bytes of the four files, by stem."""
    for part in ("train", "test"):
        yield _parse_split(contents, part)


def load_test_split(folder: Path | str | None = None, *, on_download: OnDownload | None = None) -> Split:
    """Loads the 60,000 test images with their writers; MNIST's 10,000 come first.

    Each of the two files is found on this machine or fetched.

    *Arguments*: those of `load_dataset`.

    *Raises* DrilldownError where a file is missing and cannot be fetched, cannot be read, or is not the published one.
    """
    folders, known = dataset_folders(QMNIST, folder), CATALOGUE[QMNIST]
    contents = {}
    for stem in TEST_FILES:
        files = find_files(folders, [stem]) or fetch_files(
            QMNIST, {stem: known[stem]}, folders, on_download,
            title=f"{stem}, a file of the audit set,", instead="do without an audit",
        )  # fmt: skip
        check_memory(known[stem].size, "loading the audit set", file=files[stem])
        contents[stem] = known[stem].read(files[stem])
    return _parse_split(contents, "test")


def _parse_split(contents: Mapping[str, bytearray], part: str) -> Split:
    stem = f"qmnist-{part}-images-idx3-ubyte"
    classes, writers = parse_labels(contents[f"qmnist-{part}-labels-idx2-int"])
    return Split(torch.from_numpy(parse_idx(contents[stem], 3, stem)), classes, writers)
