"""Finds a dataset on disk or fetches it, verifies it and reads it into memory."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from drilldown.data.catalogue import (
    CATALOGUE,
    GLYPHS,
    QMNIST,
    TEST_WRITERS,
    WRITERS,
    PublishedFile,
    check_dataset_name,
    is_dataset_path,
)
from drilldown.data.conventions import Orientation
from drilldown.data.dataset import Dataset, DatasetInfo, Split
from drilldown.data.download import OnDownload
from drilldown.data.finding import dataset_folders, fetch_files, find_files
from drilldown.data.image_settings import ImageSettings
from drilldown.data.own.cache import cached_info, is_cached, read_cached
from drilldown.data.own.content import Content, Request, Source, Stamp
from drilldown.data.own.idx_files import LABEL_BYTES, LOADING_BYTES, IdxSource
from drilldown.data.own.readers import find_source, stamps
from drilldown.data.own.sizes import fit_content
from drilldown.data.qmnist import parse_labels, parse_splits
from drilldown.data.travel import placed_folder
from drilldown.data.writers import Writers
from drilldown.errors import DrilldownError, Problem, quoted
from drilldown.memory import check_memory

EMNIST_NOTICE = (
    'EMNIST\'s files hold transposed images: to turn them upright, say in [recipe]: orientation = "transposed"'
)
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
    image: ImageSettings | None = None,
    on_download: OnDownload | None = None,
) -> Dataset:
    """Loads a dataset by name (see NAMES), or from the path of own files: IDX files, pictures by class, arrays, tables.

    A dataset is only read again if the path, the time of change or the size of a file changed.

    *Arguments*: `folder`: the first folder to search (`--data`); then `$DRILLDOWN_DATA`, then the user's cache.
    `orientation`: how the images lie in own files; transposed ones are turned upright. `image`: the size of the images,
    where own ones are scaled. `on_download`: called while files are fetched.

    *Raises* DrilldownError where files are missing and cannot be fetched, where a folder or file cannot be read, or
    where the content is wrong.

    >>> data = load_dataset("glyphs")
    >>> data.image_shape, data.classes, len(data.train)
    ((1, 28, 28), 10, 6000)
    """
    if name == GLYPHS:
        return _glyphs()
    if is_dataset_path(name):
        return _read_own(name, _request(name, image), orientation)
    known = CATALOGUE[check_dataset_name(name)]
    folders = dataset_folders(name, folder)
    files = find_files(folders, tuple(known)) or fetch_files(
        name, known, folders, on_download, title=name,
        instead="use the dataset that needs no files: --set recipe.dataset=glyphs",
    )  # fmt: skip
    return _read_known(name, _request_of(IdxSource(name, files)))


def is_on_disk(name: str, folder: Path | str | None = None) -> bool:
    """Whether this machine has a dataset, so that loading it fetches nothing.

    *Arguments*: those of `load_dataset`.
    """
    if name == GLYPHS:
        return True
    if is_dataset_path(name):
        with contextlib.suppress(DrilldownError):
            find_source(name, placed_folder(name))
            return True
        return False
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
    (stamp,) = stamps(IdxSource(dataset.name, files))
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


def dataset_info(name: str, orientation: Orientation | None = None, image: ImageSettings | None = None) -> DatasetInfo:
    """Returns the shape of the images and the classes; it fetches no files, and reads no pixels where it can.

    *Arguments*: those of `load_dataset`.

    *Raises* DrilldownError where the name is unknown, or where the headers or labels in own files are wrong.

    >>> dataset_info("mnist").image_shape, dataset_info("mnist").classes
    ((1, 28, 28), 10)
    """
    if is_dataset_path(name):
        info = _read_info(_request(name, image))
        channels, height, width = info.image_shape
        if image is not None:
            return replace(info, image_shape=(channels, image.size, image.size))
        return replace(info, image_shape=(channels, width, height)) if orientation == "transposed" else info
    check_dataset_name(name)
    return DatasetInfo((1, 28, 28), 10)


def _request(name: str, image: ImageSettings | None) -> Request:
    return _request_of(find_source(name, placed_folder(name)), image)


def _request_of(source: Source, image: ImageSettings | None = None) -> Request:
    return Request(stamps(source), image, source)


@functools.lru_cache(maxsize=1)
def _glyphs() -> Dataset:
    from drilldown.data.glyphs import draw_glyphs  # imports matplotlib, which takes a second

    train, test = (Split(*split) for split in draw_glyphs())
    return _dataset(GLYPHS, Content(train=train, test=test), identity=GLYPHS)


@functools.lru_cache(maxsize=KEPT_DATASETS)
def _read_known(name: str, request: Request) -> Dataset:
    """Reads the four files of a published dataset, which must have their published checksums."""
    source, known = request.source, CATALOGUE[name]
    sizes = [file.size for file in known.values()]
    labels = sum(file.size for stem, file in known.items() if "labels" in stem)
    check_memory(sum(sizes) + LABEL_BYTES * labels + LOADING_BYTES, "loading the dataset", file=name)
    assert isinstance(source, IdxSource)
    contents = {stem: known[stem].read(path) for stem, path in source.files.items()}
    if name == QMNIST:
        train, test = parse_splits(contents)
        return _dataset(name, Content(train=train, test=test), identity=name)
    return _dataset(name, source.parse(contents), identity=name)


@functools.lru_cache(maxsize=KEPT_DATASETS)
def _read_own(name: str, request: Request, orientation: Orientation | None) -> Dataset:
    """Reads a dataset that has no name."""
    content = read_cached(request) if is_cached(request.source) else request.source.read(request.image)
    identity = content.identity
    if orientation == "transposed":
        content = replace(content, train=content.train.transposed(), test=content.test.transposed())
    elif orientation is None and "emnist" in name.lower():
        content = replace(content, notices=(*content.notices, EMNIST_NOTICE))
    return _dataset(name, fit_content(content, request.image), identity=identity)


def _local_labels(
    catalogue: Mapping[str, PublishedFile], name: str, folder: Path | str | None
) -> tuple[torch.Tensor, Writers] | None:
    """Returns the classes and writers of the catalogue's file for a dataset; None where there is no right file."""
    known = catalogue.get(name)
    if known is not None:
        with contextlib.suppress(DrilldownError):
            files = find_files(dataset_folders(QMNIST, folder), [known.stem])
            return _read_writers(known, *stamps(IdxSource(name, files))) if files else None
    return None


def _match_writers(split: Split, known: tuple[torch.Tensor, Writers] | None) -> Split | None:
    """Adds the writers to images, which are the first that the labels describe; None where the classes differ."""
    if known is None or not torch.equal(known[0][: len(split)], split.labels):
        return None
    return replace(split, writers=known[1].take(torch.arange(len(split))))


@functools.lru_cache(maxsize=KEPT_LABELS)
def _read_writers(known: PublishedFile, stamp: Stamp) -> tuple[torch.Tensor, Writers]:
    """Reads classes and writers from a file with the extended labels of QMNIST."""
    return parse_labels(known.read(stamp.path))


@functools.lru_cache(maxsize=64)
def _read_info(request: Request) -> DatasetInfo:
    return cached_info(request) if is_cached(request.source) else request.source.info(request.image)


def _dataset(name: str, content: Content, *, identity: str) -> Dataset:
    """Makes a dataset with its statistics; raises DrilldownError where its pixels allow no training."""
    images = content.train.images
    means, stds = zip(*(_statistics(images[:, channel]) for channel in range(images.shape[1])), strict=True)
    if max(stds) == 0:
        raise DrilldownError(
            Problem(file=name, found="training images of a single colour", expected="images that differ")
        )
    rounded = tuple(round(mean, 4) for mean in means), tuple(max(round(std, 4), 1e-4) for std in stds)
    return Dataset(
        name, content.train, content.test, content.info.classes, *rounded, identity, content.class_names,
        content.notices,
    )  # fmt: skip


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
