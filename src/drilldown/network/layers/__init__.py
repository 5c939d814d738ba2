"""The layers of the block notation: their names and arguments, their shapes and their cost.

To add a layer, write a subclass of `Layer` in the file of its family, or in a new one, and add it to LAYERS. The torch
engine, the layer table and the template of `drilldown new` then know it.
"""

from __future__ import annotations

from drilldown.errors import Problem
from drilldown.network.layers.activations import GELU, Hardswish, LeakyReLU, PReLU, ReLU, SiLU
from drilldown.network.layers.convolutions import Conv, ExpandedConv, SeparableConv
from drilldown.network.layers.layer import LARGEST_NUMBER, Layer, NotationError, Shape, ShapeError, Window
from drilldown.network.layers.norms import BatchNorm, GroupNorm, LayerNorm
from drilldown.network.layers.others import Add, Dropout, Dropout2d, Flatten, Linear, SqueezeExcitation
from drilldown.network.layers.pools import AvgPool, BlurPool, GlobalAveragePool, MaxPool
from drilldown.network.other_names import suggest_layer

__all__ = [
    "GELU", "LARGEST_NUMBER", "LAYERS", "Add", "AvgPool", "BatchNorm", "BlurPool", "Conv", "Dropout", "Dropout2d",
    "ExpandedConv", "Flatten", "GlobalAveragePool", "GroupNorm", "Hardswish", "Layer", "LayerNorm", "LeakyReLU",
    "Linear", "MaxPool", "NotationError", "PReLU", "ReLU", "SeparableConv", "Shape", "ShapeError", "SiLU",
    "SqueezeExcitation", "Window", "parse_block",
]  # fmt: skip

LAYERS: dict[str, type[Layer]] = {
    kind.word: kind
    for kind in (
        AvgPool, BatchNorm, BlurPool, Conv, Dropout, Dropout2d, Flatten, GlobalAveragePool, GELU, GroupNorm, Hardswish,
        LeakyReLU, Linear, LayerNorm, MaxPool, PReLU, ReLU, SqueezeExcitation, SeparableConv, SiLU,
    )
}  # fmt: skip
"""All layers of the notation by their names."""


def parse_block(text: str) -> tuple[Layer, ...]:
    """Reads the layers of one block; raises NotationError at the first layer that is not valid.

    >>> [str(layer) for layer in parse_block("conv 3x3 10 pad=same,bn, relu")]
    ['conv 3x3 10 pad=1', 'bn', 'relu']
    """
    layers = []
    for part in text.split(","):
        word, *arguments = part.split() or [""]
        kind = LAYERS.get(word.lower())
        if kind is None:
            found = f'unknown layer "{word}"' if word else "an empty layer (is there an extra comma?)"
            raise NotationError(
                Problem(
                    found=found,
                    expected=f"one of {', '.join(LAYERS)}",
                    suggestion=suggest_layer(word, LAYERS) if word else None,
                )
            )
        layers.append(kind.parse([argument.lower() for argument in arguments]))
    return tuple(layers)
