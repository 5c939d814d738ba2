"""Reads a dataset of four IDX files, under all the names that they have in the world, and writes one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drilldown.data.catalogue import STEMS
from drilldown.data.dataset import DatasetInfo
from drilldown.data.idx import explain_read_errors, idx_header, parse_idx, read_header, read_unpacked
from drilldown.data.image_settings import ImageSettings
from drilldown.data.own.content import Content, Labels, image_array, label_arrays, make_split
from drilldown.data.own.values import (
    Classes,
    check_counts,
    check_same_size,
    image_axes,
    number_classes,
    to_images,
    to_labels,
)
from drilldown.errors import DrilldownError, Problem
from drilldown.memory import check_memory

CLASS_NAMES = "classes.txt"
"""The file beside the four that names the classes, one a line."""
MAPPING = "mapping.txt"
"""The end of the name of EMNIST's file that says which character a label stands for."""
LOADING_BYTES = 64_000_000
"""The memory that loading takes beside images and labels: chunks of a file, and pixels that are counted at once."""
LABEL_BYTES = 8
"""The memory of one label, beside its byte in the file."""
SPARE_BYTES = 65_536
"""The bytes beyond the promised size that are read of a file that is too long, to say how long it is."""

_NAME = re.compile(
    r"(?P<prefix>.*?)[-_. ]?(?P<part>train|t10k|test)[-_. ]?(?P<kind>image|label)s?[-_. ]idx\d[-_. ]?(ubyte|byte|int)?"
)
"""The names of the files: MNIST's, those of EMNIST and QMNIST with a prefix, with other signs between the words."""
_MAPPING = re.compile(r"(?P<label>\d+)\s+(?P<character>\d+)\b.*")
"""A line of EMNIST's file `…-mapping.txt`: a label, and the code of the character that it stands for."""


def match_idx_name(name: str) -> tuple[str, str] | None:
    """Returns the prefix of a file's name, and the published name of its part; None for other files.

    >>> match_idx_name("emnist-letters-train-images-idx3-ubyte.gz")
    ('emnist-letters', 'train-images-idx3-ubyte')
    >>> match_idx_name("T10K-labels.idx1-ubyte")
    ('', 't10k-labels-idx1-ubyte')
    """
    found = _NAME.fullmatch(name.lower().removesuffix(".gz"))
    if found is None:
        return None
    part = "train" if found["part"] == "train" else "t10k"
    return found["prefix"], f"{part}-{found['kind']}s-idx{3 if found['kind'] == 'image' else 1}-ubyte"


def find_idx_files(entries: Iterable[Path]) -> dict[str, dict[str, Path]]:
    """Finds IDX files by their names; folders that are named like one are looked into.

    *Returns* the files by prefix, and by published name.
    """
    found: dict[str, dict[str, Path]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.suffix == ".gz", entry.name)):  # a plain file before a packed
        match = match_idx_name(entry.name)
        if match is None:
            continue
        file = entry
        with explain_read_errors(entry):
            inside = sorted(path for path in entry.iterdir() if path.is_file()) if entry.is_dir() else None
        if inside is not None:
            named = [path for path in inside if match_idx_name(path.name) == match]
            if not (named or len(inside) == 1):
                continue
            file = (named or inside)[0]
        found.setdefault(match[0], {}).setdefault(match[1], file)
    return found


@dataclass(frozen=True, slots=True)
class IdxSource:
    """Four IDX files with training and test images and labels."""

    name: str
    files: Mapping[str, Path]

    def info(self, image: ImageSettings | None) -> DatasetInfo:  # noqa: ARG002
        """Reads the headers of the image files, and all labels."""
        shapes: list[tuple[int, int, int]] = []
        labels = []
        for part in ("train", "t10k"):
            images, label_file = self.files[f"{part}-images-idx3-ubyte"], self.files[f"{part}-labels-idx1-ubyte"]
            sizes = read_header(images, 3).sizes
            labels.append(_labels(_read(label_file, 1), label_file))
            shapes.append(_checked_axes(sizes, len(labels[-1]), shapes, images, label_file))
        classes = self._classes(*labels)
        return DatasetInfo(shapes[0], classes.count, classes.names)

    def read(self, image: ImageSettings | None) -> Content:  # noqa: ARG002
        """Reads the four files."""
        headers = {stem: read_header(file, 3 if "images" in stem else 1) for stem, file in self.files.items()
                   if stem in STEMS}  # fmt: skip
        labels = sum(header.sizes[0] for stem, header in headers.items() if "labels" in stem)
        size = sum(header.data_length for header in headers.values())
        check_memory(size + LABEL_BYTES * labels + LOADING_BYTES, "loading the dataset", file=self.name)
        contents = {
            stem: read_unpacked(self.files[stem], header.data_length + SPARE_BYTES) for stem, header in headers.items()
        }
        return self.parse(contents)

    def parse(self, contents: Mapping[str, bytearray]) -> Content:
        """Makes the dataset of the decompressed contents of the files."""
        images: list[npt.NDArray[np.uint8]] = []
        labels = []
        for part in ("train", "t10k"):
            image_stem, label_stem = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
            array = parse_idx(contents[image_stem], 3, self.files[image_stem])
            found = parse_idx(contents[label_stem], 1, self.files[label_stem])
            labels.append(_labels(found, self.files[label_stem]))
            shapes = [(int(first.shape[1]), int(first.shape[2]), int(first.shape[3])) for first in images]
            _checked_axes(array.shape, len(found), shapes, self.files[image_stem], self.files[label_stem])
            images.append(to_images(array, self.files[image_stem]))
        classes = self._classes(*labels)
        return Content(
            train=make_split(images[0], classes.train), test=make_split(images[1], classes.test),
            class_names=classes.names, notices=classes.notices,
        )  # fmt: skip

    def _classes(self, train: Labels, test: Labels) -> Classes:
        classes = number_classes(train, test, self.name)
        names = self._class_names(classes)
        return Classes(
            train=classes.train, test=classes.test, count=classes.count, names=names or classes.names,
            notices=() if names else classes.notices,
        )  # fmt: skip

    def _class_names(self, classes: Classes) -> tuple[str, ...] | None:
        file = self.files.get(CLASS_NAMES) or self.files.get(MAPPING)
        if file is None:
            return None
        with explain_read_errors(file):
            text = file.read_bytes().decode("utf-8", "replace")
        names = _mapped(text, classes) if MAPPING in self.files else tuple(text.removesuffix("\n").split("\n"))
        if len(names) != classes.count or len(set(names)) != len(names):
            expected = f"{classes.count} different names, one a line"
            raise DrilldownError(Problem(file=file, found=f"{len(names)} names", expected=expected))
        return None if names == tuple(map(str, range(classes.count))) else names


def _mapped(text: str, classes: Classes) -> tuple[str, ...]:
    """The characters of EMNIST's file that says which character a label stands for."""
    found = {int(match["label"]): chr(int(match["character"])) for match in _MAPPING.finditer(text)}
    first = 1 if classes.names else 0
    return tuple(found.get(number, str(number)) for number in range(first, first + classes.count))


def _read(file: Path, dimensions: int) -> npt.NDArray[np.generic]:
    header = read_header(file, dimensions)
    return parse_idx(read_unpacked(file, header.data_length + SPARE_BYTES), dimensions, file)


def _labels(array: npt.NDArray[np.generic], file: Path) -> Labels:
    """The labels; of a table such as QMNIST's, which has the writer in further columns, the first column."""
    return to_labels(array[:, 0] if array.ndim == 2 else array, file)


def _checked_axes(
    sizes: tuple[int, ...], labels: int, training: list[tuple[int, int, int]], images: Path, label_file: Path
) -> tuple[int, int, int]:
    """Returns (channels, height, width); raises DrilldownError where files do not fit together.

    *Arguments*: `training`: the shape of the training images, or nothing while these are checked.
    """
    check_counts(sizes[0], labels, images, label_file)
    if 0 in sizes:
        raise DrilldownError(Problem(file=images, found=f"images of shape {sizes}", expected="at least one pixel"))
    shape = image_axes(sizes, images)
    if training:
        check_same_size(shape, training[0], images)
    return shape


def idx_files(content: Content) -> Iterator[tuple[str, bytes]]:
    """Yields the names and the bytes of the files that hold a dataset."""
    labels = label_arrays(content)
    for part, split, numbers in (("train", content.train, labels[0]), ("t10k", content.test, labels[1])):
        images = image_array(split)
        yield f"{part}-images-idx{images.ndim}-ubyte", idx_header(images) + images.tobytes()
        kind = "ubyte" if numbers.dtype == np.uint8 else "int"
        yield f"{part}-labels-idx1-{kind}", idx_header(numbers) + numbers.tobytes()
    if content.class_names is not None:
        yield CLASS_NAMES, ("\n".join(content.class_names) + "\n").encode()
