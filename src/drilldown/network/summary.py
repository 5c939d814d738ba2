"""The layer table of a network: shapes, parameters, multiply-adds, receptive field and memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from drilldown.network.layers import Shape
from drilldown.network.layout import IMAGE, PlacedLayer, call_network, evaluation_mode
from drilldown.network.module_notices import module_notices
from drilldown.network.receptive_field import first_tensor, measure_receptive_fields

FLOAT_BYTES = 4
ELEMENTWISE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU, nn.Dropout)
"""The PyTorch modules that can overwrite their input, as `Layer.overwrites` layers of the notation can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One row of the layer table."""

    name: str
    """The module's name in the network's `state_dict`."""
    layer: str
    """The layer in block notation, or its PyTorch class."""
    output: Shape
    """The output's shape, without the batch dimension."""
    parameters: int
    """The number of trainable parameters."""
    multiply_adds: int
    """The number of multiply-adds for one image."""
    receptive_field: int | None
    """The side, in input pixels, of the square that one output depends on; None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """The layer table of a network, with its totals."""

    layers: tuple[LayerRow, ...]
    """The rows in the order of the layers."""
    parameters: int
    """The number of trainable parameters of the whole network."""
    peak_activation_bytes: int
    """The largest memory of a layer's input and output together, in bytes, for one image in float32; elementwise layers
    (bn, relu, dropout) overwrite their input."""
    notices: tuple[str, ...] = ()
    """Doubts about a user's module, as sentences."""

    @property
    def multiply_adds(self) -> int:
        """The number of multiply-adds of the whole network, for one image."""
        return sum(row.multiply_adds for row in self.layers)

    @property
    def receptive_field(self) -> int | None:
        """The receptive field of the logits, in input pixels; None where it is not known."""
        return self.layers[-1].receptive_field if self.layers else None

    @property
    def weight_bytes(self) -> int:
        """The memory of the parameters in float32, in bytes."""
        return self.parameters * FLOAT_BYTES

    def to_json(self) -> dict[str, Any]:
        """Returns the document that `drilldown summary --json` prints."""
        return {
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "receptive_field": self.receptive_field,
            "weight_bytes": self.weight_bytes,
            "peak_activation_bytes": self.peak_activation_bytes,
            "notices": list(self.notices),
            "layers": [
                {
                    "name": row.name,
                    "layer": row.layer,
                    "output": list(row.output),
                    "parameters": row.parameters,
                    "multiply_adds": row.multiply_adds,
                    "receptive_field": row.receptive_field,
                }
                for row in self.layers
            ],
        }


def summarise_layers(placed: Sequence[PlacedLayer]) -> ModelSummary:
    """Summarises a network in block notation, from its layers alone.

    Padding counts as part of the image.

    *Source*: receptive fields follow Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural
    Networks", 2019: r ← r + (k − 1)·j and j ← j·s for a window of side k and stride s.

    >>> from drilldown.network.layout import lay_out
    >>> summary = summarise_layers(lay_out(["conv 3x3 8, relu", "gap", "linear 10"], (1, 28, 28), 10))
    >>> summary.parameters, summary.multiply_adds, summary.receptive_field
    (162, 48752, 28)
    """
    rows = []
    reaches: list[_Reach] = []
    for item in placed:
        inputs = [_Reach(max(item.input[1:], default=1)) if s == IMAGE else reaches[s] for s in item.sources]
        reaches.append(_reach_of(item, inputs))
        rows.append(
            LayerRow(
                name=item.name,
                layer=str(item.layer),
                output=item.output,
                parameters=item.parameters,
                multiply_adds=item.multiply_adds,
                receptive_field=reaches[-1].size,
            )
        )
    return ModelSummary(
        layers=tuple(rows),
        parameters=sum(row.parameters for row in rows),
        peak_activation_bytes=_peak_numbers(placed) * FLOAT_BYTES,
    )


@dataclass(frozen=True, slots=True)
class _Reach:
    """The pixels that the outputs of a step depend on, along the longer side of the image.

    Output i, of `side` outputs, depends on the pixels `low` + i·`jump` to `high` + i·`jump`.
    """

    side: int
    low: int = 0
    high: int = 0
    jump: int = 1

    @property
    def size(self) -> int:
        """The number of pixels that one output depends on."""
        return self.high - self.low + 1

    @property
    def last(self) -> int:
        """The last pixel that any output depends on."""
        return self.high + (self.side - 1) * self.jump


def _reach_of(item: PlacedLayer, inputs: Sequence[_Reach]) -> _Reach:
    reach = inputs[0]
    for other in inputs[1:]:
        low, high, jump = min(reach.low, other.low), max(reach.high, other.high), reach.jump
        if other.jump != jump:  # one of them depends on the whole image
            high, jump = max(reach.last, other.last), 0
        reach = replace(reach, low=low, high=high, jump=jump)
    # A flat output still has the side of the image: the next `linear` depends on all its places.
    side = max(item.output[1:], default=1 if item.layer.whole else reach.side)
    if item.layer.whole:
        return _Reach(side, reach.low, reach.last, 0)
    window = item.layer.window
    low = reach.low - window.pad * reach.jump
    return _Reach(side, low, low + reach.high - reach.low + (window.side - 1) * reach.jump, reach.jump * window.stride)


def _peak_numbers(placed: Sequence[PlacedLayer]) -> int:
    """The largest count of numbers that lie in memory while one step is calculated."""
    last = {source: index for index, item in enumerate(placed) for source in item.sources}
    waiting: dict[int, int] = {}  # the sizes of earlier outputs that a later step takes
    peak = 0
    for index, item in enumerate(placed):
        for source in item.sources:
            waiting[source] = math.prod(item.input)
        output = 0 if item.layer.overwrites and last[item.sources[0]] == index else math.prod(item.output)
        peak = max(peak, sum(waiting.values()) + output)
        waiting = {source: size for source, size in waiting.items() if last[source] > index}
    return peak


def summarise_module(network: nn.Module, image: Shape) -> ModelSummary:
    """Summarises any module by one forward pass of a blank image.

    A parameter that several layers share is counted once. Receptive fields are measured, because a module can connect
    its layers in any way: see `drilldown.network.receptive_field`.

    *Arguments*: `image`: the shape of an image, (channels, height, width).
    """
    rows: list[LayerRow] = []
    leaves: list[nn.Module] = []
    peak = 0
    seen: set[int] = set()

    def add_row(name: str, module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        nonlocal peak
        output = first_tensor(output)
        if output is None:
            return
        leaves.append(module)
        own = [p for p in module.parameters(recurse=False) if p.requires_grad]
        new = {id(p): p.numel() for p in own if id(p) not in seen}
        seen.update(new)
        input_size = sum(tensor.numel() for tensor in inputs if isinstance(tensor, torch.Tensor))
        peak = max(peak, input_size + (0 if isinstance(module, ELEMENTWISE) else output.numel()))
        rows.append(
            LayerRow(
                name=name,
                layer=type(module).__name__,
                output=tuple(output.shape[1:]),
                parameters=sum(new.values()),
                multiply_adds=_multiply_adds(module, output),
                receptive_field=None,
            )
        )

    hooks = [
        module.register_forward_hook(lambda m, i, o, name=name: add_row(name, m, i, o))
        for name, module in network.named_modules()
        if not list(module.children())
    ]
    try:
        with torch.no_grad(), evaluation_mode(network):
            call_network(network, torch.zeros(1, *image))
    finally:
        for hook in hooks:
            hook.remove()
    fields = measure_receptive_fields(network, leaves, image, sum(row.multiply_adds for row in rows))
    return ModelSummary(
        layers=tuple(replace(row, receptive_field=field) for row, field in zip(rows, fields, strict=True)),
        parameters=sum(p.numel() for p in network.parameters() if p.requires_grad),
        peak_activation_bytes=peak * FLOAT_BYTES,
        notices=tuple(module_notices(network, image)),
    )


def _multiply_adds(module: nn.Module, output: torch.Tensor) -> int:
    if isinstance(module, nn.Conv2d):
        return output.numel() * module.in_channels // module.groups * math.prod(module.kernel_size)
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    return 0
