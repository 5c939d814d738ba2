"""ONNX models: valid, and with the logits of the network in floating point and in integers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.export.quantise import quantise
from support.exports import folded, int8_networks, random_images
from support.networks import CLASSES, networks

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from drilldown.export.onnx.floats import write_float_onnx  # noqa: E402
from drilldown.export.onnx.integers import write_int8_onnx  # noqa: E402
from drilldown.export.onnx.running import run_onnx  # noqa: E402


@pytest.mark.parametrize("optimise", [False, True])
@settings(max_examples=20, deadline=None)
@given(network=networks(most=6, channels=4), seed=st.integers(0, 999))
def test_a_float_model_gives_the_logits_of_the_network(optimise, network, seed) -> None:
    blocks, image = network
    graph = folded(blocks, image, CLASSES, seed)
    images = random_images(5, image, seed)[2:]  # a norm of an image of one colour magnifies what rounding leaves
    content = write_float_onnx(graph, "test")
    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    wanted = graph.logits(images.double())
    scale = 1 + max(float(output.abs().max()) for output in graph.calculate(images.double()))
    assert float((run_onnx(content, images, optimise=optimise) - wanted).abs().max()) < 1e-4 * scale


@settings(max_examples=30, deadline=None)
@given(network=int8_networks(), seed=st.integers(0, 999))
def test_an_int8_model_gives_nearly_the_integers_of_the_reference(network, seed) -> None:
    blocks, image = network
    graph = folded(blocks, image, CLASSES, seed)
    images = random_images(40, image, seed)
    integers = quantise(graph, images[:20])
    content = write_int8_onnx(integers, "test")
    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    wanted = integers.levels.value(integers.logits(images))
    found = run_onnx(content, images, optimise=False)
    # A number at the middle between two steps may be rounded otherwise, and later layers multiply the difference.
    error = (found - wanted).abs().median()
    assert float(error) <= 0.02 * float(wanted.max() - wanted.min()) + 1e-6
