"""The targets of images: for each one a probability of each class, which a network learns in place of its label."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch

from drilldown.data.teacher import Teacher


@dataclass(frozen=True, slots=True)
class Targets:
    """The probabilities that a teacher gives to the classes of each image.

    >>> targets = Targets(torch.eye(3), torch.tensor([True, False, True]), Teacher())
    >>> len(targets), targets.take(torch.tensor([1])).probabilities.tolist()
    (3, [[0.0, 1.0, 0.0]])
    """

    probabilities: torch.Tensor
    """(N, classes), float32; each row sums to 1."""
    seen: torch.Tensor
    """(N), bool: whether the teacher was trained on the image."""
    teacher: Teacher
    """The teacher, and what it cost."""

    def __len__(self) -> int:
        return len(self.probabilities)

    def take(self, indices: torch.Tensor) -> Targets:
        """Returns the targets of the images at these indices, (M), in their order."""
        return Targets(self.probabilities[indices], self.seen[indices], self.teacher)

    def to(self, device: torch.device) -> Targets:
        """Returns a copy on another device."""
        return Targets(self.probabilities.to(device), self.seen.to(device), self.teacher)

    @property
    def identity(self) -> str:
        """The part of a run's fingerprint that stands for the targets: a checksum of the probabilities."""
        return f"sha256:{hashlib.sha256(self.probabilities.numpy().astype('<f4').tobytes()).hexdigest()}"
