"""Reads a dataset from folders of pictures, one folder for each class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drilldown.data.dataset import DatasetInfo
from drilldown.data.fit import fit_picture
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
from drilldown.data.own.idx_files import CLASS_NAMES
from drilldown.data.own.values import natural_order
from drilldown.data.pictures import ENDINGS, read_colours, shades_of
from drilldown.data.progress import reading
from drilldown.errors import DrilldownError, Problem
from drilldown.memory import check_memory

TREES = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation"),
}
"""The names of the folders with the training, test and validation images."""
MOST_PROBLEMS = 20
"""The number of broken pictures that a message names."""
LOADING_BYTES = 64_000_000
"""The memory that reading takes beside the images."""
GREY_TOLERANCE = 4
"""The colours of a grey picture may differ by this much, as they do after a lossy compression."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PictureSource:
    """Pictures by class: of training and test images, or of both together."""

    name: str
    files: Mapping[str, Path]
    """By their place below the folder: `train/cat/7.png`, or `cat/7.png`."""
    trees: tuple[str, ...]
    """The names of the folders with training and test images; empty if there are only folders of classes."""
    notices: tuple[str, ...] = ()

    def info(self, image: ImageSettings | None) -> DatasetInfo:
        """Reads all pictures, since only their pixels say whether they are grey."""
        return self.read(image).info

    def read(self, image: ImageSettings | None) -> Content:
        """Reads all pictures, and brings them to one size."""
        classes, labels, is_test = self._classes()
        images = self._images(image)
        notices = self.notices
        if is_test is None:
            is_test = choose_test_images(labels)
            notices += (split_notice(int((~is_test).sum()), int(is_test.sum())),)
        else:
            notices += (f"{int((~is_test).sum()):,} training images in {self.trees[0]}/, "
                        f"{int(is_test.sum()):,} test images in {self.trees[1]}/",)  # fmt: skip
        numbered = classes == [str(number) for number in range(len(classes))]
        return Content(
            train=make_split(images[~is_test], labels[~is_test]), test=make_split(images[is_test], labels[is_test]),
            class_names=None if numbered else tuple(classes), notices=notices,
        )  # fmt: skip

    def _classes(self) -> tuple[list[str], npt.NDArray[np.int64], npt.NDArray[np.bool_] | None]:
        """Returns the names of the classes, the class of each picture, and whether it is a test image."""
        places = [place.split("/") for place in self._pictures]
        depth = 1 if self.trees else 0
        names = [place[depth] for place in places]
        training = {name for name, place in zip(names, places, strict=True) if not depth or place[0] == self.trees[0]}
        classes = self._in_order(training)
        if len(classes) < 2:
            found, expected = f"only one class ({', '.join(classes)})", "a folder for each of two or more classes"
            raise DrilldownError(Problem(file=self.name, found=found, expected=expected))
        wrong = [name for name in classes if not name.isprintable()]
        if wrong:
            raise DrilldownError(Problem(file=self.name, found=f"a folder with the name {wrong[0]!r}",
                                         expected="names of classes that can be printed"))  # fmt: skip
        unknown = sorted(set(names) - training)
        if unknown:
            raise DrilldownError(
                Problem(
                    file=f"{self.name}/{self.trees[1]}",
                    found=f'the class "{unknown[0]}", which has no training images',
                    expected=f"the classes of {self.trees[0]}/: {', '.join(classes[:8])}",
                )
            )
        numbers = {name: number for number, name in enumerate(classes)}
        labels = np.array([numbers[name] for name in names], np.int64)
        if not depth:
            return classes, labels, None
        return classes, labels, np.array([place[0] != self.trees[0] for place in places])

    @property
    def _pictures(self) -> dict[str, Path]:
        return {place: file for place, file in self.files.items() if place != CLASS_NAMES}

    def _in_order(self, training: set[str]) -> list[str]:
        """The classes by their names, or as the file CLASS_NAMES lists them."""
        classes = sorted(training, key=natural_order)
        if CLASS_NAMES not in self.files:
            return classes
        file = self.files[CLASS_NAMES]
        with explain_read_errors(file):
            listed = file.read_bytes().decode("utf-8", "replace").splitlines()
        if sorted(listed, key=natural_order) != classes:
            expected = f"the names of the folders, one a line: {', '.join(classes[:8])}"
            raise DrilldownError(Problem(file=file, found=f"the classes {', '.join(listed[:8])}", expected=expected))
        return listed

    def _images(self, image: ImageSettings | None) -> Pixels:
        """Returns the images (N, channels, height, width): with one channel if all pictures are grey, else with three.

        *Raises* DrilldownError which names the pictures that cannot be read, or the sizes if there are several.
        """
        found: list[Pixels] = []
        problems: list[Problem] = []
        sizes: Counter[tuple[int, int]] = Counter()
        is_grey = True
        for file in reading([*self._pictures.values()], f"pictures of {Path(self.name).name}"):
            try:
                pixels = read_colours(file)
            except DrilldownError as error:
                problems += error.problems
                continue
            is_grey = is_grey and bool((pixels.max(0) - pixels.min(0)).max() <= GREY_TOLERANCE)
            height, width = 2 * (image.size,) if image else pixels.shape[1:]
            fitted = fit_picture(pixels, height, width, image.fit if image else "stretch")
            if not sizes:
                needed = len(self._pictures) * 3 * height * width
                check_memory(2 * needed + LOADING_BYTES, "reading the pictures", file=self.name,
                             suggestion="make them smaller: image = { size = 32 }")  # fmt: skip
            sizes[height, width] += 1
            if len(sizes) == 1 and not problems:  # else they are not needed
                found.append(fitted)
        if problems:
            more = len(problems) - MOST_PROBLEMS
            rest = [Problem(file=self.name, found=f"{more:,} more pictures cannot be read")] if more > 0 else []
            raise DrilldownError(*problems[:MOST_PROBLEMS], *rest)
        if len(sizes) > 1:
            raise _several_sizes(self.name, sizes)
        first = found[0]
        channels = 1 if is_grey else 3
        images = np.empty((len(found), channels, *first.shape[1:]), np.uint8)
        for number, colours in enumerate(found):
            images[number] = shades_of(colours) if is_grey else colours
        return images


def _several_sizes(name: str, sizes: Counter[tuple[int, int]]) -> DrilldownError:
    """The error of pictures that have different sizes."""
    smallest, largest = min(sizes), max(sizes)
    return DrilldownError(
        Problem(
            file=name,
            found=f"pictures of {len(sizes)} sizes, from {smallest[0]}x{smallest[1]} to {largest[0]}x{largest[1]}",
            expected="one size",
            suggestion='say it in [recipe]: image = { size = 32, fit = "pad" }',
        )
    )


def find_pictures_by_class(name: str, folder: Path) -> PictureSource | None:
    """Finds pictures in folders of classes, below `train` and `test` or directly; None where there are none.

    *Raises* DrilldownError where a folder cannot be read, or where training or test images are missing.
    """
    names = {CLASS_NAMES: folder / CLASS_NAMES} if (folder / CLASS_NAMES).is_file() else {}
    below = {entry.name.lower(): entry for entry, is_folder in _entries(folder) if is_folder}
    trees = {part: below[word] for part, words in TREES.items() for word in words if word in below}
    if "train" not in trees:
        files = {place: file for place, file in _pictures(folder) if "/" in place}
        if not files:
            return None
        return PictureSource(name, _ordered(files) | names, ())
    found = {part: {place: file for place, file in _pictures(tree) if "/" in place} for part, tree in trees.items()}
    if not any(found.values()):
        return None
    if not found["train"]:
        raise DrilldownError(
            Problem(file=trees["train"], found="no folders with pictures", expected="a folder for each class")
        )
    test = next((part for part in ("test", "val") if found.get(part)), None)
    notices = []
    if test == "val":
        notices.append(VALIDATION_AS_TEST)
    elif test and found.get("val"):
        notices.append(left_out_notice(len(found["val"])))
    if test is None:
        return PictureSource(name, _ordered(found["train"]) | names, (), tuple(notices))
    files = {
        f"{trees[part].name}/{place}": file for part in ("train", test) for place, file in _ordered(found[part]).items()
    }
    return PictureSource(name, files | names, (trees["train"].name, trees[test].name), tuple(notices))


def _ordered(files: Mapping[str, Path]) -> dict[str, Path]:
    """The pictures by the names of their files, then by their places.

    The order of a dataset that `drilldown data convert` has written, whose files are numbered, is its own again.
    """
    return dict(sorted(files.items(), key=lambda item: (natural_order(item[1].name), natural_order(item[0]))))


def _pictures(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yields the pictures in a folder and in the folders below, by their place."""
    seen: set[str] = set()
    waiting = [("", folder)]
    while waiting:
        above, current = waiting.pop()
        real = os.path.realpath(current)
        if real in seen:  # a link to a folder above
            continue
        seen.add(real)
        for entry, is_folder in _entries(current):
            place = f"{above}{entry.name}"
            if is_folder:
                waiting.append((f"{place}/", entry))
            elif entry.suffix.lower() in ENDINGS:
                yield place, entry


def _entries(folder: Path) -> list[tuple[Path, bool]]:
    """The entries of a folder, and whether they are folders; without hidden ones and those of a Mac's archives."""
    with explain_read_errors(folder), os.scandir(folder) as entries:
        return [
            (Path(entry.path), entry.is_dir()) for entry in entries if entry.name[0] != "." and entry.name != "__MACOSX"
        ]
