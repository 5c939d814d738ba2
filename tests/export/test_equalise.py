"""Equal channels: the same logits, and smaller errors of the integers."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.export import graph
from drilldown.export.equalise import equalise
from drilldown.export.graph import Graph
from drilldown.export.quantise import quantise
from support.exports import folded, random_images
from support.networks import CLASSES, networks


@settings(max_examples=60, deadline=None)
@given(network=networks(most=6), seed=st.integers(0, 999))
def test_no_logit_changes(network, seed) -> None:
    blocks, image = network
    before = folded(blocks, image, CLASSES, seed)
    images = random_images(4, image, seed)
    after = equalise(before, images)
    wanted = before.logits(images.double())
    assert torch.allclose(after.logits(images.double()), wanted, rtol=1e-9, atol=1e-9 * float(1 + wanted.abs().max()))


def uneven() -> Graph:
    """Two channels, one 100 times as large as the other, and of the same weight for the logits."""
    image = (1, 1, 1)
    first = graph.Conv(
        name="first", sources=(-1,), input=image, output=(2, 1, 1), relu=True,
        weight=torch.tensor([1.0, 0.01], dtype=torch.float64).view(2, 1, 1, 1),
        bias=torch.zeros(2, dtype=torch.float64),
    )  # fmt: skip
    last = graph.Conv(
        name="last", sources=(0,), input=first.output, output=(2, 1, 1), bias=torch.zeros(2, dtype=torch.float64),
        weight=torch.tensor([[0.01, 0.0], [0.0, 1.0]], dtype=torch.float64)[:, :, None, None],
    )  # fmt: skip
    return Graph(image, (first, last))


def test_a_small_channel_gets_as_many_steps_as_a_large_one() -> None:
    """Both logits are the pixel over 100. With one scale for both channels, the small one would have three steps."""
    images = torch.arange(256, dtype=torch.uint8).view(-1, 1, 1, 1)
    network = quantise(uneven(), images)
    found = network.levels.value(network.logits(images))
    wanted = images.double().view(-1, 1).expand(-1, 2) / 100
    assert float((found - wanted).abs().max()) < 2 * 2.55 / 255
    first, last = equalise(uneven(), images).nodes
    assert isinstance(first, graph.Conv)
    assert isinstance(last, graph.Conv)
    # Ranges 255 and 2.55, weights 0.01 and 1: the factors are the roots of 25,500 and 2.55, over their middle.
    assert torch.allclose(first.weight.flatten(), torch.full((2,), 0.1, dtype=torch.float64))
    assert torch.allclose(last.weight.flatten()[[0, 3]], torch.full((2,), 0.1, dtype=torch.float64))


def test_the_flat_end_of_an_activation_takes_no_steps() -> None:
    """A silu of −10 is 0 to within half a step, so the steps begin near −6, not at −40."""
    image = (1, 1, 1)
    conv = graph.Conv(
        name="conv", sources=(-1,), input=image, output=(1, 1, 1), bias=torch.tensor([-40.0], dtype=torch.float64),
        weight=torch.tensor([0.18], dtype=torch.float64).view(1, 1, 1, 1),
    )  # fmt: skip
    silu = graph.Activation(name="silu", sources=(0,), input=image, output=image, function="silu")
    images = torch.arange(256, dtype=torch.uint8).view(-1, 1, 1, 1)  # −40 to 5.9
    network = quantise(Graph(image, (conv, silu)), images)
    first = network.nodes[0].levels
    assert -7 < -first.scale * first.zero < -4
    found = network.levels.value(network.logits(images))
    wanted = torch.nn.functional.silu(0.18 * images.double().view(-1, 1) - 40)
    rounded_weight = 0.18 * 255 / 126 / 2  # half a step of a weight of about 126 steps, times a white pixel
    assert float((found - wanted).abs().max()) < 1.5 * first.scale + rounded_weight
