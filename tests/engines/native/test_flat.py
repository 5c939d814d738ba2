"""Weights and statistics move between a module and flat tensors without a change."""

from __future__ import annotations

import torch

from drilldown.engines.native.flat import FlatNetwork
from drilldown.network.blocks import Block
from drilldown.network.layout import lay_out
from drilldown.network.modules import build_network

BLOCKS: list[Block] = [
    {"repeat": 2, "shared": True, "layers": ["conv 3x3 1 pad=same, bn", {"skip": ["conv 3x3 1 pad=same expand=2"]}]},
    "gap, linear 4",
]


def test_flat_tensors_follow_the_steps_and_shared_weights_come_once():
    layout = lay_out(BLOCKS, (1, 8, 8), 4)
    network = build_network(layout, training=True)
    flat = FlatNetwork(network, layout)
    names = list(flat.parameters)
    assert sorted(names) == sorted(name for name, _ in network.named_parameters())
    first, second = (next(i for i, name in enumerate(names) if f"pass{n}.bn" in name) for n in (1, 2))
    assert names.index("repeat1.conv1.weight") < first < names.index("repeat1.skip1.conv1.widen.weight") < second


def test_a_module_made_from_flat_tensors_gives_the_same_flat_tensors():
    layout = lay_out(BLOCKS, (1, 8, 8), 4)
    flat = FlatNetwork(build_network(layout, training=True), layout)
    weights, running = (torch.rand_like(part) for part in flat.read(flat.network))
    again = flat.read(flat.module(weights, running, steps=3))
    assert all(torch.equal(*pair) for pair in zip(again, (weights, running), strict=True))
