"""Weights that the training rounded stay the trained integers: through folding, equalising, quantising, and in C."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from drilldown.export.c.compiling import compile_program, run_program
from drilldown.export.c.packing import pack
from drilldown.export.c.writing import write_program
from drilldown.export.integer import IntegerConv
from drilldown.export.quantise import quantise
from drilldown.network.blocks import Block
from drilldown.network.rounding import Rounding, roundings
from support.exports import EVERY_LAYER, HEADS, SANITIZED, STRICT, int8_networks, normalisation, random_images, rounded
from support.networks import CLASSES

few = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
many = settings(few, max_examples=120)
NETWORKS: dict[str, list[Block]] = {
    "bn before relu": ["conv 3x3 6, bn, relu, conv 3x3 5, bn, relu", "gap, linear 4"],
    "bn behind relu": ["conv 3x3 6, relu, bn, conv 3x3 5, relu, bn", "maxpool 2, conv 1x1 7, leaky 0.1, bn",
                       "gap, linear 4"],
    "bn behind a padded relu": ["conv 3x3 6, relu, bn, conv 3x3 5 pad=same, silu, bn, conv 1x1 5", "flatten, linear 4"],
    "bn before flatten": ["conv 3x3 6, relu, bn, flatten, linear 7, relu", "linear 4"],
    "depthwise": ["conv 3x3 6, relu, bn, sep 3x3 8 pad=same, relu, conv 3x3 8 groups=2, bn, relu, conv 1x1 4, gap"],
    "skips": ["conv 3x3 5, bn", {"skip": ["conv 3x3 7 pad=1, bn, relu"]}, "relu, bn, conv 1x1 3", "gap, linear 4"],
    "shared": ["conv 3x3 5", {"repeat": 2, "shared": True, "layers": ["conv 3x3 5, relu, bn"]}, "gap, linear 4"],
    "linear behind gap": ["conv 3x3 5, relu, gap, linear 5, relu, linear 3, gelu, linear 4"],
}  # fmt: skip


def check_integers(network: nn.Module, nodes: Sequence[object]) -> list[str]:
    """Compares each convolution's integers with those of the network, which are found by hand; returns their names."""
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    seen = []
    for node in nodes:
        if isinstance(node, IntegerConv) and node.name in names[1:-1]:
            weight = network.get_submodule(node.name).get_parameter("weight").detach().flatten(1)
            wanted = (weight / weight.abs().amax(1, keepdim=True) * 7).round().abs()
            assert node.bits == 4
            assert torch.equal(node.weight.double().flatten(1).abs(), wanted), node.name  # a bn may change signs
            seen.append(node.name)
    return seen


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_inner_layers_have_the_trained_integers_and_the_graph_the_logits(name: str, channels: int) -> None:
    image = (channels, 12, 11)
    graph, network = rounded(NETWORKS[name], image)
    images = random_images(8, image)
    mean, deviation = (torch.tensor(values).view(-1, 1, 1) for values in normalisation(channels))
    with torch.no_grad():
        wanted = network.eval()((images.double() / 255 - mean) / deviation)
    torch.testing.assert_close(graph.logits(images.double()), wanted, rtol=1e-6, atol=1e-6)
    integers = quantise(graph, images)
    inner = [item for item, rounding in roundings(network).items() if rounding.bits == 4]
    assert set(check_integers(network, integers.nodes)) == set(inner)
    found = integers.levels.value(integers.logits(images))
    assert float((found - wanted).abs().mean()) < 0.05 * float(wanted.abs().max() + wanted.std())


def test_the_outer_layers_of_grey_images_have_the_trained_integers_too() -> None:
    graph, network = rounded(NETWORKS["bn behind relu"], (1, 12, 11))
    nodes = {node.name: node for node in quantise(graph, random_images(8, (1, 12, 11))).nodes}
    for name, one_step in ("conv1", False), ("linear1", True):
        weight = network.get_submodule(name).get_parameter("weight").detach()
        wanted = Rounding(8, one_step).integers(weight).abs()
        node = nodes[name]
        assert isinstance(node, IntegerConv)
        assert node.bits == 8
        assert torch.equal(node.weight.double().view(wanted.shape).abs(), wanted), name


def test_packed_weights_are_pairs_of_channels() -> None:
    weights = torch.randint(-7, 8, (5, 3, 2, 2))
    packed = pack(weights)
    assert packed.shape == (3, 3, 2, 2)
    assert torch.equal((packed & 15)[:, :] - 8, weights[::2])
    assert torch.equal((packed[:2] >> 4) - 8, weights[1::2])


def check_code(blocks: Sequence[Block], image: tuple[int, int, int], seed: int, folder, flags=STRICT) -> None:
    graph, network = rounded(blocks, image, seed)
    images = random_images(10, image, seed)
    integers = quantise(graph, images[:8])
    check_integers(network, integers.nodes)
    for schedule in ("rows", "layers"):
        (folder / schedule).mkdir(exist_ok=True)
        program = write_program(integers, "test", schedule)
        program.write(folder / schedule)
        compiled = compile_program("net_int8", folder / schedule, folder / schedule, compiler=["gcc"], flags=flags)
        found = run_program(compiled, images, CLASSES, is_float=False)
        assert torch.equal(found, integers.logits(images)), schedule


needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


@needs_gcc
@pytest.mark.parametrize("name", NETWORKS)
def test_packed_code_gives_the_integers_of_the_reference(name: str, tmp_path) -> None:
    check_code(NETWORKS[name], (3, 12, 11), 1, tmp_path, SANITIZED if name == "depthwise" else STRICT)


@needs_gcc
@pytest.mark.parametrize("head", HEADS)
def test_packed_code_gives_the_integers_of_the_reference_for_every_layer(head: str, tmp_path) -> None:
    check_code([*EVERY_LAYER, head], (3, 13, 11), 1, tmp_path)


@needs_gcc
@few
@given(int8_networks(), st.integers(0, 999))
def test_packed_code_of_any_network_gives_the_integers_of_the_reference(tmp_path, network, seed) -> None:
    check_code(network[0], network[1], seed, tmp_path)


@needs_gcc
@pytest.mark.slow
@many
@given(int8_networks(), st.integers(0, 999))
def test_packed_code_of_many_networks_gives_the_integers_of_the_reference(tmp_path, network, seed) -> None:
    check_code(network[0], network[1], seed, tmp_path)


def test_packed_constants_take_half_of_the_bytes() -> None:
    blocks: list[Block] = ["conv 3x3 4, relu, conv 3x3 8, relu, conv 3x3 7, relu", "gap, linear 4"]
    graph, _ = rounded(blocks, (1, 12, 12))
    images = random_images(4, (1, 12, 12))
    weights = [4 * 9, 4 * 8 * 9 // 2, 8 * (7 + 1) * 9 // 2, 4 * 7]
    others = [(4 + 2) * channels for channels in (4, 8, 7)] + [4 * 4]  # bias, multiplier and shift; at the end, bias
    assert write_program(quantise(graph, images), "test").constants == sum(weights + others)
