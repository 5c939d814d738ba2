"""Reads a dataset from CSV tables with one image a line, as Kaggle has them: `label,pixel0,pixel1,…`."""

from __future__ import annotations

import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drilldown.data.dataset import DatasetInfo
from drilldown.data.idx import GZIP, explain_read_errors
from drilldown.data.image_settings import ImageSettings
from drilldown.data.own.content import Content, Labels, choose_test_images, make_split, split_notice
from drilldown.data.own.values import flat_axes, natural_order, to_pixels
from drilldown.errors import DrilldownError, Problem
from drilldown.memory import check_memory

LINES_AT_ONCE = 4096
"""The number of lines whose numbers are read at once."""
SEPARATORS = (",", ";", "\t")
LABEL_WORDS = frozenset({"label", "labels", "class", "target", "y", "digit", "character", "emotion"})
"""The words for the column with the classes, in the line above the table."""
MOST_CLASSES = 10_000
"""A column with more different values holds no classes."""
EXPECTED = "a line for each image: its class and its pixels, such as label,pixel0,pixel1,…"
LOADING_BYTES = 64_000_000
_NUMBER = re.compile(r"\s*[+-]?\d+(\.0*)?\s*")


@dataclass(frozen=True, slots=True)
class CsvSource:
    """A table for training and one for test, or one for both."""

    name: str
    files: Mapping[str, Path]
    """By `train` and `test`; or `all`."""

    def info(self, image: ImageSettings | None) -> DatasetInfo:
        """Reads all, since a table has no header with its size."""
        return self.read(image).info

    def read(self, image: ImageSettings | None) -> Content:  # noqa: ARG002
        """Reads the tables."""
        tables: dict[str, _Table] = {}
        notices: tuple[str, ...] = ()
        for part, file in self.files.items():
            table = _Table(file)
            if part == "test" and "train" in tables and table.columns == tables["train"].columns - 1:
                notices = (f"{file.name} has no labels, and is left out",)  # as in Kaggle's competitions
                continue
            tables[part] = table
        sizes = sum(map(_text_size, self.files.values()))
        check_memory(sizes + LOADING_BYTES, "loading the dataset", file=self.name)
        parts = [(table.file, *table.read()) for table in tables.values()]
        train_file, pixels, train_labels = parts[0]
        axes = flat_axes(pixels.shape[1], train_file)
        if len(parts) == 1:
            chosen = choose_test_images(np.unique(train_labels, return_inverse=True)[1])
            test_pixels, test_labels = pixels[chosen], train_labels[chosen]
            pixels, train_labels = pixels[~chosen], train_labels[~chosen]
            notices += (split_notice(len(train_labels), len(test_labels)),)
        else:
            test_file, test_pixels, test_labels = parts[1]
            if test_pixels.shape[1] != pixels.shape[1]:
                expected = f"{pixels.shape[1]:,}, as in {train_file.name}"
                raise _refused(test_file, None, f"{test_pixels.shape[1]:,} pixels an image", expected)
        classes, names, more = _number(train_labels, test_labels, self.name)
        channels, height, width = axes
        notices += more
        if channels == 3:
            notices += ("three pixel values in a row are read as red, green and blue of one pixel",)
        images = [
            np.ascontiguousarray(part.reshape(-1, height, width, channels).transpose(0, 3, 1, 2))
            for part in (pixels, test_pixels)
        ]
        return Content(
            train=make_split(images[0], classes[0]), test=make_split(images[1], classes[1]),
            class_names=names, notices=notices,
        )  # fmt: skip


class _Table:
    """A table of text."""

    def __init__(self, file: Path) -> None:
        self.file = file
        first = next(_lines(file), "")
        self.separator = max(SEPARATORS, key=first.count)
        fields = [field.strip().strip('"').lower() for field in first.split(self.separator)]
        self.columns = len(fields)
        if self.columns < 3:
            raise _refused(file, "line 1", f"{self.columns} columns", EXPECTED)
        pixels = fields[1:]
        # A label may be a word, so only the other columns tell whether the first line names the columns.
        self.has_names = not all(_NUMBER.fullmatch(field) for field in pixels[:-1])
        self.label_is_last = self.has_names and fields[-1] in LABEL_WORDS and fields[0] not in LABEL_WORDS

    def read(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.str_]]:
        """Returns the pixels (N, columns − 1), and the labels as they are written."""
        pixels: list[npt.NDArray[np.uint8]] = []
        labels: list[str] = []
        lines: list[str] = []
        numbers: list[int] = []
        fraction: bool | None = None
        for number, line in enumerate(_lines(self.file), start=1):
            if number == 1 and self.has_names:
                continue
            if line.strip():
                lines.append(line)
                numbers.append(number)
            if len(lines) == LINES_AT_ONCE:
                fraction = self._convert(lines, numbers, pixels, labels, fraction)
        if lines:
            self._convert(lines, numbers, pixels, labels, fraction)
        if not labels:
            raise _refused(self.file, None, "no lines with pixels", EXPECTED)
        return np.concatenate(pixels), np.array(labels)

    def _convert(
        self, lines: list[str], numbers: list[int], pixels: list[npt.NDArray[np.uint8]], labels: list[str],
        fraction: bool | None,
    ) -> bool:  # fmt: skip
        """Converts lines, and empties the lists; returns whether the pixels are fractions from 0 to 1."""
        rest = []
        for number, line in zip(numbers, lines, strict=True):
            if line.count(self.separator) != self.columns - 1:
                found = f"{line.count(self.separator) + 1:,} columns"
                raise _refused(self.file, f"line {number}", found, f"{self.columns:,}, as in line 1")
            label, row = self._parted(line)
            label = label.strip().strip('"').strip()
            if not label:
                raise _refused(self.file, f"line {number}", "no label", EXPECTED)
            labels.append(str(int(float(label))) if _NUMBER.fullmatch(label) else label)
            rest.append(row)
        try:
            array = np.loadtxt(rest, np.float32, delimiter=self.separator, comments=None, ndmin=2, quotechar='"')
        except ValueError:
            raise self._wrong_pixel(rest, numbers) from None
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 255):
            raise self._wrong_pixel(rest, numbers)
        if fraction is None:
            fraction = bool(array.max() <= 1 and np.any(np.rint(array) != array))
        if not fraction:
            whole = np.rint(array)
            if np.any(whole != array):
                raise self._wrong_pixel(rest, numbers)
            array = whole.astype(np.int16)
        pixels.append(to_pixels(array, self.file))
        lines.clear()
        numbers.clear()
        return fraction

    def _parted(self, line: str) -> tuple[str, str]:
        if self.label_is_last:
            row, label = line.rsplit(self.separator, 1)
        else:
            label, row = line.split(self.separator, 1)
        return label, row

    def _wrong_pixel(self, rows: list[str], numbers: list[int]) -> DrilldownError:
        """The error of the first pixel that is no whole number from 0 to 255."""
        for number, row in zip(numbers, rows, strict=True):
            for column, field in enumerate(row.split(self.separator), start=1 if self.label_is_last else 2):
                text = field.strip().strip('"')
                if not (_NUMBER.fullmatch(text) and 0 <= float(text) <= 255):
                    found = f'the pixel "{text[:30]}"'
                    return _refused(self.file, f"line {number}, column {column}", found, "a whole number from 0 to 255")
        return _refused(self.file, f"line {numbers[0]}", "pixels that are no numbers", "whole numbers from 0 to 255")


def _number(
    train: npt.NDArray[np.str_], test: npt.NDArray[np.str_], name: str
) -> tuple[tuple[Labels, Labels], tuple[str, ...] | None, tuple[str, ...]]:
    """Numbers the labels in their order; labels that are not 0, 1, 2, … become names."""
    words = sorted(set(train.tolist()), key=natural_order)
    if len(words) < 2:
        raise _refused(name, None, "only one class", "labels of at least two classes")
    if len(words) > min(MOST_CLASSES, len(train) / 2 + 1):
        found = f"{len(words):,} different labels in {len(train):,} lines"
        raise _refused(name, None, found, "one of a few classes in the first column of each line")
    numbers = {word: number for number, word in enumerate(words)}
    unknown = [word for word in set(test.tolist()) if word not in numbers]
    if unknown:
        position = int(np.flatnonzero(test == unknown[0])[0])
        expected = "a class that has training images"
        raise _refused(name, f"test image {position}", f'the label "{unknown[0]}"', expected)
    labels = tuple(np.array([numbers[word] for word in part.tolist()], np.int64) for part in (train, test))
    if words == [str(number) for number in range(len(words))]:
        return (labels[0], labels[1]), None, ()
    shown = ", ".join(words[:6]) + (", …" if len(words) > 6 else "")
    notice = f"the labels {shown} are the names of classes 0 to {len(words) - 1}"
    return (labels[0], labels[1]), tuple(words), (notice,)


def _text_size(file: Path) -> int:
    """The bytes of a text, plain or compressed: gzip writes their number, modulo 4 GiB, at the end of a file."""
    with explain_read_errors(file), file.open("rb") as raw:
        packed = raw.read(2) == GZIP
        size = raw.seek(0, os.SEEK_END)
        if not packed or size < 18:  # the smallest gzip file; a smaller one is damaged, and reading it says so
            return size
        raw.seek(-4, os.SEEK_END)
        return max(size, int.from_bytes(raw.read(), "little"))


def _lines(file: Path) -> Iterator[str]:
    """Yields the lines of a text, plain or compressed."""
    with explain_read_errors(file), file.open("rb") as raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        try:
            with io.TextIOWrapper(gzip.GzipFile(fileobj=raw) if packed else raw, "utf-8-sig", errors="replace") as text:
                for line in text:
                    yield line.rstrip("\r\n")
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise _refused(file, None, f"damaged gzip data ({error})", "a CSV table") from None


def _refused(file: Path | str, place: str | None, found: str, expected: str) -> DrilldownError:
    return DrilldownError(Problem(file=file, place=place, found=found, expected=expected))
