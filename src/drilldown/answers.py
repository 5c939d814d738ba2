"""A network's answers to images: its scores, what it got right, and what it took for what."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import nn

from drilldown.data import Split
from drilldown.records import Evaluation, Tally

BATCH = 1_000
"""Images that are answered at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """An image that was read wrongly."""

    index: int
    """Its place in the split."""
    truth: int
    predicted: int
    confidence: float
    """The probability that the network gave to its answer."""


@dataclass(frozen=True, slots=True)
class Answers:
    """A network's class scores for all images of a split, and what they come to.

    >>> dataset = drilldown.dataset("glyphs")
    >>> always_three = torch.eye(10)[[3]].repeat(len(dataset.test), 1)
    >>> answers = Answers(dataset.test, always_three)
    >>> answers.tally.correct, len(answers.mistakes), answers.confusions[0]
    (100, 900, (0, 3, 100))
    """

    split: Split
    scores: torch.Tensor
    """(N, classes), float32, before softmax."""

    @property
    def tally(self) -> Tally:
        """Loss and correct answers, counted over all images."""
        return Evaluation.of(self.scores, self.split.labels).tally

    @property
    def predicted(self) -> torch.Tensor:
        """(N), int64: the classes that the images were read as."""
        return self.scores.argmax(1)

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """The images that were read wrongly, the surest mistakes first."""
        truth, predicted = self.split.labels, self.predicted
        confidence = self.scores.double().softmax(1).gather(1, predicted[:, None])[:, 0]
        wrong = (predicted != truth).nonzero().flatten()
        wrong = wrong[confidence[wrong].argsort(descending=True, stable=True)]
        return tuple(
            Mistake(index=int(i), truth=int(truth[i]), predicted=int(predicted[i]), confidence=float(confidence[i]))
            for i in wrong
        )

    @property
    def confusion(self) -> torch.Tensor:
        """(classes, classes), int64: images of each class (row) by the class that they were read as."""
        classes = self.scores.shape[1]
        return torch.bincount(self.split.labels * classes + self.predicted, minlength=classes**2).view(classes, classes)

    @property
    def confusions(self) -> list[tuple[int, int, int]]:
        """What was taken for what, and how often: (truth, answer, count), the commonest first."""
        counts = Counter((mistake.truth, mistake.predicted) for mistake in self.mistakes)
        found = [(truth, predicted, count) for (truth, predicted), count in counts.items()]
        return sorted(found, key=lambda pair: (-pair[2], pair[:2]))

    def __repr__(self) -> str:
        tally = self.tally
        return f"<Answers: {tally.correct:,} of {tally.total:,} right ({tally}), loss {tally.loss:.4f}>"

    def _repr_html_(self) -> str:
        from drilldown import notebook

        return notebook.answers(self)


def normalise(pixels: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    """Pixels (0…255) as a network wants them: mean 0, standard deviation 1 over the training images."""
    return pixels.mul(1 / (255 * std)).sub_(mean / std)


@torch.inference_mode()
def scores(network: nn.Module, images: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    """A network's class scores, in evaluation mode and fp32.

    *Arguments*: `images`: (N, height, width), 0 background to 255 ink, on any device. `mean`, `std`: see `normalise`.

    *Returns* (N, classes), float32, on the network's device.
    """
    network.eval()
    device = next((tensor.device for tensor in network.parameters()), images.device)
    return torch.cat(
        [
            network(normalise(batch.to(device)[:, None].float(), mean, std)).float()
            for batch in torch.split(images, BATCH)
        ]
    )
