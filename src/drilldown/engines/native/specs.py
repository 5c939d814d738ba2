"""Describes a network to the C++ part: each layer of the notation as one or more entries of a list of numbers.

To add a layer, write its entries and name the function in ENTRIES. network.hpp has the other side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drilldown.engines.native.library import LayerSpec
from drilldown.network.layers import (
    GELU,
    Add,
    AvgPool,
    BatchNorm,
    Conv,
    Dropout,
    Dropout2d,
    Flatten,
    GlobalAveragePool,
    Hardswish,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool,
    PReLU,
    ReLU,
    Shape,
    SiLU,
)
from drilldown.network.layout import IMAGE, PlacedLayer
from drilldown.network.rounding import Rounding

KINDS = (
    "CONV", "NORM", "RELU", "MAX_POOL", "AVERAGE_POOL", "GLOBAL_AVERAGE", "DROPOUT", "FLATTEN", "LINEAR", "LEAKY",
    "PRELU", "SILU", "GELU", "HARD_SWISH", "CHANNEL_DROPOUT", "SUM",
)  # fmt: skip
"""In the order of Spec::Kind in network.hpp."""
NONE = -1
"""In the place of a second input, or of an entry whose weights are shared."""

Entry = dict[str, Any]
"""The fields of a LayerSpec that are not 0; of the kind, its name."""


def _conv(layer: Conv, shape: Shape) -> list[Entry]:
    middle = {"kernel": layer.kernel, "stride": layer.stride, "pad": layer.pad, "dilation": layer.dilation}
    if layer.expand == 1:
        return [{"kind": "CONV", "out": layer.out, "groups": layer.groups, "bias": layer.bias, **middle}]
    one = {"kind": "CONV", "kernel": 1, "stride": 1, "dilation": 1, "groups": 1}
    return [
        {**one, "out": layer.expand * shape[0]},
        {**one, "out": layer.expand * layer.out, **middle},
        {**one, "out": layer.out, "bias": layer.bias},
    ]


def _pool(kind: str) -> Callable[[Any, Shape], list[Entry]]:
    return lambda layer, _: [{"kind": kind, "kernel": layer.size, "stride": layer.stride, "pad": layer.pad}]


def _plain(kind: str) -> Callable[[Any, Shape], list[Entry]]:
    return lambda *_: [{"kind": kind}]


ENTRIES: dict[type[Layer], Callable[[Any, Shape], list[Entry]]] = {
    Add: _plain("SUM"),
    AvgPool: _pool("AVERAGE_POOL"),
    BatchNorm: lambda layer, _: [{"kind": "NORM", "scaled": layer.scale}],
    Conv: _conv,
    Dropout: lambda layer, _: [{"kind": "DROPOUT", "number": layer.probability}],
    Dropout2d: lambda layer, _: [{"kind": "CHANNEL_DROPOUT", "number": layer.probability}],
    Flatten: _plain("FLATTEN"),
    GELU: _plain("GELU"),
    GlobalAveragePool: _plain("GLOBAL_AVERAGE"),
    Hardswish: _plain("HARD_SWISH"),
    LeakyReLU: lambda layer, _: [{"kind": "LEAKY", "number": layer.slope}],
    Linear: lambda layer, _: [{"kind": "LINEAR", "out": layer.out}],
    MaxPool: _pool("MAX_POOL"),
    PReLU: _plain("PRELU"),
    ReLU: _plain("RELU"),
    SiLU: _plain("SILU"),
}
"""The entries of each layer that the engine has, from the layer and the shape of its input."""


def why_no_entry(item: PlacedLayer) -> str | None:
    """The reason why the engine cannot calculate a layer, as a phrase; None where it can."""
    return None if type(item.layer) in ENTRIES else f"it has no {item.layer.word}"


@dataclass(frozen=True, slots=True)
class Description:
    """The list of numbers of a network."""

    specs: list[LayerSpec]
    steps: list[int]
    """For each entry the index of the step of the layout that it belongs to."""


def describe(layout: Sequence[PlacedLayer], roundings: Mapping[str, Rounding] | None = None) -> Description:
    """Lists the entries of a network.

    *Arguments*: `layout`: layers for which `why_no_entry` returns None. `roundings`: of the
    weights, by the name of the layer.

    >>> from drilldown.network.layout import lay_out
    >>> found = describe(lay_out([{"skip": ["conv 3x3 8 pad=same expand=2"]}, "gap, linear 10"], (1, 28, 28), 10))
    >>> [(KINDS[spec.kind], spec.input, spec.other) for spec in found.specs[:5]]
    [('CONV', -1, -1), ('CONV', 0, -1), ('CONV', 1, -1), ('CONV', -1, -1), ('SUM', 2, 3)]
    >>> found.steps
    [0, 0, 0, 1, 2, 3, 4, 5]
    """
    specs: list[LayerSpec] = []
    steps: list[int] = []
    firsts: dict[str, int] = {}
    """The first entry of the first layer of each name."""
    lasts = {IMAGE: IMAGE}
    """The last entry of each step."""
    for step, item in enumerate(layout):
        source, *others = (lasts[index] for index in item.sources)
        first = firsts.setdefault(item.name, len(specs))
        rounding = (roundings or {}).get(item.name)
        rounded = {} if rounding is None else {"bits": rounding.bits, "one_step": rounding.one_step}
        for part, entry in enumerate(ENTRIES[type(item.layer)](item.layer, item.input)):
            specs.append(
                LayerSpec(
                    **{**entry, **rounded, "kind": KINDS.index(entry["kind"])}, input=source,
                    other=others[0] if others else NONE, shares=first + part if item.shared else NONE,
                )
            )  # fmt: skip
            steps.append(step)
            source = len(specs) - 1
        lasts[step] = source
    return Description(specs, steps)
