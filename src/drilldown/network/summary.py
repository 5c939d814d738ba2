"""What a network is made of: layer by layer, shapes, parameters, multiply-adds, receptive field, memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from drilldown.network.layers import BatchNorm, Dropout, GlobalAveragePool, Linear, ReLU, Shape
from drilldown.network.layout import PlacedLayer, evaluation_mode

FLOAT_BYTES = 4
ELEMENTWISE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU, nn.Dropout)
"""Modules that can overwrite their input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One layer of the table."""

    name: str
    """The module's name in the network's state."""
    layer: str
    """The layer in block notation, or its PyTorch class."""
    output: Shape
    parameters: int
    multiply_adds: int
    """For one image."""
    receptive_field: int | None
    """Side, in input pixels, of what one output sees; None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """The layer table of a network, with its totals."""

    layers: tuple[LayerRow, ...]
    parameters: int
    peak_activation_bytes: int
    """The most that input and output of one layer take together, for one image in float32; layers that work
    element by element (bn, relu, dropout) overwrite their input."""

    @property
    def multiply_adds(self) -> int:
        """Of the whole network, for one image."""
        return sum(row.multiply_adds for row in self.layers)

    @property
    def receptive_field(self) -> int | None:
        """Of the logits."""
        return self.layers[-1].receptive_field if self.layers else None

    @property
    def weight_bytes(self) -> int:
        """The parameters in float32."""
        return self.parameters * FLOAT_BYTES

    def to_json(self) -> dict[str, object]:
        """The document that `drilldown summary --json` prints."""
        return {
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "receptive_field": self.receptive_field,
            "weight_bytes": self.weight_bytes,
            "peak_activation_bytes": self.peak_activation_bytes,
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
    """The model_summary of a network in block notation, from its layers alone.

    The receptive field follows Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural
    Networks", 2019: r ← r + (k − 1)·j and j ← j·s for a window of side k and stride s. Padding counts as image.
    """
    rows = []
    field, jump = 1, 1
    side = 1  # of the image that was last flattened or pooled away
    for item in placed:
        kernel, stride = item.layer.window
        if isinstance(item.layer, GlobalAveragePool):
            kernel = max(item.input[1:])
        elif isinstance(item.layer, Linear):
            kernel, side = side, 1
        elif len(item.input) == 3 and len(item.output) == 1:  # flatten: `linear` is what sees all of it
            side = max(item.input[1:])
        field, jump = field + (kernel - 1) * jump, jump * stride
        rows.append(
            LayerRow(
                name=item.name,
                layer=str(item.layer),
                output=item.output,
                parameters=item.parameters,
                multiply_adds=item.multiply_adds,
                receptive_field=field,
            )
        )
    peak = max(
        math.prod(item.input) + (0 if isinstance(item.layer, BatchNorm | ReLU | Dropout) else math.prod(item.output))
        for item in placed
    )
    return ModelSummary(
        layers=tuple(rows),
        parameters=sum(row.parameters for row in rows),
        peak_activation_bytes=peak * FLOAT_BYTES,
    )


def summarise_module(network: nn.Module, image: Shape) -> ModelSummary:
    """The model_summary of any module, seen in one forward pass of a blank image.

    Parameters are those of the module, each counted once even where layers share it; receptive fields are not
    known, since a module may route its data as it likes.
    """
    rows: list[LayerRow] = []
    peak = 0
    seen: set[int] = set()

    def note(name: str, module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        nonlocal peak
        if not isinstance(output, torch.Tensor):
            return
        own = [p for p in module.parameters(recurse=False) if p.requires_grad]
        fresh = {id(p): p.numel() for p in own if id(p) not in seen}
        seen.update(fresh)
        taken = sum(tensor.numel() for tensor in inputs if isinstance(tensor, torch.Tensor))
        peak = max(peak, taken + (0 if isinstance(module, ELEMENTWISE) else output.numel()))
        rows.append(
            LayerRow(
                name=name,
                layer=type(module).__name__,
                output=tuple(output.shape[1:]),
                parameters=sum(fresh.values()),
                multiply_adds=_multiply_adds(module, output),
                receptive_field=None,
            )
        )

    hooks = [
        module.register_forward_hook(lambda m, i, o, name=name: note(name, m, i, o))
        for name, module in network.named_modules()
        if not list(module.children())
    ]
    try:
        with torch.no_grad(), evaluation_mode(network):
            network(torch.zeros(1, *image))
    finally:
        for hook in hooks:
            hook.remove()
    return ModelSummary(
        layers=tuple(rows),
        parameters=sum(p.numel() for p in network.parameters() if p.requires_grad),
        peak_activation_bytes=peak * FLOAT_BYTES,
    )


def _multiply_adds(module: nn.Module, output: torch.Tensor) -> int:
    if isinstance(module, nn.Conv2d):
        return output.numel() * module.in_channels // module.groups * math.prod(module.kernel_size)
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    return 0
