"""A network's layers in the layout in which PyTorch's convolutions compute on a CPU.

On a CPU, PyTorch hands convolutions to the library oneDNN, which computes on blocks of eight or sixteen channels and
converts every input to them and every output back: on layers of 8 to 20 channels that costs as much as the convolution.
Here images are converted once, before the first convolution, and keep the layout through all layers that support it.
The layers, their weights and their results are the same; a step of the flagship takes between three quarters and
nine tenths of the time (benchmarks/README.md).
"""

from __future__ import annotations

import itertools
import platform
from collections.abc import Sequence

import torch
from torch import nn

from drilldown.network.modules import Layers

KNOWN = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d)
"""The layers that PyTorch can train in oneDNN's layout."""
DENSE = (nn.AdaptiveAvgPool2d, nn.BatchNorm1d, nn.Flatten, nn.Linear)
"""Layers that come with few numbers, at the end of a network: converting these costs nothing."""


def onednn_is_faster(network: Layers, device: torch.device) -> bool:
    """Whether this layout can be used, and is faster on the processors on which it was measured.

    Any other layer, such as dropout, needs another layout, and converting every image twice costs more than the layout
    gains. In a network with skips, images would have to be converted at each sum.
    """
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return (
        available
        and device.type == "cpu"
        and platform.machine().lower() in ("x86_64", "amd64")
        and network.is_chain
        and all(isinstance(layer, KNOWN + DENSE) for layer in network)
        and not any(isinstance(layer, nn.BatchNorm2d) and layer.weight is None for layer in network)
    )


def reorder_layers(network: Layers) -> list[nn.Module]:
    """The layers, with each relu moved behind the maximum that follows it: the same result, with less work.

    >>> network = drilldown.load("under-8k").build(0)
    >>> [type(layer).__name__ for layer in reorder_layers(network)][3:7]
    ['Conv2d', 'BatchNorm2d', 'MaxPool2d', 'ReLU']
    """
    layers = list(network)
    for i, (one, other) in enumerate(itertools.pairwise(layers)):
        if isinstance(one, nn.ReLU) and isinstance(other, nn.MaxPool2d):
            layers[i], layers[i + 1] = other, nn.ReLU()  # not in place: the backward pass needs the maximum's output
    return layers


def onednn_forward(layers: Sequence[nn.Module], images: torch.Tensor) -> torch.Tensor:
    """Applies the layers one after another; autograd differentiates the result as usual.

    One thing differs: a relu or a maximum in this layout treats NaN as small. So the training also checks the
    gradients, where NaN stays NaN.

    >>> network = drilldown.load("under-8k").build(0).train()
    >>> images = torch.rand(8, 1, 28, 28)
    >>> torch.allclose(onednn_forward(reorder_layers(network), images), network(images), atol=1e-5)
    True
    """
    x = images
    for layer in layers:
        if isinstance(layer, nn.Conv2d) and not x.is_mkldnn:
            x = x.to_mkldnn()
        elif x.is_mkldnn and not isinstance(layer, KNOWN):
            x = x.to_dense()
        x = layer(x)
    return x.to_dense() if x.is_mkldnn else x
