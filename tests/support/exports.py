"""Networks with weights as after a training, for the tests of the export."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from drilldown.export.c.writing import Program, write_program
from drilldown.export.folding import fold
from drilldown.export.graph import Graph
from drilldown.export.integer import IntegerGraph
from drilldown.export.names import ScheduleName
from drilldown.export.quantise import quantise
from drilldown.network.blocks import Block, layers_in
from drilldown.network.layout import PlacedLayer, lay_out
from drilldown.network.modules import build_network
from drilldown.network.rounding import round_network, roundings
from support.networks import CLASSES, networks

EVERY_LAYER: list[Block] = [
    "conv 3x3 6 pad=same, bn, relu, dropout 0.1",
    {"skip": ["conv 3x3 8 stride=2 pad=same groups=2, bn, leaky 0.1", "conv 3x3 8 pad=same depthwise, bn"]},
    "relu, bn",
    {"repeat": 2, "shared": True, "layers": ["conv 3x3 8 dilation=2 pad=same bias, bn, prelu"]},
    "sep 3x3 6 pad=same, silu, maxpool 2",
    "blurpool 3 stride=1, gelu, maxpool 3 stride=1 pad=1, avgpool 2 stride=1 pad=1, hardswish",
]  # fmt: skip
HEADS = ["gap, linear 4", "conv 3x3 4 pad=1, gap", "flatten, bn, linear 6, relu, linear 4", "conv 1x1 4, relu, gap",
         "gap, bn, relu, linear 4", "gap, linear 6, leaky 0.2, linear 4, hardswish"]  # fmt: skip
"""Networks of four classes: the first layers, and several ends."""

MEANS, DEVIATIONS = (0.13, 0.48, 0.3, 0.6), (0.31, 0.25, 0.2, 0.28)
"""Of the pixels of up to four channels."""


def trained(layout: Sequence[PlacedLayer], seed: int = 0) -> nn.Module:
    """A network in evaluation mode, in float64; its batch norms have statistics, and its norms a scale and a shift."""
    torch.manual_seed(seed)
    network = build_network(layout).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.get_buffer("running_mean").normal_(0, 0.3)
            module.get_buffer("running_var").uniform_(0.2, 2)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm):
            for tensor in module.parameters():
                nn.init.normal_(tensor, 0.5, 0.7)
        if isinstance(module, nn.PReLU):
            nn.init.normal_(module.weight, 0.3, 0.5)
    return network


def normalisation(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return MEANS[:channels], DEVIATIONS[:channels]


def random_images(count: int, image: Sequence[int], seed: int = 0) -> torch.Tensor:
    """Images of noise, (N, channels, height, width), uint8; one is black, and one is white."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, *image), dtype=torch.uint8, generator=generator)
    for index, value in itertools.islice(enumerate((0, 255)), count):
        images[index] = value
    return images


def folded(blocks: Sequence[Block], image: tuple[int, int, int], classes: int, seed: int = 0) -> Graph:
    layout = lay_out(blocks, image, classes)
    return fold(layout, trained(layout, seed), *normalisation(image[0]))


def rounded(blocks: Sequence[Block], image: tuple[int, int, int], seed: int = 0) -> tuple[Graph, nn.Module]:
    """The graph and its network, with weights as a training with `precision = "int4"` leaves them."""
    layout = lay_out(blocks, image, CLASSES)
    network = round_network(trained(layout, seed)).float()
    return fold(layout, network, *normalisation(image[0]), roundings(network)), network.double()


STRICT = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")
"""Flags for gcc and clang that accept no doubtful code."""
SANITIZED = (*STRICT, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def int8_networks() -> st.SearchStrategy[tuple[list[Block], tuple[int, int, int]]]:
    """Networks whose layers all have a calculation with integers."""
    refused = {"gn", "ln", "se"}
    return networks(most=6, channels=4).filter(
        lambda drawn: not {layer.word for layer in layers_in(drawn[0])} & refused
    )


def need_program(name: str, package: str) -> None:
    """Skips a test where a program is missing; in CI on Linux, which installs it, the test fails."""
    if shutil.which(name) is None:
        reason = f"{name} is not installed (Debian and Ubuntu: apt install {package})"
        pytest.fail(reason) if os.environ.get("CI") and sys.platform == "linux" else pytest.skip(reason)


def compile_and_run(program: Program, main: str, folder: Path) -> str:
    """Compiles a network with a program of the test, and returns the program's output."""
    program.write(folder)
    (folder / "main.c").write_text(main)
    sources = [str(folder / "main.c"), str(folder / f"{program.name}.c")]
    subprocess.run(["gcc", "-std=c99", *sources, "-o", str(folder / "main")], check=True, capture_output=True)
    return subprocess.run([str(folder / "main")], check=True, capture_output=True, text=True).stdout


@functools.cache
def every_layer_program(
    schedule: ScheduleName = "rows", head: str = HEADS[0]
) -> tuple[Program, torch.Tensor, IntegerGraph]:
    """A small int8 network with every kind of layer: as C, with images, and in integers."""
    graph, images = folded([*EVERY_LAYER, head], (1, 12, 12), CLASSES), random_images(8, (1, 12, 12))
    network = quantise(graph, images)
    return write_program(network, "test", schedule), images, network
