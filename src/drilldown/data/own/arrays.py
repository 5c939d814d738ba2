"""Reads a dataset from NumPy's files: one `.npz` with all arrays, or a folder of `.npz` and `.npy` files."""

from __future__ import annotations

import contextlib
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import numpy.typing as npt

from drilldown.data.dataset import DatasetInfo
from drilldown.data.idx import explain_read_errors
from drilldown.data.image_settings import ImageSettings
from drilldown.data.own.content import (
    VALIDATION_AS_TEST,
    Content,
    choose_test_images,
    left_out_notice,
    make_split,
    split_notice,
)
from drilldown.data.own.values import (
    check_counts,
    check_same_size,
    image_axes,
    number_classes,
    to_images,
    to_labels,
)
from drilldown.errors import DrilldownError, Problem
from drilldown.memory import check_memory

Part = Literal["train", "test", "val", "all"]
Kind = Literal["images", "labels"]
Role = tuple[Part, Kind]

EXPECTED = (
    "x_train, y_train, x_test, y_test as in Keras, "
    "or train_images, train_labels, test_images, test_labels as in MedMNIST"
)
LOADING_BYTES = 64_000_000
"""The memory that loading takes beside the arrays."""
_PARTS: dict[str, Part] = {
    "train": "train", "training": "train", "trn": "train", "tr": "train",
    "test": "test", "testing": "test", "t10k": "test", "te": "test",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
}  # fmt: skip
_KINDS: dict[str, Kind] = {
    "x": "images", "image": "images", "images": "images", "imgs": "images", "img": "images", "data": "images",
    "features": "images", "pixels": "images",
    "y": "labels", "label": "labels", "labels": "labels", "target": "labels", "targets": "labels", "class": "labels",
    "classes": "labels",
}  # fmt: skip


def match_role(name: str) -> Role | None:
    """Returns which array of a dataset a name stands for; None for other names.

    >>> match_role("x_train"), match_role("test_labels"), match_role("k49-val-imgs"), match_role("Xtest")
    (('train', 'images'), ('test', 'labels'), ('val', 'images'), ('test', 'images'))
    >>> match_role("images"), match_role("meta")
    (('all', 'images'), None)
    """
    words = re.split(r"[^a-z0-9]+", name.lower())
    glued = re.fullmatch(r"([xy])(train|test|val|valid)", words[0])
    if glued:
        words = [*glued.groups(), *words[1:]]
    parts = {_PARTS[word] for word in words if word in _PARTS}
    kinds = {_KINDS[word] for word in words if word in _KINDS}
    if len(kinds) != 1 or len(parts) > 1:
        return None
    return (parts.pop() if parts else "all"), kinds.pop()


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array in a file: in a `.npy`, or an entry of a `.npz`. Its methods raise DrilldownError as all readers do."""

    file: Path
    entry: str | None = None

    @property
    def place(self) -> str | None:
        """The name of the entry, for messages; None for a `.npy`."""
        return self.entry and self.entry.removesuffix(".npy")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        with explain_read_errors(self.file):
            try:
                if self.entry is None:
                    with self.file.open("rb") as stream:
                        yield stream
                else:
                    with zipfile.ZipFile(self.file) as archive, archive.open(self.entry) as stream:
                        yield stream
            except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
                raise DrilldownError(
                    Problem(file=self.file, place=self.place, found=f"damaged ({error})", expected="a NumPy array")
                ) from None

    def header(self) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
        """Shape and type, without reading the data."""
        with self._opened() as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(stream)
        if dtype.hasobject:
            raise DrilldownError(
                Problem(
                    file=self.file,
                    place=self.place,
                    found="Python objects (pickle), which can run any program",
                    expected="an array of numbers",
                    suggestion="save it again with np.savez(…) as an array of numbers",
                )
            )
        return shape, dtype

    def read(self) -> npt.NDArray[np.generic]:
        """The whole array."""
        self.header()
        with self._opened() as stream:
            array: npt.NDArray[np.generic] = np.lib.format.read_array(stream, allow_pickle=False)
        return array


@dataclass(frozen=True, slots=True)
class ArraySource:
    """Arrays of images and labels."""

    name: str
    files: Mapping[str, Path]
    arrays: Mapping[Role, StoredArray]

    def info(self, image: ImageSettings | None) -> DatasetInfo:  # noqa: ARG002
        """Reads the headers of the images, and all labels."""
        shapes = {}
        for part in self._parts():
            images, labels = self.arrays[part, "images"], self.arrays[part, "labels"]
            shape, _ = images.header()
            shapes[part] = image_axes(shape, images.file, images.place)
            check_counts(shape[0], labels.header()[0][0], images.place or images.file, _where(labels))
        first, *others = shapes.items()
        for part, shape in others:
            check_same_size(shape, first[1], _where(self.arrays[part, "images"]))
        numbers = [self._labels(part) for part in shapes]
        if len(numbers) == 1:
            chosen = choose_test_images(numbers[0])
            numbers = [numbers[0][~chosen], numbers[0][chosen]]
        train, test = numbers
        classes = number_classes(train, test, self.name)
        return DatasetInfo(first[1], classes.count, classes.names)

    def read(self, image: ImageSettings | None) -> Content:
        """Reads all arrays."""
        self.info(image)  # before pixels are read, everything that can be refused is
        parts = self._parts()
        size = 0
        for part in parts:
            shape, dtype = self.arrays[part, "images"].header()
            size += int(np.prod(shape, dtype=np.float64)) * (dtype.itemsize + 1 + (dtype.kind == "f") * dtype.itemsize)
        check_memory(size + LOADING_BYTES, "loading the dataset", file=self.name)
        images = {part: self._images(part) for part in parts}
        labels = {part: self._labels(part) for part in parts}
        notices: tuple[str, ...] = ()
        if len(parts) == 1:
            ((whole,), (numbers,)) = images.values(), labels.values()
            chosen = choose_test_images(numbers)
            images = {"train": whole[~chosen], "test": whole[chosen]}
            labels = {"train": numbers[~chosen], "test": numbers[chosen]}
            notices = (split_notice(len(labels["train"]), len(labels["test"])),)
        elif parts[1] == "val":
            notices = (VALIDATION_AS_TEST,)
        elif ("val", "images") in self.arrays:
            notices = (left_out_notice(self.arrays["val", "images"].header()[0][0]),)
        train, test = labels
        classes = number_classes(labels[train], labels[test], self.name)
        return Content(
            train=make_split(images[train], classes.train), test=make_split(images[test], classes.test),
            class_names=classes.names, notices=notices + classes.notices,
        )  # fmt: skip

    def _parts(self) -> list[Part]:
        """The parts that become training and test images; `all` if the files do not separate them."""
        parts: tuple[Part, ...] = ("train", "test", "val", "all")
        complete = [part for part in parts if {(part, "images"), (part, "labels")} <= self.arrays.keys()]
        if len(complete) >= 2 and complete[0] == "train" and complete[1] != "all":
            return complete[:2]
        if len(complete) == 1 and complete[0] in ("train", "all"):  # without test images
            return complete
        present = ", ".join(array.place or array.file.name for array in self.arrays.values())
        raise DrilldownError(Problem(file=self.name, found=f"the arrays {present}", expected=EXPECTED))

    def _images(self, part: Part) -> npt.NDArray[np.uint8]:
        array = self.arrays[part, "images"]
        return to_images(array.read(), array.file, array.place)

    def _labels(self, part: Part) -> npt.NDArray[np.int64]:
        array = self.arrays[part, "labels"]
        return to_labels(array.read(), array.file, array.place)


def _where(array: StoredArray) -> Path | str:
    return f"{array.file}: {array.place}" if array.place else array.file


def read_npz(name: str, file: Path) -> ArraySource:
    """Finds the arrays in a `.npz` file.

    *Raises* DrilldownError where the file is damaged, or the names of its arrays are unknown.
    """
    with explain_read_errors(file):
        try:
            with zipfile.ZipFile(file) as archive:
                entries = [entry for entry in archive.namelist() if entry.endswith(".npy")]
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise DrilldownError(
                Problem(file=file, found=f"damaged ({error})", expected="a file that np.savez wrote",
                        suggestion="fetch or copy the file again")
            ) from None  # fmt: skip
    arrays = {role: StoredArray(file, entry) for entry in entries if (role := match_role(entry.removesuffix(".npy")))}
    if not arrays and {"arr_0.npy", "arr_1.npy"} == set(entries):  # np.savez(file, images, labels)
        arrays = {("all", "images"): StoredArray(file, "arr_0.npy"), ("all", "labels"): StoredArray(file, "arr_1.npy")}
    if not arrays:
        names = ", ".join(entry.removesuffix(".npy") for entry in entries[:8]) or "nothing"
        raise DrilldownError(Problem(file=file, found=f"contains {names}", expected=EXPECTED))
    source = ArraySource(name, {file.name: file}, arrays)
    source._parts()
    return source


def find_arrays(name: str, files: Iterable[Path]) -> ArraySource | None:
    """Finds a dataset whose arrays are in files of their own, such as `x_train.npy`, or `k49-train-imgs.npz`."""
    arrays: dict[Role, StoredArray] = {}
    for file in files:
        role = match_role(file.stem)
        if role is not None:
            arrays[role] = StoredArray(file, "arr_0.npy" if file.suffix.lower() == ".npz" else None)
    if not arrays:
        return None
    source = ArraySource(name, {array.file.name: array.file for array in arrays.values()}, arrays)
    source._parts()
    return source
