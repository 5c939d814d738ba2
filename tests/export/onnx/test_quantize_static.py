"""The accuracy of our 8-bit integers beside that of onnxruntime's own post-training quantisation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from drilldown import Training, load
from drilldown.export.folding import fold
from drilldown.export.quantise import calibration_images, quantise

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static  # noqa: E402

from drilldown.export.onnx.floats import write_float_onnx  # noqa: E402
from drilldown.export.onnx.model import INPUT  # noqa: E402
from drilldown.export.onnx.running import run_onnx  # noqa: E402

ONE_EPOCH = ["recipe.dataset=glyphs", "recipe.epochs=1", "recipe.schedule={ name = \"constant\" }",
             'recipe.optimizer={ name = "sgd", lr = 0.05, momentum = 0.9 }']  # fmt: skip


class Images(CalibrationDataReader):  # type: ignore[misc]
    """Gives the images that the ranges are measured with."""

    def __init__(self, images: torch.Tensor) -> None:
        self.batches: Iterator[torch.Tensor] = iter(images.split(100))

    def get_next(self) -> dict[str, object] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch.numpy()}


@pytest.mark.slow
def test_our_integers_lose_no_more_than_those_of_onnxruntime(tmp_path: Path) -> None:
    training = Training(load("under-8k", ONE_EPOCH))
    list(training)
    experiment, dataset = training.experiment, training.dataset
    assert experiment.layout is not None
    graph = fold(experiment.layout, training.engine.model(), dataset.mean, dataset.std)
    calibration, split = calibration_images(dataset.train.images), dataset.test
    content = write_float_onnx(graph, "test")
    (tmp_path / "float.onnx").write_bytes(content)
    quantize_static(
        tmp_path / "float.onnx", tmp_path / "int8.onnx", Images(calibration), quant_format=QuantFormat.QDQ,
        per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    exact = run_onnx(content, split.images, optimise=True)
    theirs = run_onnx((tmp_path / "int8.onnx").read_bytes(), split.images, optimise=False)
    network = quantise(graph, calibration)
    ours = network.levels.value(network.logits(split.images))
    spread = float(exact.std())
    errors = [float((logits - exact).square().mean().sqrt()) / spread for logits in (ours, theirs)]
    correct = [int((logits.argmax(1) == split.labels).sum()) for logits in (exact, ours, theirs)]
    print(f"errors of the logits {errors}, correct {correct}: exact, ours, onnxruntime's")
    assert correct[0] > 0.5 * len(split)  # else the comparison would show little
    assert errors[0] <= 1.2 * errors[1], errors
    assert correct[1] >= correct[2] - 0.003 * len(split), correct
