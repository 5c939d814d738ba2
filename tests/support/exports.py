"""Networks with weights as after a training, for the tests of the export."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch
from hypothesis import strategies as st
from torch import nn

from drilldown.export.c.writing import Program
from drilldown.export.folding import fold
from drilldown.export.graph import Graph
from drilldown.network.blocks import Block, layers_in
from drilldown.network.layout import PlacedLayer, lay_out
from drilldown.network.modules import build_network
from support.networks import networks

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


STRICT = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")
"""Flags for gcc and clang that accept no doubtful code."""
SANITIZED = (*STRICT, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def int8_networks() -> st.SearchStrategy[tuple[list[Block], tuple[int, int, int]]]:
    """Networks whose layers all have a calculation with integers."""
    refused = {"gn", "ln", "se"}
    return networks(most=6, channels=4).filter(
        lambda drawn: not {layer.word for layer in layers_in(drawn[0])} & refused
    )


def compile_and_run(program: Program, main: str, folder: Path) -> str:
    """Compiles a network with a program of the test, and returns the program's output."""
    program.write(folder)
    (folder / "main.c").write_text(main)
    sources = [str(folder / "main.c"), str(folder / f"{program.name}.c")]
    subprocess.run(["gcc", "-std=c99", *sources, "-o", str(folder / "main")], check=True, capture_output=True)
    return subprocess.run([str(folder / "main")], check=True, capture_output=True, text=True).stdout
