"""The writers of images: how whole writers are held out, and how far two splits share writers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Writers:
    """Who wrote each image.

    >>> writers = Writers(torch.tensor([7, 9, 7]), torch.tensor([0, 4, 0]))
    >>> len(writers), writers.take(torch.tensor([2])).ids.tolist()
    (3, [7])
    """

    ids: torch.Tensor
    """The writer of each image, (N), int64."""
    sources: torch.Tensor
    """The collection that the writer belongs to, (N), int64; in MNIST, 0: employees, 4: students of a high school."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: torch.Tensor) -> Writers:
        """Returns the writers of the images at these indices, (M), in their order."""
        return Writers(self.ids[indices], self.sources[indices])


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterCounts:
    """The writers of a validation split and of the training images that remain."""

    training: int
    """The number of writers of the training images."""
    validation: int
    """The number of writers of the validation images."""
    shared_images: int
    """The number of validation images by writers who also wrote training images."""


def count_writers(training: Writers, validation: Writers) -> WriterCounts:
    """Counts the writers on both sides of a split.

    >>> ids, sources = torch.tensor([1, 1, 2, 3]), torch.zeros(4, dtype=torch.int64)
    >>> writers = Writers(ids, sources)
    >>> count_writers(writers.take(torch.tensor([0, 2])), writers.take(torch.tensor([1, 3])))
    WriterCounts(training=2, validation=2, shared_images=1)
    """
    return WriterCounts(
        training=len(np.unique(training.ids)),
        validation=len(np.unique(validation.ids)),
        shared_images=int(torch.isin(validation.ids, training.ids).sum()),
    )


def choose_writers(writers: Writers, images: int, generator: torch.Generator) -> torch.Tensor:
    """Chooses whole writers who wrote about this number of images; each source gives its share of the images.

    Writers are taken in random order. Some are passed over, so that the number of images of each source is as close
    to its share as whole writers allow; the last source makes up for the others.

    *Arguments*: `images`: the number of images, less than all.

    *Returns* the indices of their images, ascending, int64; none or all of them where `images` is close to 0 or to all.
    """
    chosen = []
    wanted, left = images, len(writers)
    for source in np.unique(writers.sources):
        ids, sizes = np.unique(writers.ids[writers.sources == source], return_counts=True)
        order = torch.randperm(len(ids), generator=generator).numpy()
        total = int(sizes.sum())
        taken = order[closest_sum(sizes[order].tolist(), round(wanted * total / left))]
        chosen.append(ids[taken])
        wanted, left = wanted - int(sizes[taken].sum()), left - total
    return torch.from_numpy(np.flatnonzero(np.isin(writers.ids, np.concatenate(chosen))))


def closest_sum(sizes: Sequence[int], target: int) -> list[int]:
    """Chooses items whose sizes add up to the number that is closest to the target.

    Of several choices, it makes the one whose last item is earliest, then the one before it, and so on.

    *Arguments*: `sizes`: positive numbers. `target`: of two sums at the same distance, the smaller one is made.

    *Returns* the positions of the items, ascending.

    >>> closest_sum([50, 90, 40, 70, 20], 160)  # 90 + 70, and not 50 + 90 + 20
    [1, 3]
    """
    # Bit s of reachable[k] tells whether some of the first k sizes add up to s.
    reachable = [1]
    for size in sizes:
        reachable.append(reachable[-1] | reachable[-1] << size)
    nearest = (target + sign * distance for distance in itertools.count() for sign in (-1, 1))
    rest = next(total for total in nearest if total >= 0 and reachable[-1] >> total & 1)
    chosen = []
    for position in reversed(range(len(sizes))):
        if not reachable[position] >> rest & 1:  # the earlier items cannot give the rest without this one
            chosen.append(position)
            rest -= sizes[position]
    return chosen[::-1]
