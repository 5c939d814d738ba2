"""The weights and statistics of a network as flat tensors, in the order in which the C++ part reads them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from drilldown.network.layout import PlacedLayer

COUNT = "num_batches_tracked"
"""The name of batch norm's count of batches, the only buffer that is no statistic."""


class FlatNetwork:
    """Moves the numbers of a network between its module and flat tensors.

    The order is that of the steps of the layout. PyTorch's own order differs where a shared `repeat` has norms.
    """

    def __init__(self, network: nn.Module, layout: Sequence[PlacedLayer]) -> None:
        self.network = network
        own = [item.name for item in layout if not item.shared]
        modules = [(name, network.get_submodule(name)) for name in own]
        self.parameters = {n: p.shape for name, module in modules for n, p in module.named_parameters(prefix=name)}
        """The shapes of the parameters by their names."""
        self.statistics = {
            n: buffer.shape
            for name, module in modules
            for n, buffer in module.named_buffers(prefix=name)
            if not n.endswith(COUNT)
        }
        """The shapes of the running means and variances of batch norm by their names."""

    def read(self, module: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        """The weights and the statistics of a module with the same layers, flat."""
        parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
        weights = [parameters[name].detach().flatten() for name in self.parameters]
        return torch.cat(weights), torch.cat([torch.empty(0), *(buffers[name].flatten() for name in self.statistics)])

    def module(self, weights: torch.Tensor, running: torch.Tensor, steps: int) -> nn.Module:
        """A copy of the network with these weights and statistics, after a number of steps."""
        module = copy.deepcopy(self.network)
        parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
        with torch.no_grad():
            for name, values in self.split(weights).items():
                parameters[name].copy_(values)
            for name, values in _split(running, self.statistics).items():
                buffers[name].copy_(values)
            for name, buffer in buffers.items():
                if name.endswith(COUNT):
                    buffer.fill_(steps)
        return module

    def split(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Views of a flat tensor of weights, gradients or an optimizer's buffers, by the names of the parameters."""
        return _split(flat, self.parameters)


def _split(flat: torch.Tensor, shapes: dict[str, torch.Size]) -> dict[str, torch.Tensor]:
    parts = torch.split(flat, [shape.numel() for shape in shapes.values()])
    return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
