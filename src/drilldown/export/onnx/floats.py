"""Writes a graph as ONNX in floating point, with raw pixels as its input."""

from __future__ import annotations

import math

import numpy as np

from drilldown.export import graph
from drilldown.export.graph import Graph, Node
from drilldown.export.onnx.model import INPUT, OUTPUT, Model, blur, window
from drilldown.network.layout import IMAGE


def write_float_onnx(network: Graph, title: str) -> bytes:
    """Writes a graph as an ONNX model that maps raw pixels, uint8, to logits.

    *Raises* DrilldownError where the package onnx is not installed.
    """
    model = Model(title, network.image, network.classes)
    outputs = {IMAGE: model.add("Cast", [INPUT], "pixels", to=model.onnx.TensorProto.FLOAT)}
    for index, node in enumerate(network.nodes):
        inputs = [outputs[source] for source in node.sources]
        outputs[index] = _add(model, node, inputs, f"{index}.{node.name}")
    model.add("Flatten", [outputs[len(network.nodes) - 1]], OUTPUT, axis=1)
    return model.write()


def _add(model: Model, node: Node, inputs: list[str], name: str) -> str:
    match node:
        case graph.Conv():
            return _add_conv(model, node, inputs[0], name)
        case graph.Activation():
            return _add_activation(model, node, inputs[0], name)
        case graph.MaxPool():
            return model.add("MaxPool", inputs, name, kernel_shape=[node.size] * 2, **window(node))
        case graph.AvgPool():
            shape = [node.size] * 2
            return model.add("AveragePool", inputs, name, kernel_shape=shape, count_include_pad=1, **window(node))
        case graph.BlurPool():
            return blur(model, inputs[0], node, name)
        case graph.Mean():
            return model.add("GlobalAveragePool", inputs, name)
        case graph.Flatten():
            return model.add("Reshape", [*inputs, model.constant(f"{name}.shape", [0, *node.output], "int64")], name)
        case graph.Add():
            total = model.add("Add", inputs, f"{name}.sum" if node.relu else name)
            return model.add("Relu", [total], name) if node.relu else total
        case graph.GroupNorm():
            return _add_norm(model, node, inputs[0], name)
        case graph.Excitation():
            return _add_excitation(model, node, inputs[0], name)
    raise AssertionError(node.kind)


def _add_conv(model: Model, node: graph.Conv, source: str, name: str) -> str:
    bias = node.bias
    if node.padding is not None:  # ONNX pads with zeros only
        padding = model.constant(f"{name}.padding", node.padding.view(1, -1, 1, 1), "float32")
        source, bias = model.add("Sub", [source, padding], f"{name}.centred"), node.centred_bias
    inputs = [
        source,
        model.constant(f"{name}.weight", node.weight, "float32"),
        model.constant(f"{name}.bias", bias, "float32"),
    ]
    result = model.add(
        "Conv", inputs, f"{name}.sum" if node.relu else name, group=node.groups, dilations=[node.dilation] * 2,
        **window(node),
    )  # fmt: skip
    return model.add("Relu", [result], name) if node.relu else result


def _add_activation(model: Model, node: graph.Activation, source: str, name: str) -> str:
    match node.function:
        case "relu":
            return model.add("Relu", [source], name)
        case "leaky":
            return model.add("LeakyRelu", [source], name, alpha=node.slope)
        case "hardswish":
            return model.add("HardSwish", [source], name)
        case "silu":
            return model.add("Mul", [source, model.add("Sigmoid", [source], f"{name}.sigmoid")], name)
    assert node.function == "gelu"
    root, half, one = (
        model.constant(f"{name}.{key}", np.array(value), "float32")
        for key, value in (("root", math.sqrt(0.5)), ("half", 0.5), ("one", 1.0))
    )
    scaled = model.add("Mul", [source, root], f"{name}.scaled")
    doubled = model.add("Add", [model.add("Erf", [scaled], f"{name}.erf"), one], f"{name}.doubled")
    halved = model.add("Mul", [source, half], f"{name}.halved")
    return model.add("Mul", [halved, doubled], name)


def _add_norm(model: Model, node: graph.GroupNorm, source: str, name: str) -> str:
    grouped = model.constant(f"{name}.grouped", [0, node.groups, -1], "int64")
    shape = model.constant(f"{name}.shape", [0, *node.input], "int64")
    ones = model.constant(f"{name}.ones", np.ones(node.groups), "float32")
    zeros = model.constant(f"{name}.zeros", np.zeros(node.groups), "float32")
    groups = model.add("Reshape", [source, grouped], f"{name}.groups")
    normed = model.add("InstanceNormalization", [groups, ones, zeros], f"{name}.normed", epsilon=node.epsilon)
    image = model.add("Reshape", [normed, shape], f"{name}.image")
    weight = model.constant(f"{name}.weight", node.weight.view(1, -1, 1, 1), "float32")
    bias = model.constant(f"{name}.bias", node.bias.view(1, -1, 1, 1), "float32")
    return model.add("Add", [model.add("Mul", [image, weight], f"{name}.scaled"), bias], name)


def _add_excitation(model: Model, node: graph.Excitation, source: str, name: str) -> str:
    def linear(before: str, key: str) -> str:
        weight = getattr(node, key)[:, :, None, None]
        inputs = [
            model.constant(f"{name}.{key}.weight", weight, "float32"),
            model.constant(f"{name}.{key}.bias", getattr(node, f"{key}_bias"), "float32"),
        ]
        return model.add("Conv", [before, *inputs], f"{name}.{key}")

    hidden = linear(model.add("GlobalAveragePool", [source], f"{name}.means"), "squeeze")
    factors = linear(model.add("Relu", [hidden], f"{name}.hidden"), "excite")
    return model.add("Mul", [source, model.add("Sigmoid", [factors], f"{name}.factors")], name)
