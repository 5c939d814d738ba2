"""A network's layers in the layout in which PyTorch's convolutions compute on a CPU.

On a CPU, PyTorch hands convolutions to the library oneDNN, which computes on blocks of eight or sixteen channels and
turns every input into them and every output back: on layers of 8 to 20 channels that costs as much as the convolution.
Here images are turned once, where a convolution first wants them, and stay so through all layers that know the layout.
The layers, their weights and what they compute are the same; a step of the flagship takes three quarters of the time
(benchmarks/README.md).
"""

from __future__ import annotations

import platform

import torch
from torch import nn

from drilldown.network import Layers

KNOWN = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d)
"""The layers whose training PyTorch has for oneDNN's layout."""


def suits(device: torch.device) -> bool:
    """Whether networks are better trained so there: on the processors for which it was measured."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and device.type == "cpu" and platform.machine().lower() in ("x86_64", "amd64")


def forward(network: Layers, images: torch.Tensor) -> torch.Tensor:
    """What `network(images)` gives; to be differentiated alike.

    One thing differs: a relu or a maximum in this layout takes NaN for small. Whoever trains has to look at the
    gradients, where NaN stays NaN.

    >>> network = drilldown.load("under-8k").build(0).train()
    >>> images = torch.rand(8, 1, 28, 28)
    >>> torch.allclose(forward(network, images), network(images), atol=1e-5)
    True
    """
    x = images
    for layer in network:
        if isinstance(layer, nn.Conv2d) and not x.is_mkldnn:
            x = x.to_mkldnn()
        elif x.is_mkldnn and not isinstance(layer, KNOWN):
            x = x.to_dense()
        x = layer(x)
    return x.to_dense() if x.is_mkldnn else x
