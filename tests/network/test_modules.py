"""Modules of whole networks: skips and shared weights, and the folding of convolutions that are trained wider."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import nn

from drilldown.network.blocks import Block
from drilldown.network.layers import Conv, ExpandedConv
from drilldown.network.layout import lay_out
from drilldown.network.modules import Layers, build_network, fold_network
from support.networks import CLASSES, networks

IMAGE = (2, 8, 8)


def network_of(*blocks: Block) -> Layers:
    return build_network(lay_out([*blocks, f"gap, linear {CLASSES}"], IMAGE, CLASSES)).double()


def head(network: nn.Module, features: torch.Tensor) -> torch.Tensor:
    return F.linear(
        features.mean((2, 3)), network.get_parameter("linear1.weight"), network.get_parameter("linear1.bias")
    )


def conv(network: nn.Module, name: str, x: torch.Tensor, stride: int = 1, pad: int = 0) -> torch.Tensor:
    return F.conv2d(x, network.get_parameter(f"{name}.weight"), None, stride, pad)


def norm(network: nn.Module, name: str, x: torch.Tensor) -> torch.Tensor:
    """Batch norm in training mode."""
    return F.batch_norm(
        x, None, None, network.get_parameter(f"{name}.weight"), network.get_parameter(f"{name}.bias"), training=True
    )


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(5, *IMAGE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_a_skip_adds_its_input(images: torch.Tensor) -> None:
    network = network_of({"skip": ["relu, conv 3x3 2 pad=same, relu", {"skip": ["conv 1x1 2"]}]}, "relu")
    inner = conv(network, "skip1.conv1", images.relu(), pad=1).relu()
    inner = inner + conv(network, "skip1.skip1.conv1", inner)
    torch.testing.assert_close(network(images), head(network, (images + inner).relu()))


def test_a_skip_that_changes_the_shape_adds_a_1x1_convolution_of_its_input(images: torch.Tensor) -> None:
    network = network_of({"skip": ["conv 3x3 6 stride=2 pad=same, relu", "conv 3x3 6 pad=same"]})
    inner = conv(network, "skip1.conv2", conv(network, "skip1.conv1", images, 2, 1).relu(), pad=1)
    torch.testing.assert_close(network(images), head(network, inner + conv(network, "skip1.projection", images, 2)))
    assert network.get_parameter("skip1.projection.weight").shape == (6, 2, 1, 1)


def test_shared_passes_use_the_same_weights_and_norms_of_their_own(images: torch.Tensor) -> None:
    network = network_of({"repeat": 3, "shared": True, "layers": ["conv 3x3 2 pad=same, bn, prelu"]})
    for number, module in enumerate(m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(module.weight, number, number + 1)
    x = images
    for number in (1, 2, 3):
        x = norm(network, f"repeat1.pass{number}.bn1", conv(network, "repeat1.conv1", x, pad=1))
        x = F.prelu(x, network.get_parameter("repeat1.prelu1.weight"))
    torch.testing.assert_close(network(images), head(network, x))


@settings(max_examples=25, deadline=None)
@given(networks())
def test_a_copy_and_its_stored_weights_compute_the_same(
    network: tuple[list[Block], tuple[int, int, int]],
) -> None:
    blocks, image = network
    original = build_network(lay_out(blocks, image, CLASSES)).eval()
    other = build_network(lay_out(blocks, image, CLASSES)).eval()
    state = original.state_dict()
    assert len({tensor.data_ptr() for tensor in state.values() if tensor.numel()}) == len(
        [tensor for tensor in state.values() if tensor.numel()]
    )
    other.load_state_dict(state)
    noise = torch.randn(2, *image)
    with torch.no_grad():
        expected = original(noise)
        assert torch.equal(other(noise), expected)
        assert torch.equal(copy.deepcopy(original)(noise), expected)


@settings(max_examples=40, deadline=None)
@given(networks())
def test_the_folded_network_gives_the_logits_of_the_trained_one_in_float64(
    network: tuple[list[Block], tuple[int, int, int]],
) -> None:
    blocks, image = network
    placed = lay_out(blocks, image, CLASSES)
    trained = build_network(placed, training=True).double().eval()
    folded = fold_network(trained)
    noise = torch.randn(3, *image, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(folded(noise), trained(noise), rtol=1e-9, atol=1e-9)
    judged = build_network(placed)
    assert {k: v.shape for k, v in folded.state_dict().items()} == {k: v.shape for k, v in judged.state_dict().items()}
    assert sum(p.numel() for p in folded.parameters()) == sum(item.parameters for item in placed)
    assert (folded is trained) == (not any(isinstance(m, ExpandedConv) for m in trained.modules()))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("stride", "pad", "dilation"), [(1, 0, 1), (2, 1, 1), (3, 4, 2), (1, 2, 2)])
def test_an_expanded_convolution_is_three_wider_ones_and_folds_into_one(
    stride: int, pad: int, dilation: int, bias: bool, images: torch.Tensor
) -> None:
    layer = Conv(3, 5, stride, pad, bias=bias, dilation=dilation, expand=3)
    trained = layer.training_module(IMAGE, inplace=False).double()
    assert isinstance(trained, ExpandedConv)
    assert [tuple(p.shape) for p in trained.parameters() if p.dim() == 4] == [
        (6, 2, 1, 1),
        (15, 6, 3, 3),
        (5, 15, 1, 1),
    ]
    wide = F.conv2d(images, trained.widen.weight)
    wide = F.conv2d(wide, trained.middle.weight, None, stride, pad, dilation)
    expected = F.conv2d(wide, trained.narrow.weight, trained.narrow.bias)
    torch.testing.assert_close(trained(images), expected)
    folded = trained.fold()
    torch.testing.assert_close(folded(images), expected, rtol=1e-10, atol=1e-10)
    assert sum(p.numel() for p in folded.parameters()) == layer.parameters(IMAGE)


def test_folding_neither_changes_the_trained_network_nor_draws_random_numbers(images: torch.Tensor) -> None:
    blocks: list[Block] = ["conv 3x3 4 expand=2, relu", f"gap, linear {CLASSES}"]
    trained = build_network(lay_out(blocks, IMAGE, CLASSES), training=True).double().train()
    before = trained(images)
    torch.manual_seed(1)
    folded = fold_network(trained)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)
    assert torch.equal(trained(images), before)
    assert folded.training


def test_outputs_that_no_later_step_takes_are_let_go_of() -> None:
    network = network_of({"skip": ["conv 3x3 2 pad=same, relu"]}, *["conv 3x3 2 pad=same"] * 2)
    assert network.done == ((), (0,), (-1, 1), (2,), (3,), (4,), (5,), (6,))
    assert not network.is_chain
    assert network_of("conv 3x3 2, sep 3x3 4").is_chain
