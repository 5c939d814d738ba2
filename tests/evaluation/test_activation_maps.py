"""Class activation maps: which networks have them, and that they are exact."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from drilldown import load
from drilldown.data.glyphs import draw_glyphs
from drilldown.evaluation.activation_maps import activation_maps, gap_index, has_activation_maps
from drilldown.network.layout import lay_out
from drilldown.network.modules import build_network

IMAGES = draw_glyphs(train=10, test=10)[1][0][:, None]
BODIES = [
    "conv 3x3 6, bn, relu, maxpool 2",
    "conv 5x5 4 stride=3 bias",
    "avgpool 2, conv 3x3 5 pad=1, relu",
    "maxpool 3",
]
HEADS = [
    "conv 1x1 10, gap", "gap, linear 10", "gap, conv 1x1 10 bias", "conv 1x1 10 bias, bn, gap, flatten",
    "gap, bn, dropout 0.5, linear 10", "gap, conv 1x1 7 bias, linear 10, bn", "relu, gap, flatten, linear 10",
]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(BODIES), st.sampled_from(HEADS), st.integers(0, 9))
def test_the_mean_of_a_map_is_the_logit(body: str, head: str, seed: int) -> None:
    torch.manual_seed(seed)
    layout = lay_out([body, head], (1, 28, 28), 10)
    network = build_network(layout).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                assert tensor is not None
                tensor.data.uniform_(0.5, 2)
    maps = activation_maps(network, layout, IMAGES, (0.2,), (0.4,))
    with torch.no_grad():
        logits = network.eval()((IMAGES.double() / 255 - 0.2) / 0.4)
    index = gap_index(layout)
    assert index is not None
    assert maps.shape == (10, 10, *layout[index].input[1:])
    torch.testing.assert_close(maps.mean((2, 3)), logits, rtol=0, atol=1e-12)


def test_with_a_linear_head_a_map_is_the_weighted_sum_of_the_features() -> None:
    layout = lay_out(["conv 3x3 6, relu", "gap, linear 10"], (1, 28, 28), 10)
    network = build_network(layout).double()
    maps = activation_maps(network, layout, IMAGES, (0.2,), (0.4,))
    convolution, _, _, _, linear = network
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        features = convolution((IMAGES.double() / 255 - 0.2) / 0.4).relu()
        expected = torch.einsum("kc,nchw->nkhw", linear.weight, features) + linear.bias[:, None, None]
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "blocks",
    [
        ["conv 3x3 6, relu, flatten, linear 10"],
        ["conv 3x3 6, gap, linear 8, relu, linear 10"],
        ["conv 3x3 10, gap, relu"],
        ["conv 28x28 6, gap, linear 10"],
        ["gap, linear 10"],
    ],
)
def test_a_network_without_such_a_head_has_no_maps(blocks: list[str]) -> None:
    assert not has_activation_maps(lay_out(blocks, (1, 28, 28), 10))


def test_most_shipped_networks_have_maps_and_a_module_in_python_has_none() -> None:
    assert has_activation_maps(load("under-8k").layout)
    assert has_activation_maps(load("eva5-s5/06").layout)
    assert not has_activation_maps(load("eva5-s5/01").layout)
    assert not has_activation_maps(None)


def test_dropout_is_off_and_the_network_keeps_its_mode() -> None:
    layout = lay_out(["conv 3x3 6, dropout 0.5", "gap, dropout 0.5, linear 10"], (1, 28, 28), 10)
    network = build_network(layout).train()
    first, second = (activation_maps(network, layout, IMAGES, (0.2,), (0.4,)) for _ in range(2))
    assert torch.equal(first, second)
    assert all(module.training for module in network.modules())
