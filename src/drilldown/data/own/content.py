"""The content of a dataset that has no name, as each reader returns it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from drilldown.data.dataset import DatasetInfo, Split
from drilldown.data.idx import idx_header
from drilldown.data.image_settings import ImageSettings
from drilldown.randomness import stream

Labels = npt.NDArray[np.int64]

TEST_SHARE = 1 / 5
"""The share of the images that become test images where the files do not say which ones are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The images and classes of a dataset."""

    train: Split
    test: Split
    class_names: tuple[str, ...] | None = None
    """The names of the classes; None where they are the numbers from 0."""
    notices: tuple[str, ...] = ()
    """Sentences that the user must know, such as how many images became test images."""

    @property
    def info(self) -> DatasetInfo:
        """The facts that determine the shape of a network."""
        channels, height, width = self.train.images.shape[1:]
        classes = int(self.train.labels.max()) + 1
        return DatasetInfo((int(channels), int(height), int(width)), classes, self.class_names)

    @property
    def identity(self) -> str:
        """The checksum of images, labels and class names.

        It is the same for all kinds of files with the same content: that of the four IDX files that hold it.
        """
        parts = [hashlib.sha256(idx_header(array) + array.tobytes()).digest() for array in label_arrays(self)]
        for position, split in ((0, self.train), (2, self.test)):
            digest, images = hashlib.sha256(), image_array(split)
            digest.update(idx_header(images))
            digest.update(images.data)
            parts.insert(position, digest.digest())
        if self.class_names is not None:
            parts.append(hashlib.sha256("\n".join(self.class_names).encode()).digest())
        return f"sha256:{hashlib.sha256(b''.join(parts)).hexdigest()}"


class Source(Protocol):
    """The files of a dataset that has no name, with the reader for their kind."""

    @property
    def files(self) -> Mapping[str, Path]:
        """All files that are read, by a name that tells them apart."""
        ...

    def info(self, image: ImageSettings | None) -> DatasetInfo:
        """Returns shape and classes; of large files, only the headers are read. Raises DrilldownError as `read`."""
        ...

    def read(self, image: ImageSettings | None) -> Content:
        """Reads all images.

        *Arguments*: `image`: the size of the images. A reader may ignore it: images that have another size afterwards
        are scaled.

        *Raises* DrilldownError where a file cannot be read, or its content is wrong.
        """
        ...


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file with its times of change and its size; if one of them is different, the file must be read again."""

    name: str
    path: Path
    modified_ns: int
    changed_ns: int
    size: int


@dataclass(frozen=True, slots=True)
class Request:
    """A source with what identifies its content: two equal requests give the same dataset."""

    stamps: tuple[Stamp, ...]
    image: ImageSettings | None
    source: Source = field(compare=False, hash=False)


def image_array(split: Split) -> npt.NDArray[np.uint8]:
    """The images as an IDX file holds them: (N, height, width) for one channel, else (N, channels, height, width)."""
    images = split.images.numpy()
    return np.ascontiguousarray(images[:, 0] if images.shape[1] == 1 else images)


def label_arrays(content: Content) -> list[npt.NDArray[np.generic]]:
    """The training and the test labels as IDX files hold them: bytes, or four bytes each for more than 256 classes."""
    kind = np.uint8 if int(content.train.labels.max()) < 256 else np.dtype(">i4")
    return [split.labels.numpy().astype(kind) for split in (content.train, content.test)]


def choose_test_images(labels: Labels) -> npt.NDArray[np.bool_]:
    """Chooses the test images of files that do not say which ones are: TEST_SHARE of each class, by a fixed seed.

    *Returns* (N), whether an image is a test image. Each class keeps at least one training image.

    >>> chosen = choose_test_images(np.array([0] * 10 + [1] * 5 + [2]))
    >>> [int(part.sum()) for part in np.split(chosen, [10, 15])]
    [2, 1, 0]
    """
    generator = stream(0, "test images")
    chosen = np.zeros(len(labels), np.bool_)
    for number in np.unique(labels):
        members = np.flatnonzero(labels == number)
        order = torch.randperm(len(members), generator=generator).numpy()
        chosen[members[order[: round(TEST_SHARE * len(members))]]] = True
    return chosen


VALIDATION_AS_TEST = "there are no test images: the validation images are the test images"


def left_out_notice(count: int) -> str:
    """The sentence about validation images of files that have test images, too."""
    return f"{count:,} validation images are left out; `holdout` takes validation images from the training images"


def split_notice(train: int, test: int) -> str:
    """The sentence about images that were split here."""
    return (
        f"the files do not say which images are test images: {test:,} of {train + test:,} were chosen, "
        f"a fifth of each class, always the same; {train:,} are training images"
    )


def make_split(images: npt.NDArray[np.uint8], labels: Labels) -> Split:
    """Makes a split of images (N, height, width) or (N, channels, height, width)."""
    return Split(torch.from_numpy(images), torch.from_numpy(labels))
