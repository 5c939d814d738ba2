"""Describes a network to the C++ part: each layer of the notation as one or more entries of a list of numbers.

To add a layer, write its entry and name the function in ENTRIES. network.hpp has the other side of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from drilldown.engines.native.library import LayerSpec
from drilldown.network.layers import (
    AvgPool,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    ReLU,
)
from drilldown.network.layout import PlacedLayer

KINDS = (
    "conv", "norm", "relu", "max_pool", "average_pool", "global_average", "dropout", "flatten", "linear", "leaky",
    "prelu", "silu", "gelu", "gelu_tanh", "hard_swish", "channel_dropout", "sum",
)  # fmt: skip
"""In the order of Spec::Kind in network.hpp."""
IMAGE = -1
OWN = -1
"""In the place of an entry whose weights are shared: the weights are its own."""

Entry = dict[str, Any]
"""The numbers of an entry by the fields of LayerSpec, and its kind by its name; what is missing is 0."""


def _conv(layer: Conv) -> Entry:
    return {
        "kind": "conv", "out": layer.out, "kernel": layer.kernel, "stride": layer.stride, "pad": layer.pad,
        "dilation": 1, "groups": layer.groups, "bias": layer.bias,
    }  # fmt: skip


def _pool(kind: str) -> Callable[[Any], Entry]:
    return lambda layer: {"kind": kind, "kernel": layer.size, "stride": layer.size, "pad": 0}


def _plain(kind: str) -> Callable[[Any], Entry]:
    return lambda _: {"kind": kind}


ENTRIES: dict[type[Layer], Callable[[Any], Entry]] = {
    Conv: _conv,
    BatchNorm: lambda layer: {"kind": "norm", "scaled": 1},
    ReLU: _plain("relu"),
    MaxPool: _pool("max_pool"),
    AvgPool: _pool("average_pool"),
    GlobalAveragePool: _plain("global_average"),
    Dropout: lambda layer: {"kind": "dropout", "number": layer.probability},
    Flatten: _plain("flatten"),
    Linear: lambda layer: {"kind": "linear", "out": layer.out},
}


def describe(layout):
    specs = []
    for i, item in enumerate(layout):
        e = ENTRIES[type(item.layer)](item.layer)
        e["kind"] = KINDS.index(e["kind"])
        specs.append(LayerSpec(**e, input=i - 1, other=-1, shares=-1))
    return specs
