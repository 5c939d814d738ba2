"""Equalises the channels between two convolutions before they are quantised, which changes no logit.

All channels of a tensor share one scale, so a channel with small numbers has few steps. If nothing but a relu, a leaky
relu or a pooling is between two convolutions, each channel can be divided by a factor in the first one's weights, and
multiplied by it in the second one's.

*Source*: Nagel, van Baalen, Blankevoort and Welling, "Data-Free Quantization Through Weight Equalization and Bias
Correction", 2019; with the numbers of calibration images in place of the first layer's weights.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from drilldown.export import graph
from drilldown.export.graph import Graph

MOST = 16.0
"""The largest factor between a channel and the middle of all; one that is nearly always 0 needs no finer steps."""


@torch.inference_mode()
def equalise(network: Graph, images: torch.Tensor) -> Graph:
    """Returns a graph with the same logits, whose tensors have channels of similar ranges.

    *Arguments*: `images`: the images that give the ranges, (N, channels, height, width), uint8.
    """
    pairs = {first: second for first in range(len(network.nodes)) if (second := _partner(network, first)) is not None}
    if not pairs:
        return network
    ranges = {first: torch.zeros(network.nodes[first].output[0], dtype=torch.float64) for first in pairs}
    for batch in torch.split(images, 250):
        for index, output in enumerate(network.calculate(batch.float())):
            if index in pairs:
                ranges[index] = torch.maximum(ranges[index], output.abs().amax((0, 2, 3)).double())
    nodes = list(network.nodes)
    for first, second in pairs.items():
        before, after = nodes[first], nodes[second]
        assert isinstance(before, graph.Conv)
        assert isinstance(after, graph.Conv)
        factors = _factors(ranges[first], after)
        nodes[first] = before.scaled(1 / factors)
        seen = after.weight.shape[1]
        by_output = factors.view(after.groups, 1, seen).repeat(1, len(after.weight) // after.groups, 1).view(-1, seen)
        steps = None if after.steps is None else after.steps * by_output[:, 0]
        nodes[second] = replace(after, weight=after.weight * by_output[:, :, None, None], steps=steps)
    return Graph(network.image, tuple(nodes))


def _partner(network: Graph, index: int) -> int | None:
    """The convolution behind a convolution, where only proportional functions of each channel are between them."""
    if not isinstance(network.nodes[index], graph.Conv):
        return None
    while network.takers[index] == 1:
        index = next(i for i, node in enumerate(network.nodes) if index in node.sources)
        node = network.nodes[index]
        if isinstance(node, graph.Conv):
            # Several factors in one output channel would change integers that the training chose.
            return index if node.steps is None or node.weight.shape[1] == 1 else None
        if not graph.is_proportional(node):
            return None
    return None


def _factors(ranges: torch.Tensor, after: graph.Conv) -> torch.Tensor:
    """The factor of each channel, (channels,), positive.

    Where each output of the second convolution sees one channel, its weights have a scale for each channel anyway, and
    the ranges become equal. Else ranges and weights meet in the middle.
    """
    out, seen = after.weight.shape[:2]
    largest = after.weight.abs().amax((2, 3)).view(after.groups, out // after.groups, seen).amax(1).view(-1)
    factors = ranges if seen == 1 else (ranges / largest).sqrt()
    usable = (ranges > 0) & (largest > 0)
    if not bool(usable.any()):
        return torch.ones_like(ranges)
    middle = factors[usable].log().mean().exp()
    return torch.where(usable, (factors / middle).clamp(1 / MOST, MOST), 1.0)
