"""Images with their labels, held in memory as bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from drilldown.errors import DrilldownError, Problem
from drilldown.randomness import stream
from drilldown.shown import Shown


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
class DatasetInfo:
    """What a network must know of a dataset before it is read."""

    image_shape: tuple[int, int, int]
    """(channels, height, width)."""
    classes: int


@dataclass(frozen=True, slots=True)
class Dataset(Shown):
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
