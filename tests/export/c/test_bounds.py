"""The C code at the limits of 32 bits: the worst images for the worst weights, under the sanitizers."""

from __future__ import annotations

import shutil

import pytest
import torch

from drilldown.export import graph
from drilldown.export.c.compiling import compile_program, run_program
from drilldown.export.c.writing import write_program
from drilldown.export.graph import Graph
from drilldown.export.quantise import quantise
from support.exports import SANITIZED

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


def network(inputs: int, bias: float) -> Graph:
    """Two outputs with the largest and the smallest sum that its inputs can have, and a linear layer."""
    image = (inputs, 1, 1)
    signs = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    weight = signs.view(3, 1).expand(3, inputs).clone()
    weight[2, ::2] = -1
    first = graph.Conv(
        name="first", sources=(-1,), input=image, output=(3, 1, 1), relu=True, weight=weight[:, :, None, None],
        bias=torch.tensor([0.0, bias, 0.0], dtype=torch.float64),
    )  # fmt: skip
    last = graph.Conv(
        name="last", sources=(0,), input=first.output, output=(2, 1, 1),
        weight=torch.tensor([[1.0, -1, 0.5], [-0.5, 0.25, 1]], dtype=torch.float64)[:, :, None, None],
        bias=torch.tensor([0.0, bias], dtype=torch.float64),
    )  # fmt: skip
    return Graph(image, (first, last))


@pytest.mark.parametrize(("inputs", "bias"), [(5_000, 0.0), (30_000, 3e6), (66_000, -2e7), (140_000, 1e9)])
def test_the_worst_images_give_the_sums_of_the_reference(inputs, bias, tmp_path) -> None:
    images = torch.zeros(4, inputs, 1, 1, dtype=torch.uint8)
    images[1] = 255
    images[2, ::2] = 255
    images[3, 1::2] = 255
    integers = quantise(network(inputs, bias), images[:1].repeat(2, 1, 1, 1) + 40)  # so that white saturates
    write_program(integers, "test").write(tmp_path)
    program = compile_program("net_int8", tmp_path, tmp_path, flags=SANITIZED)
    assert torch.equal(run_program(program, images, 2, is_float=False), integers.logits(images))
