"""The layer table of networks in block notation and of any module."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from drilldown import load
from drilldown.network.blocks import Block
from drilldown.network.layers.others import Excitation
from drilldown.network.layout import lay_out
from drilldown.network.modules import build_network
from drilldown.network.receptive_field import measure_receptive_fields
from drilldown.network.summary import ModelSummary, summarise_layers, summarise_module
from drilldown.resources import resource_folder
from support.networks import networks

SIDE, CLASSES = 26, 2
SHIPPED = sorted(resource_folder("studies").glob("*/*.toml"))


@st.composite
def stacks(draw: st.DrawFn) -> list[str]:
    """Blocks without padding, so that every window is inside the image."""
    blocks, side = [], SIDE
    for _ in range(draw(st.integers(1, 5))):
        if draw(st.booleans()):
            kernel, stride = draw(st.integers(1, min(5, side))), draw(st.integers(1, 3))
            blocks.append(f"conv {kernel}x{kernel} {CLASSES} stride={stride}")
            side = (side - kernel) // stride + 1
        else:
            size = draw(st.integers(1, min(3, side)))
            blocks.append(f"{draw(st.sampled_from(['maxpool', 'avgpool']))} {size}")
            side //= size
        blocks.append(draw(st.sampled_from(["relu", "relu, relu", "dropout 0.1"])))
    ending = ["gap", f"linear {CLASSES}"] if draw(st.booleans()) else [f"flatten, relu, linear {CLASSES}"]
    return [*blocks, *ending]


def field_of_the_middle_output(stack: nn.Sequential) -> tuple[int, int]:
    """The height and width of the input pixels that one output in the middle depends on."""
    image = torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    output = stack(image)
    middle = output[0, 0, output.shape[2] // 2, output.shape[3] // 2] if output.dim() == 4 else output[0, -1]
    (gradient,) = torch.autograd.grad(middle, image)
    rows, columns = gradient[0, 0].nonzero(as_tuple=True)
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


@settings(max_examples=50, deadline=None)
@given(stacks())
def test_the_receptive_field_contains_exactly_the_pixels_with_a_gradient(blocks: list[str]) -> None:
    placed = lay_out(blocks, (1, SIDE, SIDE), CLASSES)
    module = build_network(placed).double().eval()
    for name, child in list(module.named_children()):
        if isinstance(child, nn.MaxPool2d):  # the same windows, but with a gradient for every pixel
            module.set_submodule(name, nn.AvgPool2d(child.kernel_size))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_().add_(0.1)
    rows = summarise_layers(placed).layers
    for depth, (item, row) in enumerate(zip(placed, rows, strict=True), start=1):
        # Flat layers are left out; the next `linear` depends on the whole image.
        if len(item.output) == 3 or item.layer.word == "linear":
            assert field_of_the_middle_output(nn.Sequential(*list(module)[:depth])) == (
                row.receptive_field,
                row.receptive_field,
            ), row


def test_the_receptive_field_of_a_published_network_agrees_with_a_calculation_by_hand() -> None:
    model_summary = load("eva5-s5/06-dropout").model_summary
    fields = [row.receptive_field for row in model_summary.layers if row.layer.split()[0] in ("conv", "maxpool", "gap")]
    # 3x3, 3x3, pool, 3x3 and 3x3 at every second pixel, pool, 3x3 and 1x1 at every fourth, 2x2 average
    assert fields == [3, 5, 6, 10, 14, 16, 24, 24, 28]
    assert model_summary.receptive_field == 28


def assert_same_summary(measured: ModelSummary, computed: ModelSummary) -> None:
    def facts(model_summary: ModelSummary) -> list[tuple[object, ...]]:
        return [(row.name, row.output, row.parameters, row.multiply_adds) for row in model_summary.layers]

    assert facts(measured) == facts(computed)
    assert (measured.parameters, measured.multiply_adds) == (computed.parameters, computed.multiply_adds)
    for ours, exact in zip(measured.layers, computed.layers, strict=True):  # padding is no pixel, and is not measured
        assert (ours.receptive_field or 0) <= (exact.receptive_field or 0)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_forward_pass_and_the_notation_give_the_same_table(file: Path) -> None:
    experiment = load(file)
    measured = summarise_module(experiment.build(), experiment.image[0])
    assert_same_summary(measured, experiment.model_summary)
    fields = [
        (row.receptive_field, min(exact.receptive_field or 0, 28))
        for row, exact in zip(measured.layers, experiment.model_summary.layers, strict=True)
        if row.layer != "Flatten"  # its middle value can belong to a corner
    ]
    assert measured.receptive_field == fields[-1][1]
    # Where all values before a ReLU are negative, no gradient passes, and the field is not known.
    assert all(found in (None, exact) for found, exact in fields)
    assert sum(found is None for found, _ in fields) <= 2


def test_a_forward_pass_and_rare_notation_give_the_same_table() -> None:
    blocks = ["conv 3x3 6 stride=2 pad=1 groups=3 bias, relu", "avgpool 2", "conv 1x1 8 groups=2", "flatten, linear 4"]
    placed = lay_out(blocks, (3, 9, 9), 4)
    torch.manual_seed(0)
    assert_same_summary(summarise_module(build_network(placed), (3, 9, 9)), summarise_layers(placed))


def test_totals_are_sums_and_each_number_takes_four_bytes() -> None:
    model_summary = summarise_layers(
        lay_out(["conv 3x3 2 bias, bn, relu", "maxpool 2", "flatten, linear 3"], (1, 6, 6), 3)
    )
    convolution, linear = 2 * 9 + 2, (2 * 2 * 2 + 1) * 3
    assert model_summary.parameters == convolution + 2 * 2 + linear
    assert model_summary.weight_bytes == 4 * model_summary.parameters
    assert model_summary.multiply_adds == 4 * 4 * 2 * 9 + 8 * 3
    assert model_summary.peak_activation_bytes == 4 * (1 * 6 * 6 + 2 * 4 * 4)  # input and output of the convolution
    document = model_summary.to_json()
    assert document["parameters"] == sum(row["parameters"] for row in document["layers"])
    assert document["multiply_adds"] == sum(row["multiply_adds"] for row in document["layers"])
    assert document["receptive_field"] == document["layers"][-1]["receptive_field"] == 6


class Tied(nn.Module):
    """Two layers that share one weight, one layer that is used twice, and one separate weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 16, bias=False)
        self.second = nn.Linear(16, 16, bias=False)
        self.second.weight = self.first.weight
        self.last = nn.Linear(16, 16)
        self.scale = nn.Parameter(torch.ones(16))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        flat = images.flatten(1)
        return self.last(self.last(self.second(self.first(flat)))) * self.scale


def test_parameters_that_layers_share_are_counted_once() -> None:
    model_summary = summarise_module(Tied(), (1, 4, 4))
    assert [(row.name, row.parameters) for row in model_summary.layers] == [
        ("first", 256), ("second", 0), ("last", 272), ("last", 0)
    ]  # fmt: skip
    assert model_summary.parameters == 256 + 272 + 16
    assert model_summary.multiply_adds == 4 * 256  # shared layers are computed each time


class Broken(nn.Sequential):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        super().forward(images)
        raise RuntimeError("broken")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", [nn.Sequential, Broken])
def test_a_summary_does_not_change_the_module(kind: type[nn.Sequential], training: bool) -> None:
    module = kind(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten()).train(training)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    if kind is Broken:
        with pytest.raises(RuntimeError, match="broken"):
            summarise_module(module, (1, 4, 4))
    else:
        assert math.prod(summarise_module(module, (1, 4, 4)).layers[-1].output) == 8
    assert all(part.training is training for part in module.modules())
    assert not any(part._forward_hooks for part in module.modules())
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])


@settings(max_examples=15, deadline=None)
@given(networks(dropout=False, most=3, channels=1))
def test_receptive_fields_agree_with_those_measured_by_gradients(network: tuple[list[Block], object]) -> None:
    side = 48
    (*blocks, _), _ = network
    placed = lay_out([*blocks, f"gap, linear {CLASSES}"], (1, side, side), CLASSES)
    module = build_network(placed)
    for part in module.modules():
        if isinstance(part, Excitation):  # a unit that relu switches off would pass on no gradient
            part.squeeze.bias.data.fill_(10)
    rows = summarise_layers(placed).layers
    measured = measure_receptive_fields(module, list(module), (1, side, side), 1)
    for item, row, pixels in zip(placed, rows, measured, strict=True):
        assert row.receptive_field is not None
        if row.receptive_field <= 15:  # in the middle it does not touch the edges
            assert pixels == row.receptive_field, row
        elif item.layer.whole:  # strides can leave out pixels at the edge; padding is part of the image
            assert pixels is not None
            assert side - 9 <= pixels <= min(side, row.receptive_field), row
