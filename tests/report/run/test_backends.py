"""One contract, four backends: PyTorch, the page's own JavaScript, C and ONNX agree on random networks.

The truth is PyTorch in float64. In floating point, all others agree with it within the tolerance of the export's
check; C with integers agrees with their reference to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from drilldown.experiment.experiment import Experiment
from drilldown.experiment.network import Network
from drilldown.export.c.compiling import compile_program, run_program
from drilldown.export.c.writing import write_program
from drilldown.export.check import TOLERANCE
from drilldown.export.folding import fold
from drilldown.export.graph import Graph
from drilldown.export.integer import IntegerGraph
from drilldown.export.quantise import quantise, why_no_int8
from drilldown.network.blocks import Block
from drilldown.report.page import build_page
from drilldown.report.run.embedded import embed_network
from support.browser import Open, base64_text
from support.exports import EVERY_LAYER, HEADS, STRICT, need_program, normalisation, random_images, trained
from support.networks import CLASSES, networks

pytest.importorskip("onnxruntime")

from drilldown.export.onnx.floats import write_float_onnx
from drilldown.export.onnx.running import run_onnx

LOGITS = """([network, text, count]) => {
    const read = readNetwork(network), images = bytesOf(text), size = images.length / count;
    return Array.from({ length: count }, (_, n) => {
        return [...forward(read, images.subarray(n * size, (n + 1) * size)).at(-1).values];
    });
}"""
few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
many = settings(few, max_examples=100)


@pytest.fixture
def page(open_page: Open) -> Page:
    """A page with the JavaScript that runs networks."""
    need_program("gcc", "gcc")
    return open_page(build_page("base.html.j2", scripts=["network.js"], data={})).page


def logits_of_c(network: Graph | IntegerGraph, images: torch.Tensor, folder: Path) -> torch.Tensor:
    program = write_program(network, "test")
    program.write(folder)
    compiled = compile_program(program.name, folder, folder, compiler=["gcc"], flags=STRICT)
    return run_program(compiled, images, CLASSES, is_float=isinstance(network, Graph))


def check(blocks: Sequence[Block], image: tuple[int, int, int], seed: int, page: Page, folder: Path) -> None:
    experiment = Experiment(title="contract", network=Network(layers=tuple(blocks)))
    experiment.__dict__["image"] = (image, CLASSES)  # in place of a dataset of such images
    assert experiment.layout is not None
    network, (mean, deviation) = trained(experiment.layout, seed), normalisation(image[0])
    images = random_images(5, image, seed)[2:]  # a norm of an image of one colour magnifies what rounding leaves
    means, deviations = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (mean, deviation))
    with torch.no_grad():
        wanted = network((images.double() / 255 - means) / deviations)
    graph = fold(experiment.layout, network, mean, deviation)
    document = embed_network(experiment, network.state_dict(), mean, deviation)
    text = base64_text(images.contiguous().numpy().tobytes())
    found = {
        "JavaScript": torch.tensor(page.evaluate(LOGITS, [document, text, len(images)]), dtype=torch.float64),
        "C": logits_of_c(graph, images, folder),
        "ONNX": run_onnx(write_float_onnx(graph, "test"), images, optimise=True),
    }
    # Digits that cancel on the way are lost for any backend in float32.
    scale = 1 + max(float(output.abs().max()) for output in graph.calculate(images.double()))
    for backend, logits in found.items():
        assert logits.shape == wanted.shape, backend
        assert float((logits.double() - wanted).abs().max()) <= TOLERANCE * scale, backend
    if why_no_int8(graph) is None:
        integers = quantise(graph, images)
        assert torch.equal(logits_of_c(integers, images, folder), integers.logits(images)), "C with integers"


@pytest.mark.parametrize("head", HEADS[:2])
def test_four_backends_agree_on_every_layer(head: str, page: Page, tmp_path: Path) -> None:
    check([*EVERY_LAYER, head], (3, 13, 11), 1, page, tmp_path)
    check([*EVERY_LAYER, "ln, gn 2, se 2, dropout2d 0.1", head], (1, 13, 11), 1, page, tmp_path)


@few
@given(drawn=networks(most=6, channels=4), seed=st.integers(0, 999))
def test_four_backends_agree_on_any_network(drawn, seed: int, page: Page, tmp_path: Path) -> None:
    check(drawn[0], drawn[1], seed, page, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)  # a network is compiled twice: two seconds on a busy machine
@many
@given(drawn=networks(most=6, channels=4), seed=st.integers(0, 999))
def test_four_backends_agree_on_many_networks(drawn, seed: int, page: Page, tmp_path: Path) -> None:
    check(drawn[0], drawn[1], seed, page, tmp_path)
