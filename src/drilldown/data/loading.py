"""Finds a dataset on disk or fetches it, verifies it and reads it into memory."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from drilldown.data.catalogue import (
    CATALOGUE,
    GLYPHS,
    QMNIST,
    STEMS,
    TEST_WRITERS,
    WRITERS,
    PublishedFile,
    check_dataset_name,
    is_dataset_folder,
)
from drilldown.data.conventions import Orientation
from drilldown.data.dataset import Dataset, DatasetInfo, Split
from drilldown.data.download import OnDownload
from drilldown.data.finding import dataset_folders, fetch_files, find_files
from drilldown.data.idx import explain_read_errors, parse_idx, read_header, read_unpacked
from drilldown.data.qmnist import parse_labels, parse_splits
from drilldown.data.travel import placed_folder
from drilldown.data.writers import Writers
from drilldown.errors import DrilldownError, Problem, quoted
from drilldown.memory import check_memory

LOADING_BYTES = 64_000_000
"""The memory that loading takes beside images and labels: chunks of a file, and pixels that are counted at once."""
LABEL_BYTES = 8
"""The memory of one label, beside its byte in the file."""
SPARE_BYTES = 65_536
"""The bytes beyond the promised size that are read of a file that is too long, to say how long it is."""
COUNTED_AT_ONCE = 2**22
"""The number of pixels that are converted at once to count them."""
KEPT_LABELS = 4
"""The number of files with writers that are kept in memory."""
KEPT_DATASETS = 2
"""The number of datasets kept in memory, so that training, evaluation and report read the pixels only once."""


def load_dataset(
    name: str,
    folder: Path | str | None = None,
    *,
    orientation: Orientation | None = None,
    on_download: OnDownload | None = None,
) -> Dataset:
    """Loads a dataset by name (see NAMES), or from a folder of IDX files.

    A dataset is only read again if the path, the time of change or the size of a file changed.

    *Arguments*: `folder`: the first folder to search (`--data`); then `$DRILLDOWN_DATA`, then the user's cache.
    `orientation`: how the images lie in the files; transposed ones are turned upright. `on_download`: called while
    files are fetched.

    *Raises* DrilldownError where files are missing and cannot be fetched, where a folder or file cannot be read, or
    where the content is wrong.

    >>> data = load_dataset("glyphs")
    >>> data.image_shape, data.classes, len(data.train)
    ((1, 28, 28), 10, 6000)
    """
    if name == GLYPHS:
        return _glyphs()
    if is_dataset_folder(name):
        stamps = _stamped(_dataset_files(placed_folder(name)))
        return _read_dataset(name, stamps, known=None, transposed=orientation == "transposed")
    known = CATALOGUE[check_dataset_name(name)]
    folders = dataset_folders(name, folder)
    files = find_files(folders, tuple(known)) or fetch_files(
        name, known, folders, on_download, title=name,
        instead="use the dataset that needs no files: --set recipe.dataset=glyphs",
    )  # fmt: skip
    return _read_dataset(name, _stamped(files), known=name, transposed=False)


def is_on_disk(name: str, folder: Path | str | None = None) -> bool:
    """Whether this machine has a dataset, so that loading it fetches nothing.

    *Arguments*: those of `load_dataset`.
    """
    if name == GLYPHS:
        return True
    if is_dataset_folder(name):
        return find_files([placed_folder(name)], STEMS) is not None
    return find_files(dataset_folders(name, folder), tuple(CATALOGUE[name])) is not None


def with_writers(
    dataset: Dataset, folder: Path | str | None = None, *, on_download: OnDownload | None = None
) -> Dataset:
    """Returns the dataset with the writers of its training images, from a file that is found or fetched, and verified.

    *Arguments*: those of `load_dataset`.

    *Raises* DrilldownError where the writers are unknown, or their file is missing and cannot be fetched, cannot be
    read, or has a wrong content.
    """
    known = WRITERS.get(dataset.identity)
    if known is None:
        found = f'the writers of "{dataset.name}" are unknown'
        raise DrilldownError(Problem(found=found, expected=f"one of the datasets {quoted(WRITERS)}"))
    folders = dataset_folders(QMNIST, folder)
    files = find_files(folders, [known.stem]) or fetch_files(
        QMNIST, {known.stem: known}, folders, on_download,
        title=f"{QMNIST}, the file with the writers of {dataset.name},",
        instead="hold out images at random: --set recipe.holdout=10_000",
    )  # fmt: skip
    (stamp,) = _stamped(files)
    train = _match_writers(dataset.train, _read_writers(known, stamp))
    if train is None:
        raise DrilldownError(
            Problem(
                file=stamp.path,
                found="other classes than the training images have",
                expected=f"the writers of {dataset.name}",
            )
        )
    return replace(dataset, train=train)


def with_local_writers(dataset: Dataset, folder: Path | str | None = None) -> Dataset:
    """Returns the dataset with the writers of its images, as far as this machine has the files that name them.

    It is for remarks and intervals, which must not stop a training: nothing is fetched, and nothing is raised.

    *Arguments*: `folder`: the first folder to search.
    """
    train = _match_writers(dataset.train, _local_labels(WRITERS, dataset.identity, folder))
    test = _match_writers(dataset.test, local_test_labels(dataset.identity, folder))
    return replace(dataset, train=train or dataset.train, test=test or dataset.test) if train or test else dataset


def local_test_labels(name: str, folder: Path | str | None = None) -> tuple[torch.Tensor, Writers] | None:
    """Returns the classes and writers of a dataset's test images without reading the images.

    *Arguments*: `name`: the dataset's name. `folder`: the first folder to search.

    *Returns* None where the writers are unknown, or their file is not on this machine or is damaged.
    """
    return _local_labels(TEST_WRITERS, name, folder)


def dataset_info(name: str, orientation: Orientation | None = None) -> DatasetInfo:
    """Returns the shape of the images and the number of classes, without reading pixels or fetching files.

    *Arguments*: `orientation`: how the images lie in the files.

    *Raises* DrilldownError where the name is unknown, or where the headers or labels in the folder are wrong.

    >>> dataset_info("mnist")
    DatasetInfo(image_shape=(1, 28, 28), classes=10)
    """
    if is_dataset_folder(name):
        info = _read_info(name, _stamped(_dataset_files(placed_folder(name))))
        channels, height, width = info.image_shape
        return replace(info, image_shape=(channels, width, height)) if orientation == "transposed" else info
    check_dataset_name(name)
    return DatasetInfo((1, 28, 28), 10)


@dataclass(frozen=True, slots=True)
class _Stamp:
    """A file with its time of change and its size; if one of them is different, the file must be read again."""

    stem: str
    path: Path
    modified_ns: int
    size: int


def _stamped(files: Mapping[str, Path]) -> tuple[_Stamp, ...]:
    stamps = []
    for stem, file in files.items():
        with explain_read_errors(file):
            status = file.stat()
        stamps.append(_Stamp(stem, file, status.st_mtime_ns, status.st_size))
    return tuple(stamps)


@functools.lru_cache(maxsize=1)
def _glyphs() -> Dataset:
    from drilldown.data.glyphs import draw_glyphs  # imports matplotlib, which takes a second

    return _dataset(GLYPHS, *(Split(*split) for split in draw_glyphs()), identity=GLYPHS)


@functools.lru_cache(maxsize=KEPT_DATASETS)
def _read_dataset(name: str, stamps: tuple[_Stamp, ...], *, known: str | None, transposed: bool) -> Dataset:
    """Reads four files; those of a known dataset must have their published checksums.

    *Arguments*: `transposed`: whether the images of the files are turned upright.
    """
    paths = {stamp.stem: stamp.path for stamp in stamps}
    if known:
        sizes = {stem: file.size for stem, file in CATALOGUE[known].items()}
    else:
        sizes = {stem: math.prod(read_header(path, 3 if "images" in stem else 1)) for stem, path in paths.items()}
    labels = sum(size for stem, size in sizes.items() if "labels" in stem)
    check_memory(sum(sizes.values()) + LABEL_BYTES * labels + LOADING_BYTES, "loading the dataset", file=name)
    if known:
        contents = {stem: CATALOGUE[known][stem].read(path) for stem, path in paths.items()}
    else:
        contents = {stem: read_unpacked(path, sizes[stem] + SPARE_BYTES) for stem, path in paths.items()}
    if known == QMNIST:
        train, test = parse_splits(contents)
    else:
        train, test = _splits(contents, {stem: str(path) for stem, path in paths.items()})
    if transposed:
        train, test = train.transposed(), test.transposed()
    if known:
        return _dataset(name, train, test, identity=known)
    digest = hashlib.sha256(b"".join(hashlib.sha256(contents[stem]).digest() for stem in STEMS))
    return _dataset(name, train, test, identity=f"sha256:{digest.hexdigest()}")


def _local_labels(
    catalogue: Mapping[str, PublishedFile], name: str, folder: Path | str | None
) -> tuple[torch.Tensor, Writers] | None:
    """Returns the classes and writers of the catalogue's file for a dataset; None where there is no right file."""
    known = catalogue.get(name)
    if known is not None:
        with contextlib.suppress(DrilldownError):
            files = find_files(dataset_folders(QMNIST, folder), [known.stem])
            return _read_writers(known, *_stamped(files)) if files else None
    return None


def _match_writers(split: Split, known: tuple[torch.Tensor, Writers] | None) -> Split | None:
    """Adds the writers to images, which are the first that the labels describe; None where the classes differ."""
    if known is None or not torch.equal(known[0][: len(split)], split.labels):
        return None
    return replace(split, writers=known[1].take(torch.arange(len(split))))


@functools.lru_cache(maxsize=KEPT_LABELS)
def _read_writers(known: PublishedFile, stamp: _Stamp) -> tuple[torch.Tensor, Writers]:
    """Reads classes and writers from a file with the extended labels of QMNIST."""
    return parse_labels(known.read(stamp.path))


@functools.lru_cache(maxsize=64)
def _read_info(name: str, stamps: tuple[_Stamp, ...]) -> DatasetInfo:
    """Reads the headers of the image files, and all labels."""
    files = {stamp.stem: stamp.path for stamp in stamps}
    labels = []
    shape: tuple[int, ...] | None = None
    for part in ("train", "t10k"):
        image_file, label_file = files[f"{part}-images-idx3-ubyte"], files[f"{part}-labels-idx1-ubyte"]
        sizes = read_header(image_file, 3)
        count = math.prod(read_header(label_file, 1))
        labels.append(parse_idx(read_unpacked(label_file, count + SPARE_BYTES), 1, label_file))
        _check_shapes(sizes, len(labels[-1]), shape, str(image_file), str(label_file))
        shape = sizes[1:]
    assert shape is not None
    height, width = shape
    return DatasetInfo((1, height, width), _count_classes(name, *labels))


def _dataset_files(folder: Path) -> dict[str, Path]:
    """Returns the four IDX files of a folder; raises DrilldownError where one is missing."""
    files = find_files([folder], STEMS)
    if files is not None:
        return files
    if os.path.isdir(folder):
        with explain_read_errors(folder):
            present = sorted(path.name for path in folder.iterdir())[:5]
        found = f"contains {', '.join(present) or 'nothing'}"
    else:
        found = "not a folder" if os.path.exists(folder) else "no such folder"
    raise DrilldownError(Problem(file=folder, found=found, expected=f"IDX files {', '.join(STEMS)}, plain or .gz"))


def _splits(contents: dict[str, bytearray], files: dict[str, str]) -> Iterator[Split]:
    """Yields the training split, then the test split; raises DrilldownError where they do not fit together."""
    shape: tuple[int, ...] | None = None
    for part in ("train", "t10k"):
        image_stem, label_stem = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
        images = parse_idx(contents[image_stem], 3, files[image_stem])
        labels = parse_idx(contents[label_stem], 1, files[label_stem])
        _check_shapes(images.shape, len(labels), shape, files[image_stem], files[label_stem])
        shape = images.shape[1:]
        yield Split(torch.from_numpy(images), torch.from_numpy(labels.astype("int64")))


def _check_shapes(
    sizes: tuple[int, ...], labels: int, shape: tuple[int, ...] | None, image_file: str, label_file: str
) -> None:
    """Raises DrilldownError where an image file does not fit its label file, or its images have a wrong size.

    *Arguments*: `sizes`: (N, height, width) of the image file. `labels`: the number of labels. `shape`: the (height,
    width) of the training images; None while they are checked.
    """
    if sizes[0] != labels:
        raise DrilldownError(
            Problem(
                file=label_file,
                found=f"{labels:,} labels",
                expected=f"one label for each of the {sizes[0]:,} images in {Path(image_file).name}",
            )
        )
    if 0 in sizes:
        raise DrilldownError(Problem(file=image_file, found=f"images of shape {sizes}", expected="at least one pixel"))
    if shape and sizes[1:] != shape:
        raise DrilldownError(
            Problem(
                file=image_file,
                found=f"images of {sizes[1]}x{sizes[2]}",
                expected=f"{shape[0]}x{shape[1]}, the size of the training images",
            )
        )


def _count_classes(name: str, train: npt.NDArray[np.uint8], test: npt.NDArray[np.uint8]) -> int:
    """Counts the classes; raises DrilldownError where a class has no training image, or a test label is too large."""
    classes = int(train.max()) + 1
    if classes < 2:
        raise DrilldownError(Problem(file=name, found="only one class", expected="labels of at least two classes"))
    present = np.bincount(train, minlength=classes)
    if not present.all():
        gap = int((present == 0).argmax())
        position = int((train > gap).argmax())
        raise DrilldownError(
            Problem(
                file=name,
                place=f"training label {position}",
                found=f"class {int(train[position])}, but there is no image of class {gap}",
                expected="classes 0, 1, 2, … without a gap",
            )
        )
    if int(test.max()) >= classes:
        position = int((test >= classes).argmax())
        raise DrilldownError(
            Problem(
                file=name,
                place=f"test label {position}",
                found=f"class {int(test[position])}",
                expected=f"0 to {classes - 1}, the classes of the training labels",
            )
        )
    return classes


def _dataset(name: str, train: Split, test: Split, *, identity: str) -> Dataset:
    """Makes a dataset with its statistics; raises DrilldownError where its labels or pixels allow no training."""
    classes = _count_classes(name, train.labels.numpy(), test.labels.numpy())
    means, stds = zip(*(_statistics(train.images[:, channel]) for channel in range(train.images.shape[1])), strict=True)
    if max(stds) == 0:
        raise DrilldownError(
            Problem(file=name, found="training images of a single colour", expected="images that differ")
        )
    rounded = tuple(round(mean, 4) for mean in means), tuple(max(round(std, 4), 1e-4) for std in stds)
    return Dataset(name, train, test, classes, *rounded, identity)


def _statistics(pixels: torch.Tensor) -> tuple[float, float]:
    """The mean and the standard deviation of bytes, scaled to 0…1."""
    # Counting pixel values is exact, and much faster than converting 47 million pixels to floating point.
    totals = torch.zeros(256, dtype=torch.int64)
    images = max(1, COUNTED_AT_ONCE // pixels[0].numel())
    for part in torch.split(pixels, images):
        totals += torch.bincount(part.flatten().to(torch.int32), minlength=256)
    counts = totals.double()
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = float((counts * values).sum() / counts.sum())
    return mean, float(((counts * (values - mean) ** 2).sum() / counts.sum()).sqrt())
