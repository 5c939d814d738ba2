"""Weights with few bits: the rounding of `precision = "int4"`, which training, evaluation and export share.

The weights of an output channel are whole numbers times a step, and the largest of them is 7 or −7: four bits. The
first and the last layer have 8 bits, so there it is 127 or −127; the last layer has one step for all its channels,
because the logits are compared with each other.

*Source*: Hubara, Courbariaux, Soudry, El-Yaniv and Bengio, "Quantized Neural Networks: Training Neural Networks with
Low Precision Weights and Activations", 2018. The straight-through gradient is from Bengio, Léonard and Courville,
"Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation", 2013.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from drilldown.network.layers import ExpandedConv
from drilldown.network.modules import Layers, fold_network

INNER_BITS, OUTER_BITS = 4, 8
"""The bits of a weight: of the first and the last layer, and of those between them."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """The rounding of one layer's weights.

    >>> weights = torch.tensor([[0.7, -0.26], [0.05, 0.2]])
    >>> Rounding(4).integers(weights).tolist()
    [[7.0, -3.0], [2.0, 7.0]]
    >>> Rounding(4, one_step=True).integers(weights).tolist()
    [[7.0, -3.0], [0.0, 2.0]]
    """

    bits: int
    """Of a weight, with its sign."""
    one_step: bool = False
    """Whether all output channels have the same step."""

    def steps(self, weight: torch.Tensor) -> torch.Tensor:
        """The step of each output channel, (out, 1, …): the largest weight over the largest whole number.

        *Arguments*: `weight`: (out, …).
        """
        size = weight.detach().abs()
        largest = size.amax(tuple(range(1, size.dim())), keepdim=True)
        if self.one_step:
            largest = largest.amax(0, keepdim=True).expand_as(largest)
        steps = largest / (2 ** (self.bits - 1) - 1)
        return torch.where(steps == 0, 1.0, steps)  # all weights are 0; where they are NaN, that must show

    def integers(self, weight: torch.Tensor) -> torch.Tensor:
        """The whole numbers that stand for the weights; a half becomes the even one."""
        return (weight.detach() / self.steps(weight)).round_()

    def apply(self, weight: torch.Tensor) -> torch.Tensor:
        """The rounded weights. The gradient passes as if nothing were rounded: straight through."""
        result: torch.Tensor = _Rounded.apply(weight, self)  # type: ignore[no-untyped-call]
        return result


class _Rounded(torch.autograd.Function):
    """Rounds forward, and does nothing backward."""

    generate_vmap_rule = True  # for several networks at once, see drilldown.engines.replicas

    @staticmethod
    def forward(weight: torch.Tensor, rounding: Rounding) -> torch.Tensor:
        return rounding.integers(weight).mul_(rounding.steps(weight))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        """Keeps nothing: the gradient does not depend on the weights."""

    @staticmethod
    def backward(_: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0], None


def roundings(network: nn.Module) -> dict[str, Rounding]:
    """The rounding of each convolution and linear layer of a network in block notation, by the module's name.

    A layer that is used several times is the first or the last one if one of its uses is.

    >>> roundings(drilldown.load("under-8k").build())["conv6"]
    Rounding(bits=4, one_step=False)
    """
    assert isinstance(network, Layers)
    names = [
        name
        for name, _ in network.steps
        if isinstance(network.get_submodule(name), nn.Conv2d | nn.Linear | ExpandedConv)
    ]
    found = dict.fromkeys(names, Rounding(INNER_BITS))
    if names:
        found |= {names[0]: Rounding(OUTER_BITS), names[-1]: Rounding(OUTER_BITS, one_step=True)}
    return found


class RoundedConv(nn.Conv2d):
    """A convolution that calculates with rounded weights."""

    rounding: Rounding

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Applies the convolution."""
        result: torch.Tensor = self._conv_forward(images, self.rounding.apply(self.weight), self.bias)
        return result


class RoundedLinear(nn.Linear):
    """A linear layer that calculates with rounded weights."""

    rounding: Rounding

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Applies the layer."""
        return F.linear(features, self.rounding.apply(self.weight), self.bias)


class RoundedExpandedConv(ExpandedConv):
    """A convolution with `expand=` that is folded in each step: the folded weights are those that are rounded."""

    rounding: Rounding

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Applies the folded convolution."""
        weight, middle, bias = self.rounding.apply(self.folded_weight()), self.middle, self.narrow.bias
        return F.conv2d(images, weight, bias, middle.stride, middle.padding, middle.dilation)


_ROUNDED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: RoundedConv, nn.Linear: RoundedLinear, ExpandedConv: RoundedExpandedConv,
}  # fmt: skip
_PLAIN = {rounded: plain for plain, rounded in _ROUNDED.items()}


def install_rounding(network: nn.Module) -> None:
    """Makes each convolution and linear layer calculate with rounded weights.

    The weights themselves stay exact, so that small steps add up; names stay, too.
    """
    for name, rounding in roundings(network).items():
        module = network.get_submodule(name)
        module.__class__ = _ROUNDED[type(module)]
        module.rounding = rounding  # type: ignore[assignment]


@torch.no_grad()
def round_network(network: nn.Module) -> nn.Module:
    """The network that is judged and saved: a copy with plain layers, folded, whose weights are rounded."""
    rounded = copy.deepcopy(fold_network(network))
    for name, rounding in roundings(rounded).items():
        module = rounded.get_submodule(name)
        module.__class__ = _PLAIN.get(type(module), type(module))
        weight = module.get_parameter("weight")
        weight.copy_(rounding.apply(weight))
    return rounded
