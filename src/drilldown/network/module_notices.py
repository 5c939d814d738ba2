"""Doubts about a user's module: it can be trained, but it probably has a mistake."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from drilldown.network.layers import Shape
from drilldown.network.layout import call_network, evaluation_mode
from drilldown.randomness import global_stream

IMAGES = 4
"""The number of images of noise; in blank images, dropped and kept values would be the same."""
BRIGHT = 1_000.0
"""Logits grow with the pixels, probabilities do not."""
TOLERANCE = 1e-4


def _are_equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two outputs are the same to the last bit, where they are numbers."""
    return torch.allclose(first, second, rtol=0, atol=0, equal_nan=True)


def module_notices(network: nn.Module, image: Shape) -> Iterator[str]:
    """Yields a sentence for each doubt, from a few evaluations of noise.

    *Arguments*: `image`: (channels, height, width).
    """
    with contextlib.suppress(Exception):  # code that refuses noise may still train well
        yield from _notices(network, image)


def _notices(network: nn.Module, image: Shape) -> Iterator[str]:
    images = torch.randn(IMAGES, *image, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), evaluation_mode(network), global_stream(0, "trial"):
        first, second = call_network(network, images), call_network(network, images)
        if not _are_equal(first, second):
            with global_stream(0, "trial"):
                first = call_network(network, images)
            with global_stream(0, "trial"):
                second = call_network(network, images)
            yield _random_text(repeatable=_are_equal(first, second))
            return  # the outputs of single images differ by chance
        alone = torch.cat([call_network(network, images[i : i + 1]) for i in range(IMAGES)])
        bright = call_network(network, BRIGHT * images)
    if not torch.allclose(first, alone, rtol=1e-3, atol=TOLERANCE):
        yield "the network's output for an image depends on the other images of the batch, also in evaluation mode"
    if _is_distribution(first) and _is_distribution(bright):
        yield (
            "the network's output looks like probabilities (is there a softmax at the end?); it should be logits: "
            "the loss applies softmax itself, and a network with two of them trains badly"
        )
    elif _is_within_one(first) and _is_within_one(bright):
        yield (
            "the network's output stays between 0 and 1 (is there a sigmoid at the end?); it should be logits, without "
            "limits: the loss applies softmax itself"
        )


def _random_text(*, repeatable: bool) -> str:
    text = (
        "the network gives two outputs for the same image in evaluation mode "
        "(F.dropout needs training=self.training; nn.Dropout does this itself)"
    )
    if repeatable:
        return f"{text}; evaluation uses the same random numbers each time"
    return f"{text}; its random numbers do not come from PyTorch's global generator, so no result can be repeated"


def _is_distribution(output: torch.Tensor) -> bool:
    ones = torch.ones(len(output))
    return bool((output >= 0).all()) and torch.allclose(output.sum(1).float(), ones, atol=TOLERANCE)


def _is_within_one(output: torch.Tensor) -> bool:
    return bool(((output >= 0) & (output <= 1)).all())
