"""Finds a dataset on disk or fetches it, verifies it and reads it into memory."""

from __future__ import annotations

import errno
import functools
import hashlib
import math
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import platformdirs
import torch

from drilldown.data.catalogue import CATALOGUE, GLYPHS, STEMS, PublishedFile, check_dataset_name, is_dataset_folder
from drilldown.data.dataset import Dataset, DatasetInfo, Split
from drilldown.data.download import OnDownload, UnreachableError, fetch_file
from drilldown.data.idx import explain_read_errors, parse_idx, read_header, read_unpacked
from drilldown.errors import DrilldownError, Problem
from drilldown.memory import check_memory

LOADING_BYTES = 64_000_000
"""The memory that loading takes beside images and labels: chunks of a file, and pixels that are counted at once."""
LABEL_BYTES = 8
"""The memory of one label, beside its byte in the file."""
SPARE_BYTES = 65_536
"""The bytes beyond the promised size that are read of a file that is too long, to say how long it is."""
COUNTED_AT_ONCE = 2**22
"""The number of pixels that are converted at once to count them."""
KEPT_DATASETS = 2
"""The number of datasets kept in memory, so that training, evaluation and report read the pixels only once."""


def load_dataset(name: str, folder: Path | str | None = None, *, on_download: OnDownload | None = None) -> Dataset:
    """Loads a dataset by name (see NAMES), or from a folder of IDX files.

    A dataset is only read again if the path, the time of change or the size of a file changed.

    *Arguments*: `folder`: the first folder to search (`--data`); then `$DRILLDOWN_DATA`, then the user's cache.
    `on_download`: called while files are fetched.

    *Raises* DrilldownError where files are missing and cannot be fetched, where a folder or file cannot be read, or
    where the content is wrong.

    >>> data = load_dataset("glyphs")
    >>> data.image_shape, data.classes, len(data.train)
    ((1, 28, 28), 10, 6000)
    """
    if name == GLYPHS:
        return _glyphs()
    if is_dataset_folder(name):
        return _read_dataset(name, _stamped(_dataset_files(Path(name))), known=None)
    known = CATALOGUE[check_dataset_name(name)]
    candidates = _candidate_folders(name, folder)
    for candidate in candidates:
        files = _files_in(candidate)
        if files:
            break
    else:
        files = _fetch(name, known, cache_folder() / name, candidates, on_download)
    return _read_dataset(name, _stamped(files), known=name)


def dataset_info(name: str) -> DatasetInfo:
    """Returns the shape of the images and the number of classes, without reading pixels or fetching files.

    *Raises* DrilldownError where the name is unknown, or where the headers or labels in the folder are wrong.

    >>> dataset_info("mnist")
    DatasetInfo(image_shape=(1, 28, 28), classes=10)
    """
    if is_dataset_folder(name):
        return _read_info(name, _stamped(_dataset_files(Path(name))))
    check_dataset_name(name)
    return DatasetInfo((1, 28, 28), 10)


def cache_folder() -> Path:
    """Returns the folder of fetched datasets."""
    return Path(platformdirs.user_cache_dir("drilldown", appauthor=False))


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
def _read_dataset(name: str, stamps: tuple[_Stamp, ...], *, known: str | None) -> Dataset:
    """Reads four files; those of a known dataset must have their published checksums."""
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
    train, test = _splits(contents, {stem: str(path) for stem, path in paths.items()})
    if known:
        return _dataset(name, train, test, identity=known)
    digest = hashlib.sha256(b"".join(hashlib.sha256(contents[stem]).digest() for stem in STEMS))
    return _dataset(name, train, test, identity=f"sha256:{digest.hexdigest()}")


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


def _candidate_folders(name: str, folder: Path | str | None) -> list[Path]:
    """Returns the folders that may hold the dataset, in the order of the search.

    *Raises* DrilldownError where a folder that the user named is a file or cannot be read; it may be missing.
    """
    roots: list[Path] = [] if folder is None else [Path(folder)]
    if os.environ.get("DRILLDOWN_DATA"):
        roots.append(Path(os.environ["DRILLDOWN_DATA"]))
    for root in roots:
        with explain_read_errors(root):
            mode = _mode(root)
        if mode is not None and not stat.S_ISDIR(mode):
            raise DrilldownError(Problem(file=root, found="not a folder", expected="a folder that holds datasets"))
    roots.append(cache_folder())
    published = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}[name]
    # The names of the files are the same for all datasets, so the folder itself is only searched for MNIST.
    subfolders = (name, f"{published}/raw", *(["."] if name == "mnist" else []))
    return [root / subfolder for root in roots for subfolder in subfolders]


def _dataset_files(folder: Path) -> dict[str, Path]:
    """Returns the four IDX files of a folder; raises DrilldownError where one is missing."""
    files = _files_in(folder)
    if files is not None:
        return files
    if os.path.isdir(folder):
        with explain_read_errors(folder):
            present = sorted(path.name for path in folder.iterdir())[:5]
        found = f"contains {', '.join(present) or 'nothing'}"
    else:
        found = "not a folder" if os.path.exists(folder) else "no such folder"
    raise DrilldownError(Problem(file=folder, found=found, expected=f"IDX files {', '.join(STEMS)}, plain or .gz"))


def _files_in(folder: Path) -> dict[str, Path] | None:
    """Returns the four IDX files of a folder, or None where one is missing.

    *Raises* DrilldownError where the folder or a file cannot be read: the search does not go on to another folder.
    """
    files: dict[str, Path] = {}
    for stem in STEMS:
        # Some unpacked copies have a dot before idx where the published names have a dash.
        names = (stem, stem.replace("-idx", ".idx"), f"{stem}.gz")
        file = next((folder / name for name in names if _is_file(folder / name)), None)
        if file is None:
            return None
        files[stem] = file
    return files


def _is_file(path: Path) -> bool:
    """Whether there is a file; raises DrilldownError where the operating system does not tell."""
    try:
        return stat.S_ISREG(_mode(path) or 0)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # there can be no such file
            return False
        with explain_read_errors(path):
            raise


def _mode(path: Path) -> int | None:
    """Returns the type of a file or folder, as `stat` has it; None where nothing has this path."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: the path contains a null byte
        return None


def _fetch(
    name: str,
    known: dict[str, PublishedFile],
    target: Path,
    candidates: list[Path],
    on_download: OnDownload | None,
) -> dict[str, Path]:
    try:
        return {stem: fetch_file(file, target, on_download=on_download) for stem, file in known.items()}
    except UnreachableError as error:
        searched = "\n".join(f"    {folder}" for folder in candidates)
        raise DrilldownError(
            f"{name} is not on this machine and could not be fetched.\n"
            f"  Searched\n{searched}\n"
            f"  Tried\n" + "\n".join(f"    {line}" for line in error.attempts) + "\n"
            f"  To solve this: connect to the network and repeat the command;\n"
            f"  or copy {', '.join(STEMS)} (plain or .gz)\n"
            f"  into a folder and name it with --data or DRILLDOWN_DATA;\n"
            f"  or use the dataset that needs no files: --set recipe.dataset=glyphs"
        ) from None


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
    # Counting pixel values is exact, and much faster than converting 47 million pixels to floating point.
    pixels, totals = train.images.flatten(), torch.zeros(256, dtype=torch.int64)
    for start in range(0, len(pixels), COUNTED_AT_ONCE):
        totals += torch.bincount(pixels[start : start + COUNTED_AT_ONCE].to(torch.int32), minlength=256)
    counts = totals.double()
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = float((counts * values).sum() / counts.sum())
    std = float(((counts * (values - mean) ** 2).sum() / counts.sum()).sqrt())
    if std == 0:
        raise DrilldownError(
            Problem(file=name, found="training images of a single colour", expected="images that differ")
        )
    return Dataset(name, train, test, classes, round(mean, 4), max(round(std, 4), 1e-4), identity)
