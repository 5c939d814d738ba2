"""Datasets: found on disk or fetched, verified, and held in memory as bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs
import torch

from drilldown import download, idx
from drilldown.download import CATALOGUE, STEMS, File
from drilldown.errors import DrilldownError, Problem, did_you_mean, quoted
from drilldown.randomness import stream

GLYPHS = "glyphs"
NAMES = (*CATALOGUE, GLYPHS)
"""The datasets that have a name; any other is a folder of IDX files."""


@dataclass(frozen=True, slots=True)
class Split:
    """Images and their classes."""

    images: torch.Tensor
    """(N, height, width), uint8, 0 background to 255 ink."""
    labels: torch.Tensor
    """(N), int64, 0 … classes − 1."""

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        height, width = self.images.shape[1:]
        return f"<Split: {len(self):,} images of {height}x{width}>"

    def to(self, device: torch.device) -> Split:
        """The same on another device."""
        return Split(self.images.to(device), self.labels.to(device))

    def take(self, indices: torch.Tensor) -> Split:
        """Some of it, in the order given."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True, slots=True)
class Dataset:
    """A training and a test split, with what is needed to normalise them."""

    name: str
    train: Split
    test: Split
    classes: int
    mean: float
    """Of the training pixels, scaled to 0…1, to four places as such figures are published."""
    std: float
    """Their standard deviation, likewise."""
    identity: str
    """What a run's fingerprint says of the data: the name where its content is verified, else a digest."""

    def __repr__(self) -> str:
        _, height, width = self.image_shape
        images = f"{len(self.train):,} training and {len(self.test):,} test images of {height}x{width}"
        return f"<Dataset {self.name}: {images}, {self.classes} classes>"

    def __str__(self) -> str:
        from drilldown import display

        return display.text(display.print_dataset, self)

    def _repr_html_(self) -> str:
        from drilldown import notebook

        return notebook.dataset(self)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the images as a network takes them."""
        return 1, int(self.train.images.shape[1]), int(self.train.images.shape[2])

    def hold_out(self, size: int, seed: int) -> tuple[Dataset, Split]:
        """Takes a validation split of `size` images away from the training images.

        It is stratified: each class gives its share, to within one image. Which images go depends on `seed` alone.

        *Raises* DrilldownError where that would leave nothing to train on.
        """
        count = len(self.train)
        if size >= count:
            raise DrilldownError(
                Problem(
                    place="recipe.holdout",
                    found=f"{size:,} of {count:,} training images held out",
                    expected="fewer than there are",
                )
            )
        shuffled = torch.randperm(count, generator=stream(seed, "holdout"))
        by_class = shuffled[torch.argsort(self.train.labels[shuffled], stable=True)]
        # Every k-th image of a list sorted by class takes from each class in proportion.
        chosen = by_class[(torch.arange(size) * count) // size]
        keep = torch.ones(count, dtype=torch.bool)
        keep[chosen] = False
        rest = torch.nonzero(keep).flatten()
        return replace(self, train=self.train.take(rest)), self.train.take(chosen.sort().values)


def load(name: str, folder: Path | str | None = None, *, progress: download.Progress | None = None) -> Dataset:
    """A dataset by name (see NAMES), or the folder of IDX files at a path.

    *Arguments*: `folder`: where to look first (`--data`); then come `$DRILLDOWN_DATA` and the user's cache.
    `progress`: called while files are fetched.

    *Raises* DrilldownError where files are missing and cannot be fetched, or are not what they should be.

    >>> data = load("glyphs")
    >>> data.image_shape, data.classes, len(data.train)
    ((1, 28, 28), 10, 6000)
    """
    if name == GLYPHS:
        from drilldown import glyphs  # brings matplotlib with it, for the fonts

        return _dataset(name, *(Split(*split) for split in glyphs.draw()), identity=GLYPHS)
    if is_folder(name):
        files = _files_in(Path(name))
        if files is None:
            raise DrilldownError(_nothing_in(Path(name)))
        contents = {stem: idx.read_bytes(file) for stem, file in files.items()}
        digest = hashlib.sha256(b"".join(hashlib.sha256(contents[stem]).digest() for stem in STEMS))
        train, test = _splits(contents, {stem: str(file) for stem, file in files.items()})
        return _dataset(name, train, test, identity=f"sha256:{digest.hexdigest()}")
    known = CATALOGUE[check_name(name)]
    places = _places(name, folder)
    for place in places:
        files = _files_in(place)
        if files:
            break
    else:
        files = _fetch(name, known, cache() / name, places, progress)
    contents = {}
    for stem, file in files.items():
        contents[stem] = idx.read_bytes(file)
        found = known[stem].mismatch(file, contents[stem])
        if found:
            raise DrilldownError(
                Problem(
                    file=file,
                    found=found,
                    expected=f"the published {name}",
                    suggestion="delete the file to have it fetched anew, or give the folder's path as the dataset",
                )
            )
    train, test = _splits(contents, {stem: str(file) for stem, file in files.items()})
    return _dataset(name, train, test, identity=name)


def is_folder(name: str) -> bool:
    """Whether a dataset is given as a path: it holds a slash, or is `.` or `..`.

    >>> is_folder("./letters"), is_folder("mnist")
    (True, False)
    """
    return "/" in name or os.sep in name or name in (".", "..")


def check_name(name: str) -> str:
    """The name of a dataset that exists; raises DrilldownError with a suggestion for any other."""
    if name in NAMES:
        return name
    raise DrilldownError(
        Problem(
            found=f'unknown dataset "{name}"',
            expected=f"one of {quoted(NAMES)}, or a folder of IDX files such as ./{name}",
            suggestion=did_you_mean(name, NAMES),
        )
    )


def shape_of(name: str) -> tuple[tuple[int, int, int], int]:
    """Image shape (channels, height, width) and number of classes, without fetching anything.

    *Raises* DrilldownError where the name is not known or the folder does not hold a dataset.
    """
    if is_folder(name):
        dataset = load(name)
        return dataset.image_shape, dataset.classes
    check_name(name)
    return (1, 28, 28), 10


def cache() -> Path:
    """The folder that fetched datasets are kept in."""
    return Path(platformdirs.user_cache_dir("drilldown", appauthor=False))


def _places(name: str, folder: Path | str | None) -> list[Path]:
    """The folders that may hold the dataset, the likeliest first."""
    roots: list[Path] = [] if folder is None else [Path(folder)]
    if os.environ.get("DRILLDOWN_DATA"):
        roots.append(Path(os.environ["DRILLDOWN_DATA"]))
    roots.append(cache())
    published = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}[name]
    # A flat folder does not say which dataset it holds: the checksums do, so only MNIST may lie there unnamed.
    layouts = (name, f"{published}/raw", *(["."] if name == "mnist" else []))
    return [root / layout for root in roots for layout in layouts]


def _files_in(folder: Path) -> dict[str, Path] | None:
    """The four IDX files of a folder, or None where any is missing."""
    found: dict[str, Path] = {}
    for stem in STEMS:
        # Some mirrors unpack with a dot in place of the dash before idx.
        names = (stem, stem.replace("-idx", ".idx"), f"{stem}.gz")
        file = next((folder / name for name in names if os.path.isfile(folder / name)), None)
        if file is None:
            return None
        found[stem] = file
    return found


def _nothing_in(folder: Path) -> Problem:
    present = sorted(path.name for path in folder.iterdir())[:5] if os.path.isdir(folder) else None
    found = "no such folder" if present is None else f"holds {', '.join(present) or 'nothing'}"
    return Problem(file=folder, found=found, expected=f"IDX files {', '.join(STEMS)}, plain or .gz")


def _fetch(
    name: str,
    known: dict[str, File],
    target: Path,
    places: list[Path],
    progress: download.Progress | None,
) -> dict[str, Path]:
    try:
        return {stem: download.fetch(file, target, progress=progress) for stem, file in known.items()}
    except download.Unreachable as error:
        looked = "\n".join(f"    {place}" for place in places)
        raise DrilldownError(
            f"{name} is not on this machine and could not be fetched.\n"
            f"  Looked in\n{looked}\n"
            f"  Tried\n" + "\n".join(f"    {line}" for line in error.attempts) + "\n"
            f"  What helps: connect to the network and repeat the command; or copy {', '.join(STEMS)} (plain or .gz)\n"
            f"  into a folder and name it with --data or DRILLDOWN_DATA;\n"
            f"  or try things with no data at all: --set recipe.dataset=glyphs"
        ) from None


def _splits(contents: dict[str, bytes], files: dict[str, str]) -> Iterator[Split]:
    """The training split, then the test split, checked against each other."""
    shape: tuple[int, ...] | None = None
    for part in ("train", "t10k"):
        image_stem, label_stem = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
        images = idx.parse(contents[image_stem], 3, files[image_stem])
        labels = idx.parse(contents[label_stem], 1, files[label_stem])
        if len(images) != len(labels):
            raise DrilldownError(
                Problem(
                    file=files[label_stem],
                    found=f"{len(labels):,} labels",
                    expected=f"as many as there are images ({len(images):,} in {Path(files[image_stem]).name})",
                )
            )
        if not images.size:
            raise DrilldownError(
                Problem(file=files[image_stem], found=f"images of shape {images.shape}", expected="some pixels")
            )
        if shape and images.shape[1:] != shape:
            raise DrilldownError(
                Problem(
                    file=files[image_stem],
                    found=f"images of {images.shape[1]}x{images.shape[2]}",
                    expected=f"{shape[0]}x{shape[1]}, the size of the training images",
                )
            )
        shape = images.shape[1:]
        # A copy: PyTorch wants memory that it may write to.
        yield Split(torch.from_numpy(images.copy()), torch.from_numpy(labels.astype("int64")))


def _dataset(name: str, train: Split, test: Split, *, identity: str) -> Dataset:
    classes = int(train.labels.max()) + 1
    if classes < 2:
        raise DrilldownError(Problem(file=name, found="a single class", expected="labels of two classes or more"))
    present = torch.bincount(train.labels, minlength=classes)
    if not present.all():
        gap = int((present == 0).nonzero()[0])
        position = int((train.labels > gap).nonzero()[0])
        raise DrilldownError(
            Problem(
                file=name,
                place=f"training label {position}",
                found=f"class {int(train.labels[position])}, while no image is of class {gap}",
                expected="classes 0, 1, 2, … without a gap",
            )
        )
    if int(test.labels.max()) >= classes:
        position = int((test.labels >= classes).nonzero()[0])
        raise DrilldownError(
            Problem(
                file=name,
                place=f"test label {position}",
                found=f"class {int(test.labels[position])}",
                expected=f"0 to {classes - 1}, the classes of the training labels",
            )
        )
    # Exact, and many times faster than converting 47 million pixels to floating point.
    counts = torch.bincount(train.images.flatten().to(torch.int32), minlength=256).double()
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = float((counts * values).sum() / counts.sum())
    std = float(((counts * (values - mean) ** 2).sum() / counts.sum()).sqrt())
    if std == 0:
        raise DrilldownError(Problem(file=name, found="training images that are all of one colour"))
    return Dataset(name, train, test, classes, round(mean, 4), max(round(std, 4), 1e-4), identity)
