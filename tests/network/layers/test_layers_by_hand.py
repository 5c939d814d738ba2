"""Each layer's module against the calculation written by hand, in float64."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from drilldown.network.layers import LAYERS, Layer, Shape, ShapeError, parse_block
from drilldown.network.layout import lay_out
from drilldown.network.modules import build_network

IMAGE = (6, 7, 9)


def made(text: str, shape: Shape = IMAGE) -> tuple[Layer, nn.Module, torch.Tensor]:
    """A layer, its module with random weights, and four images."""
    (layer,) = parse_block(text)
    (layer,) = layer.parts(shape)
    module = layer.module(shape, inplace=False).double()
    generator = torch.Generator().manual_seed(0)
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point() and tensor.dim() < 4:
            tensor.data.uniform_(0.3, 1.5, generator=generator)
    return layer, module, torch.randn(4, *shape, dtype=torch.float64, generator=generator)


def groups_of(images: torch.Tensor, groups: int) -> torch.Tensor:
    """Each image's groups of channels, normalised number by number."""
    result = torch.empty_like(images)
    size = images.shape[1] // groups
    for n in range(len(images)):
        for g in range(groups):
            part = images[n, g * size : (g + 1) * size]
            mean = part.sum() / part.numel()
            variance = ((part - mean) ** 2).sum() / part.numel()
            result[n, g * size : (g + 1) * size] = (part - mean) / (variance + 1e-5).sqrt()
    return result


def windows(images: torch.Tensor, size: int, stride: int, pad: int, fill: float) -> torch.Tensor:
    """All windows of padded images: (N, channels, rows, columns, size · size)."""
    padded = F.pad(images, [pad] * 4, value=fill)
    patches = padded.unfold(2, size, stride).unfold(3, size, stride)
    return patches.flatten(4)


def channelwise(vector: torch.Tensor | None) -> torch.Tensor:
    assert vector is not None
    return vector[None, :, None, None]


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    return 1 / (1 + torch.exp(-x))


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_without_a_scale_only_shifts(training: bool) -> None:
    _, module, images = made("bn noscale")
    assert isinstance(module, nn.BatchNorm2d)
    assert module.running_mean is not None
    assert module.running_var is not None
    mean, variance = module.running_mean.clone(), module.running_var.clone()
    if training:
        mean = images.mean((0, 2, 3))
        variance = ((images - channelwise(mean)) ** 2).mean((0, 2, 3))
    expected = (images - channelwise(mean)) / (channelwise(variance) + 1e-5).sqrt() + channelwise(module.bias)
    torch.testing.assert_close(module.train(training)(images), expected)
    assert sum(p.numel() for p in module.parameters()) == 6


@pytest.mark.parametrize(("text", "groups"), [("gn 1", 1), ("gn 3", 3), ("gn 6", 6), ("ln", 1)])
def test_group_and_layer_norm_normalise_each_image_over_groups_of_channels(text: str, groups: int) -> None:
    _, module, images = made(text)
    assert isinstance(module, nn.GroupNorm)
    expected = groups_of(images, groups) * channelwise(module.weight) + channelwise(module.bias)
    torch.testing.assert_close(module(images), expected)


def test_layer_norm_of_features_normalises_over_them() -> None:
    _, module, features = made("ln", (12,))
    assert isinstance(module, nn.GroupNorm)
    expected = F.layer_norm(features, (12,), module.weight, module.bias)
    torch.testing.assert_close(module(features), expected)


def test_activations_are_the_functions_that_their_descriptions_give() -> None:
    x = torch.linspace(-8, 8, 6 * 7 * 9, dtype=torch.float64).view(1, *IMAGE)
    zero = torch.zeros_like(x)
    normal = 0.5 * (1 + torch.special.erf(x / math.sqrt(2)))
    expected = {
        "relu": torch.maximum(x, zero),
        "leaky 0.1": torch.where(x > 0, x, 0.1 * x),
        "prelu": torch.where(x > 0, x, 0.25 * x),
        "silu": x * sigmoid(x),
        "gelu": x * normal,
        "hardswish": x * (x + 3).clamp(0, 6) / 6,
    }
    for text, values in expected.items():
        (layer,) = parse_block(text)
        torch.testing.assert_close(layer.module(IMAGE, inplace=False).double()(x), values, msg=text)


@pytest.mark.parametrize("text", ["maxpool 3 stride=2 pad=1", "maxpool 2 stride=1", "maxpool 3", "maxpool 3 stride=4"])
def test_max_pools_take_the_maximum_of_each_window(text: str) -> None:
    layer, module, images = made(text)
    size, stride, pad = layer.window
    expected = windows(images, size, stride, pad, -math.inf).amax(4)
    torch.testing.assert_close(module(images), expected)
    assert layer.output(IMAGE) == tuple(expected.shape[1:])


@pytest.mark.parametrize("text", ["avgpool 3 stride=2 pad=1", "avgpool 2 stride=1", "avgpool 2 pad=1", "avgpool 3"])
def test_mean_pools_count_padding_as_zeros(text: str) -> None:
    layer, module, images = made(text)
    size, stride, pad = layer.window
    expected = windows(images, size, stride, pad, 0.0).sum(4) / size**2
    torch.testing.assert_close(module(images), expected)
    assert layer.output(IMAGE) == tuple(expected.shape[1:])


@pytest.mark.parametrize("text", ["blurpool", "blurpool 5", "blurpool 3 stride=1", "blurpool 7 stride=3", "blurpool 1"])
def test_blur_pools_weigh_windows_by_binomial_numbers_and_mirror_the_edges(text: str) -> None:
    layer, module, images = made(text)
    size, stride, half = layer.window
    row = torch.tensor([math.comb(size - 1, k) for k in range(size)], dtype=torch.float64) / 2 ** (size - 1)
    rows, columns = (range(0, side, stride) for side in IMAGE[1:])
    expected = torch.zeros(4, 6, len(rows), len(columns), dtype=torch.float64)
    for r, top in enumerate(rows):
        for c, left in enumerate(columns):
            for dy in range(size):
                for dx in range(size):
                    y, x = abs(top + dy - half), abs(left + dx - half)
                    y, x = min(y, 2 * 6 - y), min(x, 2 * 8 - x)  # the last row is 6, the last column 8
                    expected[:, :, r, c] += row[dy] * row[dx] * images[:, :, y, x]
    torch.testing.assert_close(module(images), expected)
    assert layer.output(IMAGE) == tuple(expected.shape[1:])
    assert not list(module.parameters())
    assert not module.state_dict()


@pytest.mark.parametrize(("reduction", "hidden"), [(2, 3), (4, 1), (100, 1)])
def test_squeeze_and_excitation_scales_channels_by_what_all_channels_say(reduction: int, hidden: int) -> None:
    layer, module, images = made(f"se {reduction}")
    squeeze, excite = module.get_submodule("squeeze"), module.get_submodule("excite")
    assert isinstance(squeeze, nn.Linear)
    assert isinstance(excite, nn.Linear)
    means = images.sum((2, 3)) / (7 * 9)
    middle = torch.relu(means @ squeeze.weight.T + squeeze.bias)
    scales = sigmoid(middle @ excite.weight.T + excite.bias)
    torch.testing.assert_close(module(images), images * scales[:, :, None, None])
    assert layer.parameters(IMAGE) == hidden * 6 + hidden + 6 * hidden + 6
    assert layer.multiply_adds(IMAGE) == 12 * hidden


def test_dropout2d_drops_whole_channels() -> None:
    _, module, images = made("dropout2d 0.4", (500, 3, 3))
    dropped = module.train()(images)
    kept = (dropped != 0).flatten(2)
    assert torch.equal(kept.all(2), kept.any(2))
    torch.testing.assert_close(dropped[kept.view_as(dropped)], (images / 0.6)[kept.view_as(dropped)])
    assert abs(kept.double().mean() - 0.6) < 0.05
    assert torch.equal(module.eval()(images), images)


@pytest.mark.parametrize(
    ("text", "pad", "dilation", "stride", "groups"),
    [("conv 3x3 12 depthwise pad=same", 1, 1, 1, 6), ("conv 3x3 4 dilation=2 stride=2 pad=same bias", 2, 2, 2, 1)],
)
def test_convolutions_with_new_options_are_pytorchs(
    text: str, pad: int, dilation: int, stride: int, groups: int
) -> None:
    layer, module, images = made(text)
    weight = module.get_parameter("weight")
    bias = module.get_parameter("bias") if text.endswith("bias") else None
    expected = F.conv2d(images, weight, bias, stride, pad, dilation, groups)
    torch.testing.assert_close(module(images), expected)
    assert layer.output(IMAGE) == tuple(expected.shape[1:])
    assert expected.shape[2:] == (math.ceil(7 / stride), math.ceil(9 / stride))


def test_a_separable_convolution_is_a_depthwise_one_and_a_1x1_without_anything_between() -> None:
    placed = lay_out(["sep 3x3 10 stride=2 pad=same", "gap"], IMAGE, 10)
    network = build_network(placed).double()
    depthwise, pointwise = (network.get_parameter(f"sep1.conv{n}.weight") for n in (1, 2))
    assert [depthwise.shape, pointwise.shape] == [(6, 1, 3, 3), (10, 6, 1, 1)]
    images = torch.randn(2, *IMAGE, dtype=torch.float64)
    expected = F.conv2d(F.conv2d(images, depthwise, None, 2, 1, 1, 6), pointwise).mean((2, 3))
    torch.testing.assert_close(network(images), expected)
    (sep,) = parse_block("sep 3x3 10 stride=2 pad=same")
    assert sep.output(IMAGE) == placed[1].output
    assert sep.parameters(IMAGE) == placed[0].parameters + placed[1].parameters == 54 + 60
    assert sep.multiply_adds(IMAGE) == placed[0].multiply_adds + placed[1].multiply_adds == 20 * (54 + 60)
    assert sep.module(IMAGE, inplace=False).double()(images).shape[1:] == placed[1].output


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("gn 4", IMAGE, "a number of channels that 4 groups divide"),
        ("gn 6", (6, 1, 1), "groups of more than one number"),
        ("ln", (1,), "groups of more than one number"),
        ("conv 3x3 8 depthwise", IMAGE, "a number of output channels that the 6 input channels divide"),
        ("conv 3x3 8 depthwise", (6,), "an image"),
        ("sep 3x3 8", (6,), "an image"),
        ("conv 3x3 8 dilation=4", IMAGE, "an image of at least 9x9"),
        ("maxpool 9 pad=0", IMAGE, "an image of at least 9x9"),
        ("blurpool 15", IMAGE, "an image of at least 8x8"),
        ("se 2", (6,), "an image"),
        ("dropout2d 0.1", (6,), "an image"),
    ],
)
def test_a_shape_that_does_not_fit_is_named(text: str, shape: Shape, message: str) -> None:
    (layer,) = parse_block(text)
    with pytest.raises(ShapeError, match=message):
        layer.parts(shape)[0].output(shape)


def test_a_module_has_the_shape_and_the_parameters_that_its_layer_counts() -> None:
    texts = {
        "avgpool": "avgpool 2", "maxpool": "maxpool 2", "conv": "conv 3x3 12", "sep": "sep 3x3 4", "linear": "linear 3",
        "dropout": "dropout 0.1", "dropout2d": "dropout2d 0.1", "gn": "gn 2", "leaky": "leaky 0.1", "se": "se 2",
    }  # fmt: skip
    for word in LAYERS:
        shape = (12,) if word == "linear" else IMAGE
        (layer,) = parse_block(texts.get(word, word))
        module = layer.module(shape, inplace=False)
        assert layer.parameters(shape) == sum(p.numel() for p in module.parameters()), word
        inputs = torch.randn(2, *shape)
        assert layer.output(shape) == tuple(module(inputs).shape[1:]), word
