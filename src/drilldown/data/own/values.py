"""Pixels and labels as files have them: other types, other axes, other numbers for the first class."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drilldown.data.own.content import Labels
from drilldown.errors import DrilldownError, Problem

Array = npt.NDArray[np.generic]

MOST_CHANNELS = 4


def to_pixels(array: Array, file: Path | str, place: str | None = None) -> npt.NDArray[np.uint8]:
    """Returns pixels as bytes: integers from 0 to 255 as they are, fractions from 0 to 1 times 255.

    *Raises* DrilldownError for other values.

    >>> to_pixels(np.array([0.0, 1.0]), "a.npz").tolist(), to_pixels(np.array([7, 255]), "a.npz").tolist()
    ([0, 255], [7, 255])
    """
    if array.dtype == np.uint8:
        return np.asarray(array, np.uint8)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise _refused(file, place, f"pixels of the type {array.dtype}", "numbers")
    if not array.size:
        return array.astype(np.uint8)
    low, high = float(array.min()), float(array.max())
    if not 0 <= low <= high <= 255:  # also where they are not finite
        raise _refused(file, place, f"pixels from {low:g} to {high:g}", "0 to 255, or fractions from 0 to 1")
    if array.dtype.kind == "f":
        if high <= 1:
            array = np.rint(array.astype(np.float32 if array.dtype.itemsize <= 4 else np.float64) * 255)
        elif np.any(np.rint(array) != array):
            raise _refused(file, place, "pixels with fractions above 1", "whole numbers, or fractions from 0 to 1")
    return array.astype(np.uint8)


def image_axes(shape: tuple[int, ...], file: Path | str, place: str | None = None) -> tuple[int, int, int]:
    """Returns (channels, height, width) of images in an array of this shape, whose channels come first or last.

    *Raises* DrilldownError where the array cannot hold images.

    >>> image_axes((9, 28, 28), ""), image_axes((9, 32, 32, 3), ""), image_axes((9, 3, 32, 32), "")
    ((1, 28, 28), (3, 32, 32), (3, 32, 32))
    >>> image_axes((9, 784), "")
    (1, 28, 28)
    """
    if len(shape) == 2:
        return flat_axes(shape[1], file, place)
    if len(shape) == 3:
        return 1, shape[1], shape[2]
    if len(shape) == 4 and 1 <= shape[3] <= MOST_CHANNELS:
        return shape[3], shape[1], shape[2]
    if len(shape) == 4 and 1 <= shape[1] <= MOST_CHANNELS:
        return shape[1], shape[2], shape[3]
    expected = f"(N, height, width), or 1 to {MOST_CHANNELS} channels as the second or the last axis"
    raise _refused(file, place, f"images of shape {shape}", expected)


def flat_axes(count: int, file: Path | str, place: str | None = None) -> tuple[int, int, int]:
    """Returns (channels, height, width) of square images whose pixels stand in one row of a table."""
    for channels in (1, 3):
        side = math.isqrt(count // channels)
        if side and channels * side * side == count:
            return channels, side, side
    raise _refused(file, place, f"{count:,} pixels an image", "a square number, or three times one for colour")


def to_images(array: Array, file: Path | str, place: str | None = None) -> npt.NDArray[np.uint8]:
    """Returns images (N, channels, height, width); of flat colour images, the three values of a pixel are neighbours.

    *Raises* DrilldownError where the array cannot hold images.
    """
    channels, height, width = image_axes(array.shape, file, place)
    pixels = to_pixels(array, file, place)
    if array.ndim == 4 and array.shape[1:] == (channels, height, width) and not _last(array.shape):
        return pixels
    images = pixels.reshape(len(array), height, width, channels)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _last(shape: tuple[int, ...]) -> bool:
    return 1 <= shape[3] <= MOST_CHANNELS


def to_labels(array: Array, file: Path | str, place: str | None = None) -> Labels:
    """Returns whole numbers (N) from labels (N), (N, 1), or one column for each class with a single 1.

    *Raises* DrilldownError for other labels.

    >>> to_labels(np.array([[3], [1]]), "a.npz").tolist(), to_labels(np.eye(3)[[2, 0]], "a.npz").tolist()
    ([3, 1], [2, 0])
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.dtype.kind in "iufb":
        marked = array != 0
        if np.any(marked.sum(1) != 1) or np.any(array[marked] != 1):
            raise _refused(file, place, "several labels for an image", "one class for each image")
        return np.asarray(marked.argmax(1), np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iufb":
        kind = f"labels of shape {array.shape} and type {array.dtype}"
        raise _refused(file, place, kind, "one whole number for each image")
    if array.dtype.kind == "f" and not np.array_equal(np.rint(array), array):
        raise _refused(file, place, "labels that are no whole numbers", "one class for each image")
    numbers = array.astype(np.int64)
    if numbers.size and numbers.min() < 0:
        position = int((numbers < 0).argmax())
        raise _refused(file, f"label {position}", f"class {numbers[position]}", "whole numbers of at least 0")
    return numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """The labels of both splits, numbered from 0."""

    train: Labels
    test: Labels
    count: int
    names: tuple[str, ...] | None = None
    notices: tuple[str, ...] = ()


def number_classes(train: Labels, test: Labels, file: Path | str) -> Classes:
    """Counts the classes; labels that begin at 1, as those of EMNIST's letters, are shifted.

    *Raises* DrilldownError where a class has no training image, or a test label is too large.

    >>> number_classes(np.array([1, 2, 3]), np.array([2]), "letters").names
    ('1', '2', '3')
    """
    first = 1 if len(train) and train.min() == 1 and (not len(test) or test.min() >= 1) else 0
    last = int(train.max()) if len(train) else 0
    if last <= first:
        raise _refused(file, None, "only one class", "labels of at least two classes")
    if last >= 10 * len(train) + 256:  # a mistake, which would take much memory to count
        raise _refused(file, "training labels", f"class {last}", "classes 0, 1, 2, … without a gap")
    present = np.bincount(train, minlength=last + 1)[first:]
    if not present.all():
        gap = first + int((present == 0).argmax())
        position = int((train > gap).argmax())
        found = f"class {train[position]}, but there is no image of class {gap}"
        raise _refused(file, f"training label {position}", found, "classes 0, 1, 2, … without a gap")
    if len(test) and test.max() > last:
        position = int((test > last).argmax())
        expected = f"{first} to {last}, the classes of the training labels"
        raise _refused(file, f"test label {position}", f"class {test[position]}", expected)
    if not first:
        return Classes(train=train, test=test, count=last + 1)
    notice = f"the labels begin at 1: class 1 is the network's first output, class {last} its last"
    names = tuple(str(number) for number in range(1, last + 1))
    return Classes(train=train - 1, test=test - 1, count=last, names=names, notices=(notice,))


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers by their value.

    >>> sorted(["10", "9", "b2", "b10", "a"], key=natural_order)
    ['9', '10', 'a', 'b2', 'b10']
    """
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part] + [(-1, 0, name)]


def check_counts(images: int, labels: int, image_file: Path | str, label_file: Path | str) -> None:
    """Raises DrilldownError where there are more or fewer labels than images."""
    if images != labels:
        name = Path(image_file).name
        expected = f"one label for each of the {images:,} images in {name}"
        raise _refused(label_file, None, f"{labels:,} labels", expected)


def check_same_size(found: tuple[int, ...], training: tuple[int, ...], file: Path | str) -> None:
    """Raises DrilldownError where test images, (channels, height, width), are not as the training images."""

    def words(shape: tuple[int, ...]) -> str:
        channels, height, width = shape
        return f"{height}x{width}" + (f" with {channels} channels" if found[0] != training[0] else "")

    if found != training:
        expected = f"{words(training)}, the size of the training images"
        raise _refused(file, None, f"images of {words(found)}", expected)


def _refused(file: Path | str, place: str | None, found: str, expected: str) -> DrilldownError:
    return DrilldownError(Problem(file=file, place=place, found=found, expected=expected))
