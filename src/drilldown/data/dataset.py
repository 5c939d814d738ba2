"""Images with their labels, kept in memory as bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from drilldown.data.targets import Targets
from drilldown.data.writers import Writers, choose_writers
from drilldown.errors import DrilldownError, Problem
from drilldown.randomness import stream
from drilldown.shown import Shown

HoldoutBy = Literal["class", "writer"]
"""The way to choose validation images: a share of each class at random, or all images of some writers."""


@dataclass(frozen=True, slots=True)
class Split:
    """Images and their classes."""

    images: torch.Tensor
    """The images, (N, channels, height, width), uint8; grey images are also accepted as (N, height, width)."""
    labels: torch.Tensor
    """The classes, (N), int64, 0 … classes − 1."""
    writers: Writers | None = None
    """The writers of the images, where they are known and were loaded, see `with_writers`."""
    targets: Targets | None = None
    """The probabilities that a network learns in place of the labels, if it has a teacher; see `Dataset.taught`."""

    def __post_init__(self) -> None:
        if self.images.dim() == 3:
            object.__setattr__(self, "images", self.images[:, None])

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"<Split: {len(self):,} images of {image_size(self.images.shape[1:])}>"

    def to(self, device: torch.device) -> Split:
        """Returns a copy on another device, without the writers."""
        targets = self.targets.to(device) if self.targets else None
        return Split(self.images.to(device), self.labels.to(device), targets=targets)

    def transposed(self) -> Split:
        """Returns a copy whose images have their rows and columns exchanged."""
        return replace(self, images=self.images.transpose(-2, -1).contiguous())

    def take(self, indices: torch.Tensor) -> Split:
        """Returns the images, labels, writers and targets at these indices, (M), in their order."""
        writers = self.writers.take(indices) if self.writers else None
        targets = self.targets.take(indices) if self.targets else None
        return Split(self.images[indices], self.labels[indices], writers, targets)


def image_size(shape: Sequence[int]) -> str:
    """The size of an image in words.

    *Arguments*: `shape`: (channels, height, width).

    >>> image_size((1, 28, 28)), image_size((3, 32, 32))
    ('28x28', '32x32 with 3 channels')
    """
    channels, height, width = shape
    return f"{height}x{width}" + (f" with {channels} channels" if channels > 1 else "")


def count_repeated(train: Split, test: Split) -> int:
    """The number of test images that are also training images, pixel by pixel.

    >>> split = Split(torch.eye(3, dtype=torch.uint8).view(3, 1, 1, 3), torch.arange(3))
    >>> count_repeated(split, split.take(torch.tensor([2, 0])))
    2
    """
    seen = set(_digests(train))
    return sum(digest in seen for digest in _digests(test))


def _digests(split: Split) -> Iterator[bytes]:
    """The hash of each image: much smaller than the images, and equal only for equal ones."""
    for image in split.images.numpy():
        yield hashlib.blake2b(image.tobytes(), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """The facts about a dataset that determine the shape of a network."""

    image_shape: tuple[int, int, int]
    """The shape of an image: (channels, height, width)."""
    classes: int
    """The number of classes."""
    class_names: tuple[str, ...] | None = None
    """The names of the classes; None where they are the numbers from 0."""


def class_name(names: Sequence[str] | None, number: int) -> str:
    """The name of a class; its number where classes have no names.

    >>> class_name(("cat", "dog"), 1), class_name(None, 1)
    ('dog', '1')
    """
    return names[number] if names else str(number)


@dataclass(frozen=True, slots=True)
class Dataset(Shown):
    """A training and a test split, with the mean and the standard deviation that normalise them."""

    name: str
    """The dataset's name, or the path of its folder."""
    train: Split
    """The training images."""
    test: Split
    """The test images."""
    classes: int
    """The number of classes."""
    mean: tuple[float, ...]
    """The mean of the training pixels of each channel, scaled to 0…1 and rounded to four decimal places."""
    std: tuple[float, ...]
    """The standard deviation of the training pixels of each channel, scaled to 0…1 and rounded to four decimal places.
    """
    identity: str
    """The part of a run's fingerprint that stands for the data: the name of a verified dataset, else a checksum."""
    class_names: tuple[str, ...] | None = None
    """The names of the classes; None where they are the numbers from 0."""
    notices: tuple[str, ...] = ()
    """Sentences about the way in which own files were read, such as how many images became test images."""

    def __repr__(self) -> str:
        images = f"{len(self.train):,} training and {len(self.test):,} test images of {image_size(self.image_shape)}"
        return f"<Dataset {self.name}: {images}, {self.classes} classes>"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of an image as a network takes it: (channels, height, width)."""
        channels, height, width = self.train.images.shape[1:]
        return int(channels), int(height), int(width)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each class; its number where the classes have no names."""
        return self.class_names or tuple(map(str, range(self.classes)))

    @property
    def leakage_notice(self) -> str | None:
        """A sentence about test images that are also training images; None where there are none.

        Only own datasets are searched: the published ones are known.
        """
        if not self.identity.startswith("sha256:"):
            return None
        repeated = count_repeated(self.train, self.test)
        if not repeated:
            return None
        return (
            f"{repeated:,} of {len(self.test):,} test images are also training images: "
            "the test accuracy says too little about new images"
        )

    def hold_out(self, size: int, seed: int, by: HoldoutBy = "class") -> tuple[Dataset, Split]:
        """Splits a validation set off the training images; the arguments and errors are those of `choose_held_out`.

        *Returns* the dataset with the remaining training images, and the validation split.
        """
        chosen = self.choose_held_out(size, seed, by)
        keep = torch.ones(len(self.train), dtype=torch.bool)
        keep[chosen] = False
        rest = torch.nonzero(keep).flatten()
        return replace(self, train=self.train.take(rest)), self.train.take(chosen)

    def taught(self, targets: Targets, file: Path | str | None = None) -> Dataset:
        """Returns the dataset with targets for its training images; the labels stay, and accuracies are about them.

        *Arguments*: `file`: the file of the targets, for messages.

        *Raises* DrilldownError where the targets belong to another dataset.
        """
        made_for, shape = targets.teacher.dataset, (len(self.train), self.classes)
        if made_for not in ("", self.identity):
            found, expected = f'the teacher learned "{made_for}"', f'"{self.identity}", the dataset of the experiment'
            raise DrilldownError(Problem(file=file, found=found, expected=expected))
        if targets.probabilities.shape != shape:
            raise DrilldownError(
                Problem(
                    file=file,
                    place="p_train",
                    found=f"an array of shape {tuple(targets.probabilities.shape)}",
                    expected=f"{shape}: a row for each training image of {self.name}, a column for each class",
                )
            )
        return replace(self, train=replace(self.train, targets=targets))

    def choose_held_out(self, size: int, seed: int, by: HoldoutBy = "class") -> torch.Tensor:
        """Chooses the validation images among the training images. Only `seed` decides which images.

        By class, the split is stratified: each class gives its share, to within one image. By writer, whole writers
        are taken, so that no writer has images on both sides; see `choose_writers`.

        *Arguments*: `size`: the number of validation images; by writer, the number is as close to it as whole writers
        allow.

        *Returns* the indices of the validation images, ascending, int64.

        *Raises* DrilldownError where one side would be empty, or where the writers were not loaded.
        """
        count = len(self.train)
        if size >= count:
            raise _holdout_error(f"{size:,} of {count:,} training images held out", f"fewer than {count:,}")
        generator = stream(seed, "holdout")
        if by == "writer":
            if self.train.writers is None:
                raise _holdout_error(f"{self.name} was loaded without its writers", "`recipe.load_dataset()`")
            chosen = choose_writers(self.train.writers, size, generator)
            if not 0 < len(chosen) < count:
                found = f"{size:,} of {count:,} training images held out by writer"
                raise _holdout_error(found, "a number that leaves a writer on each side")
            return chosen
        shuffled = torch.randperm(count, generator=generator)
        by_class = shuffled[torch.argsort(self.train.labels[shuffled], stable=True)]
        # The list is sorted by class, so images at equal distances are taken from each class in proportion.
        return by_class[(torch.arange(size) * count) // size].sort().values


def _holdout_error(found: str, expected: str) -> DrilldownError:
    return DrilldownError(Problem(place="recipe.holdout", found=found, expected=expected))
