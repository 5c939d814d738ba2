"""The optimizers that a recipe can name."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from drilldown.table import BelowOne, NonNegative, Positive, Table


class SGD(Table):
    """Stochastic gradient descent as in PyTorch.

    The weight decay is part of the gradient, and the first momentum buffer is the first gradient.
    """

    name: Literal["sgd"]
    """The optimizer's name."""
    lr: Positive
    """The learning rate per step; the peak, if a schedule changes it."""
    momentum: BelowOne = 0.0
    """The fraction of the momentum buffer that each step keeps."""
    nesterov: bool = False
    """Whether the momentum is Nesterov's."""
    weight_decay: NonNegative = 0.0
    """The factor of the weights that is added to the gradient."""

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov = true without momentum, expected a momentum above 0")
        return self

    def create(self, network: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
        """Makes PyTorch's optimizer for all parameters of the network."""
        return torch.optim.SGD(
            network.parameters(), self.lr, self.momentum,
            nesterov=self.nesterov, weight_decay=self.weight_decay, fused=fused,
        )  # fmt: skip


class _AdamTable(Table):
    """The settings that Adam and AdamW share."""

    lr: Positive
    """The learning rate per step; the peak, if a schedule changes it."""
    betas: tuple[BelowOne, BelowOne] = Field(default=(0.9, 0.999), strict=False)
    """The decay per step of the running means of the gradient and of the squared gradient."""
    eps: Positive = 1e-8
    """The number that is added to the denominator, so that it is never zero."""


class Adam(_AdamTable):
    """Adam; the weight decay is part of the gradient.

    *Source*: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015.
    """

    name: Literal["adam"]
    """The optimizer's name."""
    weight_decay: NonNegative = 0.0
    """The factor of the weights that is added to the gradient."""

    def create(self, network: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
        """Makes PyTorch's optimizer for all parameters of the network."""
        return torch.optim.Adam(network.parameters(), self.lr, self.betas, self.eps, self.weight_decay, fused=fused)


class AdamW(_AdamTable):
    """Adam with a weight decay that is separate from the gradient.

    *Source*: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
    """

    name: Literal["adamw"]
    """The optimizer's name."""
    weight_decay: NonNegative = 0.01
    """The factor, times the learning rate, by which each step reduces the weights."""

    def create(self, network: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
        """Makes PyTorch's optimizer for all parameters of the network."""
        return torch.optim.AdamW(network.parameters(), self.lr, self.betas, self.eps, self.weight_decay, fused=fused)


class NAdam(_AdamTable):
    """Adam with Nesterov's momentum; the weight decay is part of the gradient.

    *Source*: Dozat, "Incorporating Nesterov Momentum into Adam", 2016.
    """

    name: Literal["nadam"]
    """The optimizer's name."""
    momentum_decay: NonNegative = 4e-3
    """The speed with which the momentum rises to its final value, as in PyTorch."""
    weight_decay: NonNegative = 0.0
    """The factor of the weights that is added to the gradient."""

    def create(self, network: nn.Module, *, fused: bool) -> torch.optim.Optimizer:  # noqa: ARG002
        """Makes PyTorch's optimizer for all parameters of the network."""
        return torch.optim.NAdam(
            network.parameters(), self.lr, self.betas, self.eps, self.weight_decay, self.momentum_decay
        )


class RMSprop(Table):
    """Steps divided by the root of a running mean of the squared gradient; the weight decay is part of the gradient.

    *Source*: Hinton, Srivastava and Swersky, "Neural Networks for Machine Learning", lecture 6e, 2012.
    """

    name: Literal["rmsprop"]
    """The optimizer's name."""
    lr: Positive
    """The learning rate per step; the peak, if a schedule changes it."""
    alpha: BelowOne = 0.99
    """The decay per step of the running mean."""
    eps: Positive = 1e-8
    """The number that is added to the root, so that it is never zero."""
    momentum: BelowOne = 0.0
    """The fraction of the momentum buffer that each step keeps."""
    centered: bool = False
    """Whether the root is that of an estimate of the variance: the mean gradient is subtracted."""
    weight_decay: NonNegative = 0.0
    """The factor of the weights that is added to the gradient."""

    def create(self, network: nn.Module, *, fused: bool) -> torch.optim.Optimizer:  # noqa: ARG002
        """Makes PyTorch's optimizer for all parameters of the network."""
        return torch.optim.RMSprop(
            network.parameters(), self.lr, self.alpha, self.eps, self.weight_decay, self.momentum, self.centered
        )


Optimizer = Annotated[SGD | Adam | AdamW | NAdam | RMSprop, Field(discriminator="name")]
