"""Class activation maps: how much each position of an image adds to the logit of each class.

All layers after `gap` are affine, and `gap` is a mean. So they give the same logits if they see each position alone,
and the mean is taken of their results. These results are the maps of the classes: the mean of a map is exactly the
logit.

*Source*: Zhou, Khosla, Lapedriza, Oliva and Torralba, "Learning Deep Features for Discriminative Localization", 2016.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

import torch

from drilldown.evaluation.predictions import normalise_pixels
from drilldown.network.layers import BatchNorm, Conv, Dropout, Flatten, GlobalAveragePool, Layer, Linear
from drilldown.network.layout import PlacedLayer, evaluation_mode

AFFINE: tuple[type[Layer], ...] = (Linear, Conv, BatchNorm, Dropout, Flatten)
"""The layers that are affine in evaluation mode."""
HEAD = "a network in block notation whose gap is followed by linear, 1x1 convolutions, bn, dropout or flatten alone"
"""The networks that have class activation maps."""


def gap_index(layout: Sequence[PlacedLayer] | None) -> int | None:
    """The position of the `gap` from which the class activation maps follow; None where there is none.

    After it, all layers are affine; before it is a layer whose output has more than one position.

    >>> gap_index(drilldown.load("under-8k").layout), gap_index(drilldown.load("eva5-s5/01").layout)
    (19, None)
    """
    for index in reversed(range(len(layout or ()))):
        placed = (layout or ())[index]
        if isinstance(placed.layer, GlobalAveragePool):
            return index if index and math.prod(placed.input[1:]) > 1 else None
        if not isinstance(placed.layer, AFFINE) or placed.sources != (index - 1,):
            return None
    return None


def has_activation_maps(layout: Sequence[PlacedLayer] | None) -> TypeGuard[Sequence[PlacedLayer]]:
    """Whether a network has class activation maps."""
    return gap_index(layout) is not None


@torch.inference_mode()
def activation_maps(
    network: torch.nn.Module,
    layout: Sequence[PlacedLayer],
    images: torch.Tensor,
    mean: Sequence[float],
    std: Sequence[float],
) -> torch.Tensor:
    """The class activation maps of images.

    *Arguments*: `network`: the trained network with this layout, which has activation maps. `images`: (N, channels,
    height, width), 0…255. `mean`, `std`: see `normalise_pixels`.

    *Returns* (N, classes, rows, columns): the rows and columns are those of the image before `gap`.
    """
    index = gap_index(layout)
    assert index is not None
    features: list[torch.Tensor] = []
    gap, *head = (network.get_submodule(placed.name) for placed in layout[index:])
    hook = gap.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    try:
        with evaluation_mode(network):
            network(normalise_pixels(images.to(next(network.parameters())), mean, std))
            count, channels, rows, columns = features[0].shape
            values = features[0].permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)
            for module in head:
                values = module(values)
    finally:
        hook.remove()
    return values.view(count, rows, columns, -1).permute(0, 3, 1, 2)
