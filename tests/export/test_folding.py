"""The folded graph gives the logits of the network, and has no layer that inference does not need."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.evaluation.predictions import normalise_pixels
from drilldown.export.folding import fold
from drilldown.export.graph import Conv
from drilldown.network.layers import LAYERS
from drilldown.network.layout import lay_out
from support.exports import folded, normalisation, random_images, trained
from support.networks import CLASSES, networks

IMAGE = (1, 12, 12)


@given(networks(most=6), st.integers(0, 1000))
@settings(max_examples=80, deadline=None)
def test_a_graph_gives_the_logits_of_the_network(network, seed) -> None:
    blocks, image = network
    layout = lay_out(blocks, image, CLASSES)
    module, (mean, std) = trained(layout, seed), normalisation(image[0])
    images = random_images(3, image, seed).double()
    with torch.no_grad():
        wanted = module(normalise_pixels(images, mean, std))
    found = fold(layout, module, mean, std).logits(images)
    assert torch.allclose(found, wanted, rtol=1e-9, atol=1e-9 * float(1 + wanted.abs().max()))


@pytest.mark.parametrize(
    ("blocks", "kinds"),
    [
        (["conv 3x3 4, bn, relu, dropout 0.1", "gap, linear 4"], ["conv", "gap", "conv"]),
        (["conv 3x3 4, relu, bn", "conv 3x3 4, relu, bn", "gap, linear 4"], ["conv", "conv", "gap", "conv"]),
        (["conv 3x3 4 pad=same, relu, bn, conv 3x3 4 pad=same", "gap"], ["conv", "conv", "conv", "gap"]),
        (["conv 3x3 4, relu, conv 1x1 4, gap"], ["conv", "gap", "conv"]),
        (["conv 3x3 4, relu, conv 1x1 4, bn, gap"], ["conv", "gap", "conv"]),
        (["conv 3x3 4, relu, maxpool 2, avgpool 2, flatten, bn, linear 4"],
         ["conv", "maxpool", "avgpool", "flatten", "conv"]),
        ([{"skip": ["conv 3x3 1 pad=same, bn"]}, "relu, gap, linear 4"], ["conv", "conv", "add", "gap", "conv"]),
    ],
)  # fmt: skip
def test_norms_activations_and_dropout_disappear(blocks, kinds) -> None:
    assert [node.kind for node in folded(blocks, IMAGE, 4).nodes] == kinds


@pytest.mark.parametrize("word", LAYERS)
def test_each_layer_is_exported_or_refused_by_name(word) -> None:
    arguments = {"conv": " 3x3 4 pad=same", "sep": " 3x3 4", "leaky": " 0.1", "gn": " 2", "se": " 2", "linear": " 4",
                 "dropout": " 0.1", "dropout2d": " 0.1", "maxpool": " 2", "avgpool": " 2"}  # fmt: skip
    text = word + arguments.get(word, "")
    blocks = ["conv 3x3 4", "flatten, linear 4" if word in ("flatten", "linear") else f"{text}, flatten, linear 4"]
    try:
        logits = folded(blocks, IMAGE, 4).logits(random_images(2, IMAGE).double())
    except DrilldownError as error:
        assert f'the export does not know the layer "{word}"' in str(error)  # noqa: PT017
    else:
        assert logits.shape == (2, 4)


def test_the_mean_of_a_pointwise_convolution_is_taken_before_it() -> None:
    _, mean, last = folded(["conv 3x3 6, relu, conv 1x1 4, gap"], IMAGE, 4).nodes
    assert (mean.output, last.input, last.output) == ((6, 1, 1), (6, 1, 1), (4, 1, 1))


def test_padding_around_an_image_is_the_pixel_that_normalises_to_zero() -> None:
    first, *_ = folded(["conv 3x3 4 pad=same, relu", "gap, linear 4"], (2, 8, 8), 4).nodes
    assert isinstance(first, Conv)
    assert first.padding is not None
    assert torch.allclose(first.padding, 255 * torch.tensor(normalisation(2)[0], dtype=torch.float64))
