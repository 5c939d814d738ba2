"""Logits of images, and their normalisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from drilldown.evaluation.predictions import BATCH, normalise_pixels, predict_logits


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_each_channel_of_the_training_images_gets_mean_0_and_deviation_1(channels: int) -> None:
    draw = np.random.default_rng(channels)
    pixels = np.stack([draw.integers(60 * c, 60 * c + 70, (50, 6, 9)) for c in range(channels)], axis=1).astype(
        "float32"
    )
    mean, std = (pixels / 255.0).mean((0, 2, 3)), (pixels / 255.0).std((0, 2, 3))
    normal = normalise_pixels(torch.from_numpy(pixels), mean.tolist(), std.tolist()).double().numpy()
    np.testing.assert_allclose(normal.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(normal.std((0, 2, 3)), 1, atol=1e-5)


def test_logits_of_many_colour_images_are_those_of_each_image() -> None:
    images = torch.randint(256, (BATCH + 3, 3, 4, 5), dtype=torch.uint8)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(60, 2))
    logits = predict_logits(network, images, (0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
    weight, bias = (tensor.detach().double().numpy() for tensor in network[1].parameters())
    for index in (0, BATCH - 1, BATCH, BATCH + 2):
        normal = [
            (images[index, c].numpy() / 255 - m) / s for c, (m, s) in enumerate([(0.4, 0.1), (0.5, 0.2), (0.6, 0.3)])
        ]
        np.testing.assert_allclose(
            logits[index].numpy(), weight @ np.concatenate(normal).ravel() + bias, rtol=1e-4, atol=1e-4
        )
