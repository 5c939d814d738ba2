"""The layout of a network: from blocks of layers to shapes, and to a PyTorch module.

A network is a list of blocks, and a block is a list of layers: `"conv 3x3 10, bn, relu"`. Shapes, parameters and
multiply-adds are computed from the layers alone. So a network that does not fit the images is refused with a clear
message before anything is trained.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn

from drilldown.errors import DrilldownError, Problem
from drilldown.network.layers import BatchNorm, Conv, Flatten, Layer, Linear, Shape, ShapeError, parse_block

LARGEST_NETWORK = 100_000_000
"""The largest number of parameters (400 MB of weights); drilldown is for tiny networks."""


@dataclass(frozen=True, slots=True)
class PlacedLayer:
    """A layer of a network with its name and its shapes."""

    name: str
    """The module's name: the layer's word and a number, such as `conv2` for the second convolution."""
    layer: Layer
    """The layer in the notation."""
    input: Shape
    """The input's shape, without the batch dimension."""
    output: Shape
    """The output's shape, without the batch dimension."""

    @property
    def parameters(self) -> int:
        """The number of trainable parameters."""
        return self.layer.parameters(self.input)

    @property
    def multiply_adds(self) -> int:
        """The number of multiply-adds for one image."""
        return self.layer.multiply_adds(self.input)


def lay_out(blocks: Sequence[str], image: Shape, classes: int) -> list[PlacedLayer]:
    """Computes the shapes of all layers.

    A `flatten` is added where 1×1 images come before `linear` or at the end.

    *Arguments*: `blocks`: the layers in block notation. `image`: (channels, height, width). `classes`: the number of
    classes.

    *Raises* DrilldownError with block and layer where a shape does not fit, where the network has no parameters, or
    where the last layer does not give one logit per class; NotationError where a block is not valid notation.

    >>> [placed.output for placed in lay_out(["conv 3x3 8, relu", "gap", "linear 10"], (1, 28, 28), 10)]
    [(8, 26, 26), (8, 26, 26), (8, 1, 1), (8,), (10,)]
    """
    numbers: Counter[str] = Counter()
    placed: list[PlacedLayer] = []
    shape = image

    def append(layer: Layer) -> None:
        nonlocal shape
        output = layer.output(shape)
        numbers[layer.word] += 1
        placed.append(PlacedLayer(f"{layer.word}{numbers[layer.word]}", layer, shape, output))
        shape = output

    position = ""
    for index, text in enumerate(blocks):
        position = f'network.layers[{index}] "{text}"'
        for layer in parse_block(text):
            try:
                if isinstance(layer, Linear) and shape[1:] == (1, 1):
                    append(Flatten())
                append(layer)
            except ShapeError as error:
                raise DrilldownError(
                    Problem(place=position, found=f"{layer} gets {shape_text(shape)}", expected=str(error))
                ) from None
    if math.prod(shape) != classes or (len(shape) == 3 and shape[1:] != (1, 1)):
        raise DrilldownError(
            Problem(
                place=position,
                found=f"the last layer gives {shape_text(shape)}",
                expected=f"{classes} logits, one per class ({shape_text((classes,))} or {shape_text((classes, 1, 1))})",
            )
        )
    if len(shape) == 3:
        append(Flatten())
    check_parameter_count(sum(layer.parameters for layer in placed))
    return placed


def check_parameter_count(parameters: int) -> None:
    """Raises DrilldownError where a network has no parameters or too many."""
    if not parameters:
        raise DrilldownError(
            Problem(
                place="network", found="the network has no parameters", expected="at least one layer with parameters"
            )
        )
    if parameters > LARGEST_NETWORK:
        raise DrilldownError(
            Problem(
                place="network",
                found=f"the network has {parameters:,} parameters",
                expected=f"at most {LARGEST_NETWORK:,}: drilldown is for tiny networks",
            )
        )


class Layers(nn.Sequential):
    """A network in block notation: only the notation's layers, one after the other.

    It maps images (N, channels, height, width) to logits (N, classes).
    """


def build_network(placed: Sequence[PlacedLayer]) -> Layers:
    """Makes the PyTorch module of a network; PyTorch's global generator initialises it.

    >>> build_network(lay_out(["flatten, linear 10"], (1, 28, 28), 10))
    Layers(
      (flatten1): Flatten(start_dim=1, end_dim=-1)
      (linear1): Linear(in_features=784, out_features=10, bias=True)
    )
    """
    network = Layers()
    previous: Layer | None = None
    for item in placed:
        # A layer may overwrite its input only if the layer before does not need its output for the gradient.
        inplace = isinstance(previous, Conv | BatchNorm | Linear)
        network.add_module(item.name, item.layer.module(item.input, inplace=inplace))
        previous = item.layer
    return network


@contextlib.contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Puts a network into evaluation mode during the block; afterwards each part has its previous mode."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def prints_to_stderr() -> AbstractContextManager[object]:
    """Sends the prints of a user's module to standard error: standard output holds results, and nothing else."""
    return contextlib.redirect_stdout(sys.stderr)


def call_network(network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """A network's output; the prints of a user's module go to standard error.

    *Raises* TypeError where a user's module returns no tensor, as some do in training mode alone.
    """
    with prints_to_stderr():
        logits = network(images)
    if not isinstance(logits, torch.Tensor):
        raise TypeError(f"the network returns {type(logits).__name__}, not a tensor of logits")
    return logits


def shape_text(shape: Shape) -> str:
    """Formats a shape.

    >>> shape_text((16, 24, 24))
    '16x24x24'
    """
    return "x".join(map(str, shape))
