"""The layout of a network: from blocks of layers to steps with shapes, and to a PyTorch module.

A network is a list of blocks (`drilldown.network.blocks`). Its layout is the list of its steps: the layers in the order
of their calculation, each with the steps whose outputs it takes. Shapes, parameters and multiply-adds are computed from
the layers alone. So a network that does not fit the images is refused with a clear message before anything is trained.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from drilldown.errors import DrilldownError, Problem
from drilldown.network.blocks import MOST_LAYERS, Block, Path, count_layers
from drilldown.network.layers import (
    Add,
    Conv,
    Flatten,
    Layer,
    Linear,
    Shape,
    ShapeError,
    parse_block,
)

LARGEST_NETWORK = 100_000_000
"""The largest number of parameters (400 MB of weights); drilldown is for tiny networks."""
IMAGE = -1
"""The source of a step that takes the image."""


@dataclass(frozen=True, slots=True)
class PlacedLayer:
    """A step of a network: a layer with its name, its shapes, and where its input comes from."""

    name: str
    """The module's name: the layer's word and a number, such as `conv2` for the second convolution.

    Inside a table or a layer that stands for several, the table's or layer's name comes first: `skip1.conv1`,
    `sep1.conv2`. In a shared `repeat`, all passes have one `repeat1.conv1`; what has no shared weights is
    `repeat1.pass1.bn1`, `repeat1.pass2.bn1`.
    """
    layer: Layer
    """The layer in the notation; a depthwise convolution has the number of its groups."""
    input: Shape
    """The input's shape, without the batch dimension; of a sum, of each of its two inputs."""
    output: Shape
    """The output's shape, without the batch dimension."""
    sources: tuple[int, ...]
    """The indices of the steps whose outputs it takes, IMAGE for the image: two for a sum, one for any other layer."""
    shared: bool = False
    """Whether its weights are those of an earlier step, which has the same name."""

    @property
    def parameters(self) -> int:
        """The number of trainable parameters; shared ones count where they are first used."""
        return 0 if self.shared else self.layer.parameters(self.input)

    @property
    def multiply_adds(self) -> int:
        """The number of multiply-adds for one image."""
        return self.layer.multiply_adds(self.input)

    @property
    def trained_parameters(self) -> int:
        """The number of parameters while it is trained: larger with `expand=`."""
        return 0 if self.shared else sum(layer.parameters(shape) for layer, shape in self._trained())

    @property
    def trained_outputs(self) -> int:
        """The count of numbers, for one image, that training keeps for the backward pass: all outputs."""
        return sum(math.prod(layer.output(shape)) for layer, shape in self._trained())

    def _trained(self) -> Iterator[tuple[Layer, Shape]]:
        shape = self.input
        for layer in self.layer.trained_as(shape):
            yield layer, shape
            shape = layer.output(shape)


def lay_out(blocks: Sequence[Block], image: Shape, classes: int) -> list[PlacedLayer]:
    """Computes the shapes of all layers, in the order in which they are calculated.

    A `flatten` is added where 1×1 images come before `linear` or at the end. A `skip` ends with a sum; where its blocks
    change the shape of the image, the input passes through a 1x1 convolution first, with their stride, without bias and
    without a norm.

    *Arguments*: `blocks`: the layers in block notation. `image`: (channels, height, width). `classes`: the number of
    classes.

    *Raises* DrilldownError with block and layer where a shape does not fit, where the network has no parameters, or
    where the last layer does not give one logit per class; NotationError where a block is not valid notation.

    *Source* of sum and projection: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2015.

    >>> [placed.output for placed in lay_out(["conv 3x3 8, relu", "gap", "linear 10"], (1, 28, 28), 10)]
    [(8, 26, 26), (8, 26, 26), (8, 1, 1), (8,), (10,)]
    >>> for placed in lay_out([{"skip": ["conv 3x3 8 stride=2 pad=same"]}, "gap, linear 10"], (1, 28, 28), 10)[:3]:
    ...     print(placed.name, placed.layer, placed.output, placed.sources)
    skip1.conv1 conv 3x3 8 stride=2 pad=1 (8, 14, 14) (-1,)
    skip1.projection conv 1x1 8 stride=2 (8, 14, 14) (-1,)
    skip1.add add (8, 14, 14) (0, 1)
    """
    if count_layers(blocks) > MOST_LAYERS:
        found = f"{count_layers(blocks):,} layers"
        raise DrilldownError(Problem(place="network.layers", found=found, expected=f"at most {MOST_LAYERS:,}"))
    layout, scope = _Layout(image), _Scope()
    layout.add_blocks(blocks, ("network", "layers"), scope)
    shape = layout.shape
    if math.prod(shape) != classes or (len(shape) == 3 and shape[1:] != (1, 1)):
        raise DrilldownError(
            Problem(
                place=layout.position,
                found=f"the last layer gives {shape_text(shape)}",
                expected=f"{classes} logits, one per class ({shape_text((classes,))} or {shape_text((classes, 1, 1))})",
            )
        )
    if len(shape) == 3:
        layout.add_layer(Flatten(), scope)
    check_parameter_count(sum(step.parameters for step in layout.steps))
    check_parameter_count(sum(step.trained_parameters for step in layout.steps), "while it is trained")
    return layout.steps


@dataclass(slots=True)
class _Scope:
    """Where a layer is: it decides the layer's name."""

    prefix: str = ""
    """The beginning of the name."""
    own_prefix: str = ""
    """The same for what the passes of a shared `repeat` do not share."""
    numbers: Counter[str] = field(default_factory=Counter)
    """How often each word was used in this scope."""

    def name(self, word: str) -> str:
        """The word with its number."""
        self.numbers[word] += 1
        return f"{word}{self.numbers[word]}"

    def inside(self, name: str, own: str = "") -> _Scope:
        """The scope of a table or of a layer that stands for several."""
        return _Scope(f"{self.prefix}{name}.", f"{self.own_prefix}{name}.{own}")


class _Layout:
    """The steps so far, while blocks are added one after another."""

    def __init__(self, image: Shape) -> None:
        self.image, self.steps, self.position = image, list[PlacedLayer](), ""
        self.source = IMAGE
        self.first: dict[str, PlacedLayer] = {}

    @property
    def shape(self) -> Shape:
        return self.shape_of(self.source)

    def shape_of(self, source: int) -> Shape:
        return self.image if source == IMAGE else self.steps[source].output

    def add_blocks(self, blocks: Sequence[Block], path: Path, scope: _Scope) -> None:
        for index, block in enumerate(blocks):
            self.add_block(block, (*path, index), scope)

    def add_block(self, block: Block, path: Path, scope: _Scope) -> None:
        if isinstance(block, str):
            for layer in parse_block(block):
                self.position = f'{place_text(path)} "{block}"'
                with self._explained(layer):
                    if isinstance(layer, Linear) and self.shape[1:] == (1, 1):
                        self.add_layer(Flatten(), scope)
                    self.add_layer(layer, scope)
        elif "skip" in block:
            self._add_skip(block, path, scope)
        elif block.get("shared"):
            name = scope.name("repeat")
            for number in range(1, block["repeat"] + 1):
                self.add_blocks(block["layers"], (*path, "layers"), scope.inside(name, f"pass{number}."))
        else:
            for _ in range(block["repeat"]):
                self.add_blocks(block["layers"], (*path, "layers"), scope)

    def _add_skip(self, block: dict[str, Any], path: Path, scope: _Scope) -> None:
        start = self.source
        before = self.shape
        scope = scope.inside(scope.name("skip"))
        self.add_blocks(block["skip"], (*path, "skip"), scope)
        end, after = self.source, self.shape
        self.position = place_text((*path, "skip"))
        shortcut = start
        if after != before:
            projection = Conv(1, after[0], self._stride(start, end))
            if len(before) != 3 or len(after) != 3 or projection.output(before) != after:
                raise DrilldownError(
                    Problem(
                        place=self.position,
                        found=f"the blocks turn {shape_text(before)} into {shape_text(after)}",
                        expected="blocks that keep the size of the image, or divide it by their stride",
                        suggestion="use pad=same",
                    )
                )
            self.source = start
            with self._explained(projection):
                self.add_layer(projection, scope, name="projection")
            shortcut = self.source
        self._append(scope.own_prefix + "add", Add(), (end, shortcut))

    def _stride(self, start: int, end: int) -> int:
        """The stride of all steps between two outputs together; inside a skip, of its blocks."""
        stride = 1
        while end != start:
            stride *= self.steps[end].layer.window.stride
            end = self.steps[end].sources[0]
        return stride

    def add_layer(self, layer: Layer, scope: _Scope, name: str | None = None) -> None:
        """Adds a layer behind the last step; raises ShapeError."""
        name = name or scope.name(layer.word)
        parts = layer.parts(self.shape)
        if len(parts) > 1:
            inner = scope.inside(name)
            for part in parts:
                self.add_layer(part, inner)
            return
        shares = parts[0].parameters(self.shape) > 0 and not layer.own_weights
        self._append((scope.prefix if shares else scope.own_prefix) + name, parts[0], (self.source,))

    def _append(self, name: str, layer: Layer, sources: tuple[int, ...]) -> None:
        shape = self.shape_of(sources[0])
        placed = PlacedLayer(name, layer, shape, layer.output(shape), sources)
        first = self.first.setdefault(name, placed)
        if first is not placed:  # a later pass of a shared `repeat`
            if (first.layer, first.parameters) != (layer, layer.parameters(shape)):
                raise ShapeError(f"{shape_text(first.input)}, the shape of the first pass, whose weights it shares")
            placed = replace(placed, shared=True)
        self.source = len(self.steps)
        self.steps.append(placed)

    @contextlib.contextmanager
    def _explained(self, layer: Layer) -> Iterator[None]:
        shape = self.shape
        try:
            yield
        except ShapeError as error:
            found = f"{layer} gets {shape_text(shape)}"
            raise DrilldownError(Problem(place=self.position, found=found, expected=str(error))) from None


def place_text(path: Path) -> str:
    """Formats the keys and indices of a place.

    >>> place_text(("network", "layers", 2, "skip", 0))
    'network.layers[2].skip[0]'
    """
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def check_parameter_count(parameters: int, when: str = "") -> None:
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
                found=f"the network has {parameters:,} parameters {when}".rstrip(),
                expected=f"at most {LARGEST_NETWORK:,}: drilldown is for tiny networks",
            )
        )


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
