"""A network's predictions for images: its logits, and which images it misclassifies."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import nn

from drilldown.data.dataset import Split
from drilldown.errors import DrilldownError, Problem
from drilldown.evaluation.bootstrap import AccuracyInterval, accuracy_interval
from drilldown.evaluation.records import Tally
from drilldown.network.layers import Shape
from drilldown.network.layout import call_network
from drilldown.randomness import global_stream
from drilldown.shown import Shown

BATCH = 1_000
"""Images in one forward pass of an evaluation."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A network's predictions for all images of a split, counted."""

    tally: Tally
    logits: torch.Tensor
    """(N, classes), float32, on the CPU."""

    @property
    def is_constant(self) -> bool:
        """Whether all of several images get the same logits, to within rounding: the network is dead.

        >>> Evaluation.of(torch.ones(3, 2), torch.tensor([0, 1, 1])).is_constant
        True
        """
        spread = float((self.logits - self.logits[:1]).abs().max())
        return len(self.logits) > 1 and spread <= 1e-6 * (1 + float(self.logits[0].abs().max()))

    @classmethod
    def of(cls, logits: torch.Tensor, labels: torch.Tensor) -> Self:
        """Compares logits (N, classes) with labels (N); the loss is computed in float64."""
        logits, labels = logits.cpu(), labels.cpu()
        loss = float(F.cross_entropy(logits.double(), labels))
        return cls(Tally(loss, int((logits.argmax(1) == labels).sum()), len(labels)), logits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misclassified:
    """An image whose predicted class is wrong."""

    index: int
    """The position of the image in its split."""
    truth: int
    predicted: int
    confidence: float
    """The probability of the predicted class, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Predictions(Shown):
    """A network's logits for all images of a split, and the counts that follow from them.

    >>> dataset = drilldown.dataset("glyphs")
    >>> always_three = torch.eye(10)[[3]].repeat(len(dataset.test), 1)
    >>> predictions = Predictions(dataset.test, always_three)
    >>> predictions.tally.correct, len(predictions.misclassified), predictions.confusions[0]
    (100, 900, (0, 3, 100))
    """

    split: Split
    logits: torch.Tensor
    """(N, classes), float32."""
    class_names: tuple[str, ...] | None = None
    """The names of the classes; None where they are the numbers from 0."""

    @property
    def tally(self) -> Tally:
        """Loss and correct predictions, counted over all images."""
        return Evaluation.of(self.logits, self.split.labels).tally

    @property
    def predicted(self) -> torch.Tensor:
        """(N), int64: the predicted class of each image."""
        return self.logits.argmax(1)

    @property
    def correct(self) -> torch.Tensor:
        """(N), bool: whether the predicted class of each image is right."""
        return self.predicted == self.split.labels

    def interval(self) -> AccuracyInterval:
        """The 95 % interval of the accuracy: by a bootstrap over writers where they are known, else Wilson's."""
        return accuracy_interval(self.correct, self.split.writers)

    @property
    def misclassified(self) -> tuple[Misclassified, ...]:
        """The images whose predicted class is wrong, highest confidence first."""
        truth, predicted = self.split.labels, self.predicted
        confidence = self.logits.double().softmax(1).gather(1, predicted[:, None])[:, 0]
        wrong = (predicted != truth).nonzero().flatten()
        wrong = wrong[confidence[wrong].argsort(descending=True, stable=True)]
        return tuple(
            Misclassified(
                index=int(i), truth=int(truth[i]), predicted=int(predicted[i]), confidence=float(confidence[i])
            )
            for i in wrong
        )

    @property
    def confusion(self) -> torch.Tensor:
        """The confusion matrix, (classes, classes), int64: row = true class, column = predicted class."""
        classes = self.logits.shape[1]
        return torch.bincount(self.split.labels * classes + self.predicted, minlength=classes**2).view(classes, classes)

    @property
    def confusions(self) -> list[tuple[int, int, int]]:
        """Pairs of classes that were confused: (true class, predicted class, count), the most frequent first."""
        counts = Counter((image.truth, image.predicted) for image in self.misclassified)
        pairs = [(truth, predicted, count) for (truth, predicted), count in counts.items()]
        return sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))

    def __repr__(self) -> str:
        tally = self.tally
        return f"<Predictions: {tally.correct:,} of {tally.total:,} correct ({tally}), loss {tally.loss:.4f}>"


def as_batch(images: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Images as a batch.

    *Arguments*: `images`: (N, channels, height, width) or one image, also without the dimension of a single channel.
    `shape`: (channels, height, width).

    *Returns* (N, channels, height, width).

    *Raises* DrilldownError where the images have another shape.

    >>> as_batch(torch.zeros(5, 28, 28), (1, 28, 28)).shape
    torch.Size([5, 1, 28, 28])
    """
    if images.dim() < 2 or images.shape[-2:] != shape[1:] or images.numel() % math.prod(shape):
        raise DrilldownError(
            Problem(found=f"images of shape {tuple(images.shape)}", expected=f"(N, {', '.join(map(str, shape))})")
        )
    return images.reshape(-1, *shape)


def normalise_pixels(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Normalises each channel to mean 0 and standard deviation 1 over the training images.

    *Arguments*: `pixels`: (N, channels, height, width), 0…255. `mean`, `std`: of the training pixels of each channel,
    scaled to 0…1.

    >>> normalise_pixels(torch.tensor([0.0, 255.0]).view(2, 1, 1, 1), [0.5], [0.25]).flatten().tolist()
    [-2.0, 2.0]
    """
    scale = pixels.new_tensor([1 / (255 * deviation) for deviation in std]).view(-1, 1, 1)
    shift = pixels.new_tensor([centre / deviation for centre, deviation in zip(mean, std, strict=True)]).view(-1, 1, 1)
    return pixels.mul(scale).sub_(shift)


@torch.inference_mode()
def predict_logits(
    network: nn.Module, images: torch.Tensor, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """A network's logits, in evaluation mode and fp32.

    A user's module that draws random numbers in evaluation mode gets the same ones each time.

    *Arguments*: `images`: (N, channels, height, width), 0…255, on any device. `mean`, `std`: see `normalise_pixels`.

    *Returns* (N, classes), float32, on the network's device.
    """
    network.eval()
    device = next((tensor.device for tensor in network.parameters()), images.device)
    with global_stream(0, "evaluation"):
        return torch.cat(
            [
                call_network(network, normalise_pixels(batch.to(device).float(), mean, std)).float()
                for batch in torch.split(images, BATCH)
            ]
        )
