"""Rounded weights: whole numbers of steps, straight-through gradients, and the same network in training and judged."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from drilldown.network.blocks import Block
from drilldown.network.layout import lay_out
from drilldown.network.modules import build_network, fold_network
from drilldown.network.rounding import Rounding, install_rounding, round_network, roundings
from support.networks import CLASSES

IMAGE = (2, 9, 8)
SHARED: Block = {"repeat": 2, "shared": True, "layers": ["conv 3x3 5 pad=same bias, bn, relu"]}
BLOCKS: list[Block] = [
    "conv 3x3 5 expand=2 bias, bn, relu", SHARED, {"skip": ["sep 3x3 6 stride=2 pad=same, bn"]},
    "conv 3x3 6 pad=same expand=3, relu", f"gap, linear 7, relu, linear {CLASSES}",
]  # fmt: skip
weights = arrays(np.float32, (3, 4), elements=st.floats(-1000, 1000, width=32))


@given(weights, st.sampled_from([4, 8]), st.booleans())
def test_a_rounded_weight_is_the_nearest_whole_number_of_steps_and_the_largest_keeps_its_size(
    weight: np.ndarray, bits: int, one_step: bool
) -> None:
    rounding, most = Rounding(bits, one_step), 2 ** (bits - 1) - 1
    found = rounding.apply(torch.from_numpy(weight)).double().numpy()
    integers = rounding.integers(torch.from_numpy(weight)).numpy()
    for rows in [slice(0, 3)] if one_step else [slice(0, 1), slice(1, 2), slice(2, 3)]:
        largest = float(np.abs(weight[rows]).max())
        if largest < 1e-30:  # steps of denormal numbers are not exact
            continue
        step = largest / most
        assert np.abs(integers[rows]).max() == most
        assert np.allclose(found[rows], integers[rows] * step, rtol=1e-5, atol=0)
        assert np.abs(found[rows] - weight[rows]).max() <= step * 0.50001


def test_a_channel_of_zeros_stays_zero_and_a_weight_that_is_no_number_shows() -> None:
    weight = torch.tensor([[0.0, 0.0], [float("nan"), 1.0]])
    rounded = Rounding(4).apply(weight)
    assert rounded[0].tolist() == [0, 0]
    assert rounded[1].isnan().any()


def test_the_gradient_passes_straight_through() -> None:
    weight = torch.randn(4, 3, requires_grad=True)
    factors = torch.randn(4, 3)
    (Rounding(4).apply(weight) * factors).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, factors)


def test_the_first_and_the_last_layer_have_8_bits_also_where_they_are_used_again() -> None:
    def bits(*blocks: Block) -> list[int]:
        return [item.bits for item in roundings(build_network(lay_out(blocks, IMAGE, CLASSES))).values()]

    assert bits("conv 3x3 4, conv 3x3 4, sep 3x3 4", f"gap, linear {CLASSES}") == [8, 4, 4, 4, 8]
    shared: Block = {"repeat": 2, "shared": True, "layers": ["conv 3x3 2 pad=1"]}
    assert bits(shared, "conv 1x1 3", f"conv 1x1 {CLASSES}, gap") == [8, 4, 8]
    assert bits("flatten", f"linear {CLASSES}") == [8]
    assert bits("gap, linear 5, relu", f"linear {CLASSES}") == [8, 8]
    network = build_network(lay_out(BLOCKS, IMAGE, CLASSES))
    assert [name for name, item in roundings(network).items() if item.one_step] == ["linear2"]


def test_the_judged_network_calculates_as_the_trained_one_with_plain_layers() -> None:
    torch.manual_seed(0)
    exact = build_network(lay_out(BLOCKS, IMAGE, CLASSES), training=True).double().eval()
    trained = copy.deepcopy(exact)
    install_rounding(trained)
    assert trained.state_dict().keys() == exact.state_dict().keys()
    judged, images = round_network(trained), torch.randn(5, *IMAGE, dtype=torch.float64)
    plain = build_network(lay_out(BLOCKS, IMAGE, CLASSES)).double()
    assert [type(module) for module in judged.modules()] == [type(module) for module in plain.modules()]
    with torch.no_grad():
        torch.testing.assert_close(judged(images), trained(images), rtol=1e-9, atol=1e-9)
        assert not torch.allclose(judged(images), exact(images), rtol=1e-3)
    for name, parameter in exact.named_parameters():
        assert torch.equal(trained.get_parameter(name), parameter)
    folded = fold_network(exact)
    for name, rounding in roundings(judged).items():
        found = judged.get_submodule(name).get_parameter("weight").detach()
        step = rounding.steps(folded.get_submodule(name).get_parameter("weight"))
        assert torch.allclose(found / step, (found / step).round(), atol=1e-9), name
        assert len((found / step).round().unique()) <= 2**rounding.bits - 1


def test_the_factors_of_an_expanded_convolution_get_the_gradients_of_the_rounded_weights() -> None:
    """By the chain rule by hand: the gradient of the folded weights goes on into each factor."""
    torch.manual_seed(0)
    blocks = ["conv 3x3 4 expand=2 pad=1", f"conv 3x3 {CLASSES}, gap"]
    trained = build_network(lay_out(blocks, IMAGE, CLASSES), training=True).double()
    install_rounding(trained)
    images = torch.randn(5, *IMAGE, dtype=torch.float64)
    trained(images).square().sum().backward()
    judged = round_network(trained).requires_grad_()
    judged(images).square().sum().backward()
    gradient = judged.get_submodule("conv1").get_parameter("weight").grad
    wide = trained.get_submodule("conv1")
    factors = [wide.get_submodule(name).get_parameter("weight") for name in ("narrow", "middle", "widen")]
    leaves = [factor.detach().clone().requires_grad_() for factor in factors]
    narrow, middle, widen = leaves
    composed = torch.einsum("op,pqyx,qi->oiyx", narrow.flatten(1), middle, widen.flatten(1))
    composed.backward(gradient)
    for factor, leaf in zip(factors, leaves, strict=True):
        assert factor.grad is not None
        torch.testing.assert_close(factor.grad, leaf.grad, rtol=1e-9, atol=1e-9)


def test_a_network_without_weights_has_nothing_to_round() -> None:
    network = build_network(lay_out(["bn, gap"], (CLASSES, 4, 4), CLASSES))
    install_rounding(network)
    assert isinstance(round_network(network), nn.Module)


@pytest.mark.parametrize("bits", [4, 8])
def test_rounding_again_gives_the_same_whole_numbers(bits: int) -> None:
    """So the export finds the trained integers in the saved weights."""
    torch.manual_seed(bits)
    for scale in (1e-6, 0.3, 1e5):
        weight = scale * torch.randn(50, 4, 3, 3)
        rounding = Rounding(bits)
        integers = rounding.integers(weight)
        assert torch.equal(rounding.integers(rounding.apply(weight)), integers)
        assert torch.equal(rounding.integers(rounding.apply(weight).double()).float(), integers)
