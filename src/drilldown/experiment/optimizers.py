"""The optimizers that a recipe can name."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from drilldown.table import BelowOne, NonNegative, Positive, Table


class SGD(Table):
    """Stochastic gradient descent as PyTorch defines it: decay in the gradient, first buffer = first gradient."""

    name: Literal["sgd"]
    lr: Positive
    """Learning rate; the peak, where a schedule changes it."""
    momentum: BelowOne = 0.0
    nesterov: bool = False
    weight_decay: NonNegative = 0.0

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov = true without momentum, expected a momentum above 0")
        return self

    def create(self, network: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
        """PyTorch's optimizer over the network's parameters."""
        return torch.optim.SGD(
            network.parameters(), self.lr, self.momentum,
            nesterov=self.nesterov, weight_decay=self.weight_decay, fused=fused,
        )  # fmt: skip


class _AdamTable(Table):
    lr: Positive
    """Learning rate; the peak, where a schedule changes it."""
    betas: tuple[BelowOne, BelowOne] = Field(default=(0.9, 0.999), strict=False)
    """Decay of the running means of gradient and squared gradient."""
    eps: Positive = 1e-8


class Adam(_AdamTable):
    """Adam, weight decay in the gradient (Kingma and Ba, 2015)."""

    name: Literal["adam"]
    weight_decay: NonNegative = 0.0

    def create(self, network: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
        """PyTorch's optimizer over the network's parameters."""
        return torch.optim.Adam(network.parameters(), self.lr, self.betas, self.eps, self.weight_decay, fused=fused)


class AdamW(_AdamTable):
    """Adam, weight decay apart from the gradient (Loshchilov and Hutter, 2019)."""

    name: Literal["adamw"]
    weight_decay: NonNegative = 0.01

    def create(self, network: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
        """PyTorch's optimizer over the network's parameters."""
        return torch.optim.AdamW(network.parameters(), self.lr, self.betas, self.eps, self.weight_decay, fused=fused)


Optimizer = Annotated[SGD | Adam | AdamW, Field(discriminator="name")]
