"""Writes an int8 network as ONNX, with nodes that quantise and dequantise (QDQ), from the same integers as the C code.

The calculation between two quantisations is in floating point, or in what a runtime puts in its place. So it agrees
with the C code in nearly all images, not bit by bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from drilldown.export.integer import (
    IntegerAdd,
    IntegerAvgPool,
    IntegerBlurPool,
    IntegerConv,
    IntegerFlatten,
    IntegerGraph,
    IntegerMaxPool,
    IntegerMean,
    IntegerNode,
    Levels,
    Table,
)
from drilldown.export.onnx.model import INPUT, OUTPUT, Model, blur, window
from drilldown.network.layout import IMAGE

WEIGHT_ZERO = 128
"""The weights are stored without sign. Of signed ones, onnxruntime adds two products in 16 bits on processors with AVX2
alone, where they overflow: then 12 of the flagship's 10,000 predictions differ, and in this form none."""


def write_int8_onnx(network: IntegerGraph, title: str) -> bytes:
    """Writes an int8 network as an ONNX model that maps raw pixels, uint8, to logits in floating point.

    *Raises* DrilldownError where the package onnx is not installed.
    """
    writer = _Writer(network, title)
    for index, node in enumerate(network.nodes):
        writer.outputs[index] = writer.add(node, f"{index}.{node.name}")
    last = len(network.nodes) - 1
    writer.model.add("Flatten", [writer.real(last, "last")], OUTPUT, axis=1)
    return writer.model.write()


class _Writer:
    """The model so far, and where the outputs of the nodes are."""

    def __init__(self, network: IntegerGraph, title: str) -> None:
        self.network, self.model = network, Model(title, network.image, network.classes)
        self.outputs = {IMAGE: INPUT}
        self.is_real: set[str] = set()
        """The outputs in floating point; all others are uint8."""

    def levels(self, source: int) -> Levels:
        return Levels(1.0) if source == IMAGE else self.network.nodes[source].levels

    def real(self, source: int, name: str, zeros: torch.Tensor | None = None) -> str:
        """The output of a node in floating point.

        *Arguments*: `zeros`: the zero of each channel, where it is not that of the node's levels.
        """
        output, levels = self.outputs[source], self.levels(source)
        if output in self.is_real:
            return output
        if zeros is not None and len(set(zeros.tolist())) > 1:
            scale = self.model.constant(f"{name}.in.scale", np.full(len(zeros), levels.scale), "float32")
            zero = self.model.constant(f"{name}.in.zero", zeros, "uint8")
            return self.model.add("DequantizeLinear", [output, scale, zero], f"{name}.in.real", axis=1)
        number = levels.zero if zeros is None else int(zeros[0])
        return self.model.add("DequantizeLinear", [output, *self._scale(levels, number, f"{name}.in")], f"{name}.real")

    def _scale(self, levels: Levels, zero: int, name: str) -> list[str]:
        return [
            self.model.constant(f"{name}.scale", np.array(levels.scale), "float32"),
            self.model.constant(f"{name}.zero", np.array(zero), "uint8"),
        ]

    def quantised(self, real: str, levels: Levels, name: str) -> str:
        """Adds the quantisation of an output."""
        return self.model.add("QuantizeLinear", [real, *self._scale(levels, levels.zero, f"{name}.out")], name)

    def _lifted(self, means: str, levels: Levels, count: int, name: str) -> str:
        """Adds a quarter of the least difference of two means, so that a half is rounded up, as in C.

        ONNX rounds a half to the even integer, and of means, every few are halves.
        """
        least = self.model.constant(f"{name}.least", np.array(levels.scale / count / 4), "float32")
        return self.model.add("Add", [means, least], f"{name}.lifted")

    def kept_real(self, output: str) -> str:
        """Remembers that an output is in floating point."""
        self.is_real.add(output)
        return output

    def add(self, node: IntegerNode, name: str) -> str:
        """Adds a node, and returns the name of its output."""
        model, source = self.model, node.sources[0]
        inputs = [self.outputs[index] for index in node.sources]
        match node:
            case IntegerConv():
                real = self._conv(node, name)
                return self.kept_real(real) if node.multiplier is None else self.quantised(real, node.levels, name)
            case Table():
                table = model.constant(f"{name}.table", node.table, "uint8")
                index = model.add("Cast", inputs, f"{name}.index", to=model.onnx.TensorProto.INT32)
                return model.add("Gather", [table, index], name)
            case IntegerMaxPool():
                return model.add("MaxPool", inputs, name, kernel_shape=[node.size] * 2, **window(node))
            case IntegerAvgPool():
                means = model.add(
                    "AveragePool", [self.real(source, name)], f"{name}.mean", kernel_shape=[node.size] * 2,
                    count_include_pad=1, **window(node),
                )  # fmt: skip
                return self.quantised(self._lifted(means, node.levels, node.size**2, name), node.levels, name)
            case IntegerBlurPool():
                means = blur(model, self.real(source, name), node, name)
                return self.quantised(self._lifted(means, node.levels, 4 ** (node.size - 1), name), node.levels, name)
            case IntegerMean():
                means = model.add("GlobalAveragePool", [self.real(source, name)], f"{name}.mean")
                if node.is_sum:
                    return self.kept_real(means)
                count = node.input[1] * node.input[2]
                return self.quantised(self._lifted(means, node.levels, count, name), node.levels, name)
            case IntegerFlatten():
                return model.add("Reshape", [*inputs, model.constant(f"{name}.to", [0, *node.output], "int64")], name)
            case IntegerAdd():
                one, other = (self.real(index, f"{name}.{place}") for place, index in enumerate(node.sources))
                return self.quantised(model.add("Add", [one, other], f"{name}.sum"), node.levels, name)
        raise AssertionError(node.kind)

    def _conv(self, node: IntegerConv, name: str) -> str:
        """Adds a convolution without the quantisation of its output; a relu is part of that: its zero is 0."""
        model, source, bias = self.model, node.sources[0], node.real_bias.long()
        zeros = None
        if source == IMAGE and node.pad:  # pixels outside of the image are the zeros of their channels
            zeros, bias = node.padding, bias + node.padding_sums
        weight: list[Any] = [
            model.constant(f"{name}.weight", node.weight.long() + WEIGHT_ZERO, "uint8"),
            model.constant(f"{name}.weight.scale", node.weight_scale, "float32"),
            model.constant(f"{name}.weight.zero", np.full(len(node.weight), WEIGHT_ZERO), "uint8"),
        ]
        scale = node.weight_scale * self.levels(source).scale
        biases = [
            model.constant(f"{name}.bias", bias, "int32"),
            model.constant(f"{name}.bias.scale", scale, "float32"),
        ]
        inputs = [
            self.real(source, name, zeros),
            model.add("DequantizeLinear", weight, f"{name}.weight.real", axis=0),
            model.add("DequantizeLinear", biases, f"{name}.bias.real", axis=0),
        ]
        return model.add(
            "Conv", inputs, f"{name}.sum", group=node.groups, dilations=[node.dilation] * 2, **window(node)
        )
