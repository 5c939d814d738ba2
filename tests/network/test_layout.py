"""Shapes and costs of whole networks, and their PyTorch modules."""

from __future__ import annotations

import copy
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from drilldown.engines.dropout import install_fast_dropout, reseed_dropout
from drilldown.errors import DrilldownError
from drilldown.network.layout import build_network, lay_out


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[str], tuple[int, int, int], int]:
    """Blocks that fit an image, the image's shape, and the number of classes."""
    channels, height, width = image = draw(st.tuples(*[st.integers(1, 3)] + [st.integers(5, 11)] * 2))
    classes = draw(st.integers(2, 5))
    blocks = []
    for _ in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(["conv", "conv", "conv", "bn", "relu", "dropout", "maxpool", "avgpool"]))
        if kind == "conv":
            pad, stride = draw(st.integers(0, 2)), draw(st.integers(1, 2))
            kernel = draw(st.integers(1, min(5, height + 2 * pad, width + 2 * pad)))
            groups = draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0]))
            channels = groups * draw(st.integers(1, 3))
            bias = draw(st.sampled_from(["", " bias"]))
            blocks.append(f"conv {kernel}x{kernel} {channels} stride={stride} pad={pad} groups={groups}{bias}")
            height, width = ((side + 2 * pad - kernel) // stride + 1 for side in (height, width))
        elif kind.endswith("pool"):
            size = draw(st.integers(1, min(3, height, width)))
            blocks.append(f"{kind} {size}")
            height, width = height // size, width // size
        else:
            blocks.append("dropout 0.3" if kind == "dropout" else kind)
    endings = [
        ["gap", f"linear {classes}"],
        [f"conv 1x1 {classes}, gap"],
        ["flatten, linear 7, relu", f"linear {classes}"],
        ["flatten, bn, relu", f"linear {classes}"],
        *([[f"conv {height}x{height} {classes}"]] if height == width else []),
    ]
    return [*blocks, *draw(st.sampled_from(endings))], image, classes


@settings(max_examples=60, deadline=None)
@given(networks())
def test_shapes_parameters_and_multiply_adds_agree_with_the_pytorch_module(
    network: tuple[list[str], tuple[int, int, int], int],
) -> None:
    blocks, image, classes = network
    placed = lay_out(blocks, image, classes)
    module = build_network(placed).eval()
    seen: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    for name, child in module.named_children():
        child.register_forward_hook(
            lambda _, inputs, output, name=name: seen.update(
                {name: (tuple(inputs[0].shape[1:]), tuple(output.shape[1:]))}
            )
        )
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits = module(torch.randn(1, *image))
    assert logits.shape == (1, classes)
    assert seen == {item.name: (item.input, item.output) for item in placed}
    for item in placed:
        assert item.parameters == sum(p.numel() for p in module.get_submodule(item.name).parameters())
    # PyTorch counts a multiplication and an addition as two operations.
    assert 2 * sum(item.multiply_adds for item in placed) == counter.get_total_flops()


@settings(max_examples=30, deadline=None)
@given(networks())
def test_overwriting_in_place_changes_neither_logits_nor_gradients(
    network: tuple[list[str], tuple[int, int, int], int],
) -> None:
    blocks, image, classes = network
    fast = build_network(lay_out(blocks, image, classes))
    plain = copy.deepcopy(fast)
    for module in plain.modules():
        if isinstance(module, nn.ReLU | nn.Dropout):
            module.inplace = False
    images = torch.randn(3, *image)
    results = []
    for version in (fast, plain):
        torch.manual_seed(0)
        logits = version(images)
        logits.square().sum().backward()
        results.append([logits, *(parameter.grad for parameter in version.parameters())])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    "first", ["relu", "dropout 0.5", "dropout 0, relu", "flatten, relu", "maxpool 1, relu", "relu, dropout 0.5, relu"]
)
def test_the_first_layers_do_not_change_the_images(first: str, fast: bool, training: bool) -> None:
    module = build_network(lay_out([first, "flatten, linear 10"], (1, 4, 4), 10)).train(training)
    if fast:
        install_fast_dropout(module)
        reseed_dropout(module, 0)
    images = torch.randn(8, 1, 4, 4)
    before = images.clone()
    module(images).sum().backward()
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("blocks", "image", "message"),
    [
        (
            ["conv 3x3 8, relu", "conv 5x5 9"],
            (1, 6, 6),
            'network.layers[1] "conv 5x5 9": conv 5x5 9 gets 8x4x4; expected an image of at least 5x5',
        ),
        (["conv 9x9 8 pad=1"], (1, 6, 6), "gets 1x6x6; expected an image of at least 9x9 (pad=1 added)"),
        (["conv 3x3 8"], (1, 2, 9), "gets 1x2x9; expected an image of at least 3x3"),
        (["maxpool 7"], (1, 6, 6), "maxpool 7 gets 1x6x6; expected an image of at least 7x7"),
        (["avgpool 7"], (1, 6, 6), "avgpool 7 gets 1x6x6; expected an image of at least 7x7"),
        (
            ["conv 3x3 8", "conv 3x3 9 groups=3"],
            (1, 6, 6),
            "gets 8x4x4; expected input and output channels that groups=3 divides",
        ),
        (["conv 3x3 8 groups=3"], (3, 6, 6), "gets 3x6x6; expected input and output channels that groups=3 divides"),
        (["conv 3x3 8, linear 10"], (1, 6, 6), "linear 10 gets 8x4x4; expected a flat input: put flatten or gap"),
        (
            ["flatten", "conv 1x1 8"],
            (1, 6, 6),
            "conv 1x1 8 gets 36; expected an image, but an earlier layer has flattened the input",
        ),
        (["flatten, gap"], (1, 6, 6), "gap gets 36; expected an image, but an earlier layer has flattened the input"),
        (
            ["flatten, maxpool 2"],
            (1, 6, 6),
            "maxpool 2 gets 36; expected an image, but an earlier layer has flattened the input",
        ),
        (["conv 3x3 12, gap"], (1, 6, 6), "the last layer gives 12x1x1; expected 10 logits, one per class"),
        (["conv 3x3 10"], (1, 6, 6), "the last layer gives 10x4x4; expected 10 logits, one per class"),
        (["flatten, linear 9"], (1, 6, 6), "the last layer gives 9; expected 10 logits, one per class"),
        (["conv 3x3 1"], (1, 4, 7), "the last layer gives 1x2x5; expected 10 logits, one per class"),
        (["gap"], (10, 6, 6), "the network has no parameters; expected at least one layer with parameters"),
        (
            ["conv 1x1 31622, conv 1x1 31622", "gap, linear 10"],
            (1, 6, 6),
            f"the network has {31622 + 31622**2 + 10 * 31623:,} parameters; expected at most 100,000,000",
        ),
    ],
)
def test_the_message_about_a_network_that_does_not_fit_names_layer_and_shapes(
    blocks: list[str], image: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(DrilldownError, match=re.escape(message)):
        lay_out(blocks, image, 10)


def test_a_missing_flatten_is_added_only_where_it_is_needed() -> None:
    def names(*blocks: str) -> list[str]:
        return [item.name for item in lay_out(blocks, (1, 6, 6), 10)]

    assert names("gap", "linear 10") == ["gap1", "flatten1", "linear1"]
    assert names("conv 6x6 10") == ["conv1", "flatten1"]
    assert names("flatten", "linear 10, relu", "linear 10") == ["flatten1", "linear1", "relu1", "linear2"]


def test_a_convolution_with_groups_stride_and_padding_agrees_with_its_definition() -> None:
    (item, *_) = lay_out(["conv 3x3 4 stride=2 pad=1 groups=2 bias", "gap", "linear 10"], (2, 5, 5), 10)
    conv = build_network([item]).double()[0]
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    image = torch.randn(2, 5, 5, dtype=torch.float64)
    padded = torch.zeros(2, 7, 7, dtype=torch.float64)
    padded[:, 1:6, 1:6] = image
    expected = torch.empty(item.output, dtype=torch.float64)
    products = 0
    for out in range(4):
        for row in range(3):
            for column in range(3):
                window = padded[out // 2, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
                expected[out, row, column] = (window * conv.weight[out, 0]).sum() + conv.bias[out]
                products += window.numel()
    torch.testing.assert_close(conv(image[None])[0], expected)
    assert item.multiply_adds == products
    assert item.parameters == 4 * 9 + 4
    assert math.prod(item.output) == expected.numel()
