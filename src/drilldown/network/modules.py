"""The PyTorch module of a network in block notation: the one that is trained, and the one that is judged.

They differ where a convolution has `expand=`: the trained module is wider, and `fold_network` makes the judged one.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from drilldown.network.layers import Add, BatchNorm, Conv, ExpandedConv, Linear
from drilldown.network.layout import IMAGE, PlacedLayer


class Layers(nn.Module):
    """A network in block notation: only the notation's layers, in the order of the layout.

    It maps images (N, channels, height, width) to logits (N, classes).
    """

    def __init__(self, placed: Sequence[PlacedLayer]) -> None:
        super().__init__()
        self.steps = tuple((item.name, item.sources) for item in placed)
        """The name of each step's module, and the steps whose outputs it takes."""
        last = {source: index for index, item in enumerate(placed) for source in item.sources}
        self.done = tuple(tuple(sorted(s for s in last if last[s] == index)) for index in range(len(placed)))
        """The outputs that no later step takes."""

    def __iter__(self) -> Iterator[nn.Module]:
        """The modules of all steps; a shared one comes several times."""
        return (self.get_submodule(name) for name, _ in self.steps)

    @property
    def is_chain(self) -> bool:
        """Whether each step takes only the output of the step before it."""
        return all(sources == (index - 1,) for index, (_, sources) in enumerate(self.steps))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Calculates all steps; an output is let go of when no later step takes it."""
        values = {IMAGE: images}
        for index, module in enumerate(self):
            values[index] = module(*(values[source] for source in self.steps[index][1]))
            for source in self.done[index]:
                del values[source]
        return values[len(self.steps) - 1]


class Group(nn.Module):
    """The modules of a table, or of a layer that stands for several; `Layers` calls them one by one."""


def build_network(placed: Sequence[PlacedLayer], *, training: bool = False) -> Layers:
    """Makes the PyTorch module of a network; PyTorch's global generator initialises it.

    *Arguments*: `training`: with the modules that are trained; `fold_network` makes the others from them.

    >>> from drilldown.network.layout import lay_out
    >>> build_network(lay_out(["flatten, linear 10"], (1, 28, 28), 10))
    Layers(
      (flatten1): Flatten(start_dim=1, end_dim=-1)
      (linear1): Linear(in_features=784, out_features=10, bias=True)
    )
    """
    network = Layers(placed)
    takers = Counter(source for item in placed for source in item.sources)
    for item in placed:
        if item.shared:
            continue
        (source, *others) = item.sources
        previous = None if source == IMAGE else placed[source].layer
        # A layer may overwrite its input if no other takes it, and the layer before does not need it for the gradient.
        inplace = not others and takers[source] == 1 and isinstance(previous, Conv | BatchNorm | Linear | Add)
        make = item.layer.training_module if training else item.layer.module
        *groups, name = item.name.split(".")
        parent: nn.Module = network
        for group in groups:
            if not hasattr(parent, group):
                parent.add_module(group, Group())
            parent = getattr(parent, group)
        parent.add_module(name, make(item.input, inplace=inplace))
    return network


def fold_network(network: nn.Module) -> nn.Module:
    """The network that is judged and saved: each module that has a method `fold` is replaced by what it returns.

    *Returns* the network itself where there is nothing to fold, else a copy.
    """
    if not any(isinstance(module, ExpandedConv) for module in network.modules()):
        return network
    folded = copy.deepcopy(network)
    for name, module in list(folded.named_modules()):
        if isinstance(module, ExpandedConv):
            parent, _, own = name.rpartition(".")
            setattr(folded.get_submodule(parent), own, module.fold())
    return folded
