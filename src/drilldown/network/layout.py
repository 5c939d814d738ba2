"""Blocks of layers → a laid-out network → `nn.Module`.

A network is a list of blocks, a block a list of layers: `"conv 3x3 10, bn, relu"`. Everything that can be known
of a network before it exists (shapes, parameters, multiply-adds) is computed here from the layers alone, so that
a network that does not fit is refused with a sentence and not with a traceback from its first batch.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from drilldown.errors import DrilldownError, Problem
from drilldown.network.layers import BatchNorm, Conv, Flatten, Layer, Linear, Shape, ShapeError, parse_block

LARGEST_NETWORK = 100_000_000
"""Parameters beyond which a network is refused: 400 MB of weights are not tiny."""


@dataclass(frozen=True, slots=True)
class PlacedLayer:
    """A layer in its place in a network: what comes in, what goes out."""

    name: str
    """The module's name: the layer's word and its number among its kind, such as `conv2`."""
    layer: Layer
    input: Shape
    output: Shape

    @property
    def parameters(self) -> int:
        """Trainable numbers."""
        return self.layer.parameters(self.input)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds for one image."""
        return self.layer.multiply_adds(self.input)


def lay_out(blocks: Sequence[str], image: Shape, classes: int) -> list[PlacedLayer]:
    """Lays blocks out for images of shape `image` (channels, height, width) and so many classes.

    A `flatten` that the notation leaves unsaid (1×1 images before `linear` and at the end) is put in.

    *Raises* DrilldownError, naming block and layer, where a shape does not fit, nothing can be trained, or the
    last layer does not give a score per class; NotationError where a block does not read.

    >>> [placed.output for placed in lay_out(["conv 3x3 8, relu", "gap", "linear 10"], (1, 28, 28), 10)]
    [(8, 26, 26), (8, 26, 26), (8, 1, 1), (8,), (10,)]
    """
    numbers: Counter[str] = Counter()
    placed: list[PlacedLayer] = []
    shape = image

    def put(layer: Layer) -> None:
        nonlocal shape
        output = layer.output(shape)
        numbers[layer.word] += 1
        placed.append(PlacedLayer(f"{layer.word}{numbers[layer.word]}", layer, shape, output))
        shape = output

    where = ""
    for index, text in enumerate(blocks):
        where = f'network.layers[{index}] "{text}"'
        for layer in parse_block(text):
            try:
                if isinstance(layer, Linear) and shape[1:] == (1, 1):
                    put(Flatten())
                put(layer)
            except ShapeError as misfit:
                raise DrilldownError(
                    Problem(place=where, found=f"{layer} gets {shape_text(shape)}", expected=str(misfit))
                ) from None
    if math.prod(shape) != classes or (len(shape) == 3 and shape[1:] != (1, 1)):
        raise DrilldownError(
            Problem(
                place=where,
                found=f"the last layer gives {shape_text(shape)}",
                expected=f"{classes} logits, one per class ({shape_text((classes,))} or {shape_text((classes, 1, 1))})",
            )
        )
    if len(shape) == 3:
        put(Flatten())
    check_parameter_count(sum(layer.parameters for layer in placed))
    return placed


def check_parameter_count(parameters: int) -> None:
    """Raises DrilldownError where there is nothing to train, or far too much."""
    if not parameters:
        raise DrilldownError(
            Problem(place="network", found="the network has no parameters", expected="something to train")
        )
    if parameters > LARGEST_NETWORK:
        raise DrilldownError(
            Problem(
                place="network",
                found=f"the network has {parameters:,} parameters",
                expected=f"at most {LARGEST_NETWORK:,} (drilldown is for tiny ones)",
            )
        )


class Layers(nn.Sequential):
    """A network in block notation: nothing but the notation's layers, one after the other.

    Maps images (N, channels, height, width) to logits (N, classes).
    """


def build_network(placed: Sequence[PlacedLayer]) -> Layers:
    """The network as a PyTorch module, initialised by PyTorch's global generator."""
    network = Layers()
    previous: Layer | None = None
    for item in placed:
        # A layer may overwrite only what the one before it made for it alone and does not need again.
        inplace = isinstance(previous, Conv | BatchNorm | Linear)
        network.add_module(item.name, item.layer.module(item.input, inplace=inplace))
        previous = item.layer
    return network


@contextlib.contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """A network in evaluation mode for the time of the block; afterwards each part is in the mode that it was in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def shape_text(shape: Shape) -> str:
    """A shape as text.

    >>> shape_text((16, 24, 24))
    '16x24x24'
    """
    return "x".join(map(str, shape))
