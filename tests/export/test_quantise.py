"""The integers: near the numbers that they stand for, and never outside of 32 bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.export import graph
from drilldown.export.graph import Graph
from drilldown.export.integer import IntegerConv, IntegerGraph, Levels
from drilldown.export.quantise import _multiplier, quantise
from support.exports import folded, int8_networks, random_images

ratios = st.floats(2.0**-30, 0.5)


@given(ratios, st.integers(1, 8))
def test_a_multiplier_is_the_smallest_with_its_bits_that_reaches_the_ratio(ratio, bits) -> None:
    multiplier, shift = _multiplier(ratio, bits)
    assert 1 <= multiplier < 2**bits
    assert 1 <= shift <= 31
    assert multiplier / 2**shift >= ratio > (multiplier - 1) / 2**shift
    if ratio >= 2.0 ** (bits - 31):  # else the shift is at its limit
        assert multiplier / 2**shift <= ratio * (1 + 2.0 ** (1 - bits))


def worst_sums(node: IntegerConv, largest: int) -> tuple[int, int]:
    """The smallest and the largest sum of the worst images, from the integers alone, in Python's own whole numbers."""
    weights = [list(map(int, row)) for row in node.weight.flatten(1).tolist()]
    biases = node.bias.tolist()
    sums = [(bias + largest * sum(w for w in row if w < 0), bias + largest * sum(w for w in row if w > 0))
            for bias, row in zip(biases, weights, strict=True)]  # fmt: skip
    return min(low for low, _ in sums), max(high for _, high in sums)


def check_bounds(network: IntegerGraph) -> None:
    for node in network.nodes:
        if not isinstance(node, IntegerConv):
            continue
        source = node.sources[0]
        largest = 255 if source < 0 else network.nodes[source].levels.largest
        low, high = worst_sums(node, largest)
        assert low > -(2**31)
        assert high < 2**31
        assert max(abs(low), abs(high)) >= node.bound * 0.999
        if node.multiplier is not None and node.shift is not None:
            for channel in range(len(node.weight)):
                row = node.weight[channel].flatten().tolist()
                most = int(node.bias[channel]) + largest * sum(w for w in row if w > 0)
                product = max(0, most) * int(node.multiplier[channel]) + 2 ** (int(node.shift[channel]) - 1)
                assert product < 2**32


@settings(max_examples=25, deadline=None)
@given(network=int8_networks(), seed=st.integers(0, 999))
def test_no_image_leads_out_of_32_bits(network, seed) -> None:
    blocks, image = network
    check_bounds(quantise(folded(blocks, image, 4, seed), random_images(6, image, seed)))


def dense(inputs: int, weight: float, bias: float, *, outputs: int = 3) -> Graph:
    """Two linear layers; all weights of the first are equal."""
    image = (inputs, 1, 1)
    first = graph.Conv(
        name="first", sources=(-1,), input=image, output=(outputs, 1, 1), relu=True,
        weight=torch.full((outputs, inputs, 1, 1), weight, dtype=torch.float64),
        bias=torch.full((outputs,), bias, dtype=torch.float64),
    )  # fmt: skip
    last = graph.Conv(
        name="last", sources=(0,), input=first.output, output=(2, 1, 1),
        weight=torch.eye(2, outputs, dtype=torch.float64)[:, :, None, None], bias=torch.zeros(2, dtype=torch.float64),
    )  # fmt: skip
    return Graph(image, (first, last))


@pytest.mark.parametrize("inputs", [600, 5_000, 40_000, 70_000])
@pytest.mark.parametrize(("weight", "bias"), [(1.0, 0.0), (-1.0, 1e5), (1e-9, 3.0), (0.0, -7.0), (1.0, -1e7)])
def test_wide_layers_with_the_worst_weights_stay_in_32_bits(inputs, weight, bias) -> None:
    images = torch.zeros(3, inputs, 1, 1, dtype=torch.uint8)
    images[1] = 255
    images[2, ::2] = 255
    network = dense(inputs, weight, bias)
    integers = quantise(network, images)
    check_bounds(integers)
    wanted = network.logits(images.double())
    found = integers.levels.value(integers.logits(images))
    assert float((found - wanted).abs().max()) <= 0.02 * float(wanted.abs().max()) + 1e-9


def test_sums_above_24_bits_are_exact() -> None:
    inputs = 3_000
    generator = np.random.default_rng(0)
    network = dense(inputs, 1.0, 0.0)
    images = torch.from_numpy(generator.integers(0, 256, (5, inputs, 1, 1), dtype=np.uint8))
    node = quantise(network, images).nodes[0]
    assert isinstance(node, IntegerConv)
    assert node.bound > 2**24
    wanted = images.numpy()[:, :, 0, 0].astype(np.int64) @ node.weight.numpy()[:, :, 0, 0].astype(np.int64).T
    assert (node.sums(images.float())[:, :, 0, 0].numpy() == wanted + node.bias.numpy()).all()


def test_a_convolution_by_hand() -> None:
    """Weights, bias and results, calculated with pencil and paper.

    The input is the pixel itself: scale 1, zero 0. The weights are 127 and −63.5, so with a step of 1 they are 127 and
    −64 (a half is rounded to even). A step of the output is at least two steps of weight times input, so its scale is
    2: the multiplier is 128 and the shift is 8, since 128 / 2^8 is a half. A sum s becomes (s · 128 + 128) >> 8.
    """
    image = (2, 1, 1)
    first = graph.Conv(
        name="first", sources=(-1,), input=image, output=(1, 1, 1), relu=True,
        weight=torch.tensor([[127.0, -63.5]], dtype=torch.float64)[:, :, None, None],
        bias=torch.tensor([3.0], dtype=torch.float64),
    )  # fmt: skip
    last = graph.Conv(
        name="last", sources=(0,), input=first.output, output=(1, 1, 1),
        weight=torch.ones(1, 1, 1, 1, dtype=torch.float64), bias=torch.zeros(1, dtype=torch.float64),
    )  # fmt: skip
    images = torch.tensor([[4, 1], [1, 2], [0, 0], [0, 9]], dtype=torch.uint8)[:, :, None, None]
    node = quantise(Graph(image, (first, last)), images).nodes[0]
    assert isinstance(node, IntegerConv)
    assert node.levels == Levels(2.0)
    assert (node.multiplier, node.shift) == (torch.tensor([128]), torch.tensor([8]))
    assert node.weight.flatten().tolist() == [127, -64]
    assert node.bias.tolist() == [3]
    # 508 − 64 + 3 = 447, half of it is 223.5; 127 − 128 + 3 = 2; 3, half of it is 1.5; −573
    assert node.calculate(images.float()).flatten().tolist() == [224, 1, 2, 0]
    white = torch.full((1, 2, 1, 1), 255.0)
    assert node.calculate(white).item() == 255  # 16,065 + 3, half of it is far above


def test_the_layers_without_integers_are_refused_by_name() -> None:
    for blocks, name in ((["conv 3x3 4, gn 2", "gap"], "gn1: gn"), (["conv 3x3 4, se 2", "gap"], "se1: se"),
                         (["conv 3x3 4 pad=same, blurpool 15", "gap"], "blurpool1: a blurpool of 15x15")):  # fmt: skip
        graph_of = folded(blocks, (1, 16, 16), 4)
        with pytest.raises(DrilldownError, match=name):
            quantise(graph_of, random_images(2, (1, 16, 16)))
