"""Shapes and costs of whole networks, and their PyTorch modules."""

from __future__ import annotations

import copy
import math
import re

import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from drilldown.engines.dropout import install_fast_dropout, reseed_dropout
from drilldown.errors import DrilldownError
from drilldown.network.blocks import Block
from drilldown.network.layers import BlurPool, ExpandedConv, Shape
from drilldown.network.layout import lay_out
from drilldown.network.modules import build_network
from support.networks import CLASSES, networks


@settings(max_examples=60, deadline=None)
@given(networks())
def test_shapes_parameters_and_multiply_adds_agree_with_the_pytorch_module(
    network: tuple[list[Block], tuple[int, int, int]],
) -> None:
    blocks, image = network
    placed = lay_out(blocks, image, CLASSES)
    module = build_network(placed).eval()
    seen: list[tuple[nn.Module, Shape, Shape]] = []

    def note(child: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen.append((child, tuple(inputs[0].shape[1:]), tuple(output.shape[1:])))

    for child in dict.fromkeys(module):
        child.register_forward_hook(note)
    blurs = {item.name for item in placed if isinstance(item.layer, BlurPool)}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits = module(torch.randn(1, *image))
    assert logits.shape == (1, CLASSES)
    assert seen == [(module.get_submodule(item.name), item.input, item.output) for item in placed]
    for item in placed:
        own = sum(p.numel() for p in module.get_submodule(item.name).parameters())
        assert item.parameters == (0 if item.shared else own), item.name
    assert sum(item.parameters for item in placed) == sum(p.numel() for p in module.parameters())
    if not blurs:  # PyTorch counts them as convolutions; here pools count nothing
        # PyTorch counts a multiplication and an addition as two operations.
        assert 2 * sum(item.multiply_adds for item in placed) == counter.get_total_flops()


@settings(max_examples=40, deadline=None)
@given(networks())
def test_the_trained_network_has_the_parameters_and_outputs_that_are_estimated(
    network: tuple[list[Block], tuple[int, int, int]],
) -> None:
    blocks, image = network
    placed = lay_out(blocks, image, CLASSES)
    module = build_network(placed, training=True).eval()
    assert sum(item.trained_parameters for item in placed) == sum(p.numel() for p in module.parameters())
    outputs = 0

    def count(_: nn.Module, __: object, output: torch.Tensor) -> None:
        nonlocal outputs
        outputs += output.numel()

    inner = {
        part for expanded in module.modules() if isinstance(expanded, ExpandedConv) for part in expanded.children()
    }
    for child in dict.fromkeys([*module, *inner]):
        if not isinstance(child, ExpandedConv):
            child.register_forward_hook(count)
    with torch.no_grad():
        module(torch.randn(1, *image))
    assert sum(item.trained_outputs for item in placed) == outputs


@settings(max_examples=30, deadline=None)
@given(networks())
def test_overwriting_in_place_changes_neither_logits_nor_gradients(
    network: tuple[list[Block], tuple[int, int, int]],
) -> None:
    blocks, image = network
    fast = build_network(lay_out(blocks, image, CLASSES))
    plain = copy.deepcopy(fast)
    for module in plain.modules():
        if isinstance(module, nn.ReLU | nn.LeakyReLU | nn.Dropout):
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


def names(*blocks: Block) -> list[str]:
    return [item.name for item in lay_out(blocks, (2, 6, 6), 10)]


def test_the_names_in_tables_begin_with_those_of_the_tables() -> None:
    first = {"skip": ["conv 3x3 4 stride=2 pad=1, bn", {"skip": ["relu"]}]}
    assert names(first, {"skip": ["relu"]}, "gap, linear 10") == [
        "skip1.conv1", "skip1.bn1", "skip1.skip1.relu1", "skip1.skip1.add", "skip1.projection", "skip1.add",
        "skip2.relu1", "skip2.add", "gap1", "flatten1", "linear1",
    ]  # fmt: skip
    assert names({"repeat": 2, "layers": ["sep 3x3 4"]}, "gap, linear 10")[:4] == [
        "sep1.conv1", "sep1.conv2", "sep2.conv1", "sep2.conv2",
    ]  # fmt: skip


def test_the_passes_of_a_shared_table_share_weights_and_have_norms_of_their_own() -> None:
    body = ["conv 3x3 2 pad=1, bn, prelu", {"skip": ["sep 3x3 2 pad=same, gn 1, se 2"]}]
    placed = lay_out([{"repeat": 3, "shared": True, "layers": body}, "gap, linear 10"], (2, 6, 6), 10)
    weights = 36 + 1 + (18 + 4) + (2 + 1 + 2 + 2)
    assert sum(item.parameters for item in placed[:-3]) == weights + 3 * (4 + 4)
    assert [item.name for item in placed[:9]] == [
        "repeat1.conv1", "repeat1.pass1.bn1", "repeat1.prelu1", "repeat1.skip1.sep1.conv1", "repeat1.skip1.sep1.conv2",
        "repeat1.pass1.skip1.gn1", "repeat1.skip1.se1", "repeat1.pass1.skip1.add", "repeat1.conv1",
    ]  # fmt: skip
    assert [item.shared for item in placed[8:16]] == [True, False, True, True, True, False, True, False]
    # The multiply-adds of all passes count.
    assert placed[0].multiply_adds == placed[8].multiply_adds == 36 * 36


@pytest.mark.parametrize(
    ("body", "image", "projection"),
    [
        ("conv 3x3 2 pad=same", (2, 6, 6), None),
        ("conv 3x3 4 pad=same", (2, 6, 6), "conv 1x1 4"),
        ("conv 3x3 4 stride=2 pad=same", (2, 6, 7), "conv 1x1 4 stride=2"),
        ("conv 3x3 2 stride=2 pad=same, maxpool 3 stride=2 pad=1", (2, 9, 6), "conv 1x1 2 stride=4"),
        ("maxpool 2", (2, 6, 6), "conv 1x1 2 stride=2"),
        ("blurpool", (2, 7, 6), "conv 1x1 2 stride=2"),
    ],
)
def test_a_skip_projects_its_input_only_where_the_shape_changes(
    body: str, image: tuple[int, int, int], projection: str | None
) -> None:
    placed = lay_out([{"skip": [body]}, "gap, linear 10"], image, 10)
    found = [item for item in placed if item.name == "skip1.projection"]
    assert [str(item.layer) for item in found] == ([] if projection is None else [projection])
    add = next(item for item in placed if item.name == "skip1.add")
    assert add.sources[1] == (-1 if projection is None else placed.index(found[0]))


@pytest.mark.parametrize("body", ["maxpool 2", "conv 3x3 2", "conv 5x5 2 pad=1", "gap", "flatten, linear 3"])
def test_a_skip_whose_blocks_change_the_size_in_another_way_is_refused(body: str) -> None:
    with pytest.raises(DrilldownError, match=r"layers\[0\].skip: the blocks turn 2x7x7 into .*pad=same"):
        lay_out([{"skip": [body]}, "flatten, linear 10"], (2, 7, 7), 10)


def test_an_expanded_network_must_be_small_while_it_is_trained_too() -> None:
    count = 1_000 + 1_000 * 100_000 + 100_000 * 9 * 100 + 100 * 1 + 20
    with pytest.raises(DrilldownError, match=f"{count:,} parameters while it is trained"):
        lay_out(["conv 1x1 1000", "conv 3x3 1 expand=100", "gap, linear 10"], (1, 6, 6), 10)


def test_a_missing_flatten_is_added_only_where_it_is_needed() -> None:
    assert names("gap", "linear 10") == ["gap1", "flatten1", "linear1"]
    assert names("conv 6x6 10") == ["conv1", "flatten1"]
    assert names("flatten", "linear 10, relu", "linear 10") == ["flatten1", "linear1", "relu1", "linear2"]


def test_a_convolution_with_groups_stride_and_padding_agrees_with_its_definition() -> None:
    (item, *_) = lay_out(["conv 3x3 4 stride=2 pad=1 groups=2 bias", "gap", "linear 10"], (2, 5, 5), 10)
    (conv,) = build_network([item]).double()
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
