"""The class activation maps of a report: some test images under the maps of their classes, in colour.

`templates/pad.js` colours the map of a drawing in the same way.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from drilldown.data.dataset import Split
from drilldown.evaluation.predictions import Predictions
from drilldown.report.pictures import visible_pixels
from drilldown.runs.run import Run

WRONG, RIGHT = 6, 4
"""The largest numbers of misclassified and of correctly classified images that are shown."""
FOR, AGAINST = (213, 94, 0), (0, 114, 178)
"""The colours (red, green, blue) of positions that add to a logit, and of those that reduce it."""
INK, TINT = 0.65, 0.6
"""The share of the darkest ink, and of the strongest colour, in a pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """A test image with the class activation map of one class."""

    index: int
    """The position of the image among the test images."""
    truth: int
    predicted: int
    number: int
    """The class of the map."""
    image: torch.Tensor
    """(channels, height, width), uint8."""
    map: torch.Tensor
    """(rows, columns), float32."""

    @property
    def logit(self) -> float:
        """The logit of the map's class: the mean of the map."""
        return float(self.map.double().mean())


def gather_activations(run: Run, predictions: Predictions) -> tuple[Activation, ...]:
    """The maps of some test images: misclassified ones for the predicted and for the true class, then right ones.

    *Arguments*: `run`: a run whose network has activation maps. `predictions`: of the test images.
    """
    split, wrong = predictions.split, [image.index for image in predictions.misclassified]
    chosen = [*wrong[:WRONG], *first_right(split, set(wrong), RIGHT)]
    maps = run.activation_maps(split.images[chosen]) if chosen else ()
    return tuple(
        Activation(index=index, truth=truth, predicted=predicted, number=number, image=image, map=of_image[number])
        for index, truth, predicted, image, of_image in zip(
            chosen, split.labels[chosen].tolist(), predictions.predicted[chosen].tolist(), split.images[chosen], maps,
            strict=True,
        )
        for number in dict.fromkeys((predicted, truth))
    )  # fmt: skip


def first_right(split: Split, wrong: Collection[int], classes: int) -> list[int]:
    """The first correctly classified image of each of the first classes.

    *Arguments*: `wrong`: the indices of the misclassified images.
    """
    chosen = []
    for number in range(classes):
        of_class = (split.labels == number).nonzero().flatten().tolist()
        chosen += [index for index in of_class if index not in wrong][:1]
    return chosen


def colour_map(image: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """An image in grey under a map in colour; the colour of the map's largest absolute value is the strongest.

    *Arguments*: `image`: (channels, height, width), uint8. `values`: (rows, columns), stretched over the image.

    *Returns* (3, height, width), uint8; the ink of an image with one channel (255) is dark.

    >>> colour_map(torch.zeros(1, 2, 2, dtype=torch.uint8), torch.tensor([[1.0, -1.0]]))[:, 0].T.tolist()
    [[229, 158, 101], [101, 170, 208]]
    """
    visible = visible_pixels(image).float()
    light = visible if visible.dim() == 2 else visible.mean(2)
    stretched = F.interpolate(values[None, None].float(), size=light.shape, mode="bilinear", align_corners=False)[0, 0]
    share = (stretched / values.abs().max().clamp(min=1e-12))[:, :, None]
    grey = (255 * (1 - INK) + INK * light)[:, :, None]
    tint = torch.where(share > 0, torch.tensor(FOR), torch.tensor(AGAINST)).float()
    alpha = TINT * share.abs()
    return ((1 - alpha) * grey + alpha * tint).to(torch.uint8).permute(2, 0, 1)


def describe(activation: Activation) -> tuple[str, str]:
    """The title and the caption of a map."""
    right = activation.truth == activation.predicted
    role = "" if right else " (predicted)" if activation.number == activation.predicted else " (true)"
    return f"for {activation.number}{role}", f"#{activation.index}, logit {activation.logit:.2f}"
