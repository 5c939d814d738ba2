"""Puts an ONNX model together, node by node."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch

from drilldown.errors import DrilldownError, Problem

OPSET = 17
IR_VERSION = 8
"""The version of the file format that goes with this opset; onnxruntime reads all versions up to its own."""
INPUT, OUTPUT = "image", "logits"
"""The names of the model's input, uint8 (N, channels, height, width), and output, float32 (N, classes)."""


def need(name: str) -> ModuleType:
    """Imports onnx or onnxruntime; raises DrilldownError where the package is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DrilldownError(
            Problem(
                found=f"the package {name} is not installed",
                suggestion='install it with: pip install "drilldown[export]", or export --to c,c-int8',
            )
        ) from None


class Model:
    """An ONNX model that is being made."""

    def __init__(self, title: str, image: Sequence[int], classes: int) -> None:
        self.onnx = need("onnx")
        self.title, self.image, self.classes = title, image, classes
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def add(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Adds a node with one output, and returns the output's name."""
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: torch.Tensor | np.ndarray[Any, Any] | Sequence[int], kind: str) -> str:
        """Adds a constant of a NumPy type, and returns its name."""
        array = np.asarray(values.detach() if isinstance(values, torch.Tensor) else values).astype(kind)
        self.constants[name] = self.onnx.numpy_helper.from_array(array, name)
        return name

    def write(self) -> bytes:
        """The model as the bytes of a file, checked by onnx."""
        helper, types = self.onnx.helper, self.onnx.TensorProto
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(INPUT, types.UINT8, ["N", *self.image])],
            [helper.make_tensor_value_info(OUTPUT, types.FLOAT, ["N", self.classes])],
            list(self.constants.values()),
            doc_string=self.title,
        )
        model = helper.make_model(
            graph, producer_name="drilldown", ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
        )
        self.onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def window(node: Any) -> dict[str, Any]:
    """The attributes of a window that the operators of convolutions and poolings share."""
    return {"strides": [node.stride] * 2, "pads": [node.pad] * 4}


def blur(model: Model, source: str, node: Any, name: str) -> str:
    """Adds a blur of numbers in floating point."""
    row = np.array(node.row) / 2 ** (node.size - 1)
    channels, half = node.input[0], node.size // 2
    kernel = np.broadcast_to(np.outer(row, row), (channels, 1, node.size, node.size))
    pads = model.constant(f"{name}.pads", [0, 0, half, half] * 2, "int64")
    mirrored = model.add("Pad", [source, pads], f"{name}.mirrored", mode="reflect")
    weights = model.constant(f"{name}.weight", kernel, "float32")
    return model.add("Conv", [mirrored, weights], f"{name}.blurred", strides=[node.stride] * 2, group=channels)
