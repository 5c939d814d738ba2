"""Writes a user's own module as ONNX, with the exporter of PyTorch."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from drilldown.errors import DrilldownError, Problem
from drilldown.evaluation.predictions import normalise_pixels
from drilldown.export.onnx.model import INPUT, OPSET, OUTPUT, need
from drilldown.network.layers import Shape
from drilldown.network.layout import prints_to_stderr


class _Normalised(nn.Module):
    """A network behind the normalisation of raw pixels."""

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network, self.mean, self.std = network, mean, std

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(normalise_pixels(images.float(), self.mean, self.std))
        return logits


def write_module_onnx(
    network: nn.Module, title: str, image: tuple[Shape, int], mean: Sequence[float], std: Sequence[float]
) -> bytes:
    """Writes a module as an ONNX model that maps raw pixels, uint8, to logits.

    *Raises* DrilldownError where the package onnx is not installed, or where PyTorch cannot export the module.
    """
    onnx = need("onnx")
    images = torch.zeros(2, *image[0], dtype=torch.uint8)
    try:
        with (
            tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), prints_to_stderr(), torch.no_grad(),
        ):  # fmt: skip
            warnings.simplefilter("ignore")  # about the older of two exporters: the newer one needs a further package
            file = Path(folder) / "net.onnx"
            torch.onnx.export(
                _Normalised(network, mean, std).eval(), (images,), file, input_names=[INPUT], output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "N"}, OUTPUT: {0: "N"}}, opset_version=OPSET, dynamo=False,
            )  # fmt: skip
            model = onnx.load_model(file)
    except Exception as error:  # noqa: BLE001 - the exporter calls code of the user
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DrilldownError(
            Problem(place="--to onnx", found=f"PyTorch cannot export the network ({reason})")
        ) from None
    model.graph.doc_string = title
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
