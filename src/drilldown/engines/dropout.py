"""A fast dropout for the CPU: the usual one takes a third of the epoch.

On a CPU, PyTorch draws a Bernoulli number per element through a generic random-number library: 29 % of an epoch of
`eva5-s5/06` on two cores, more than all forward convolutions together. Sixteen random bits per element are as
good and cheaper; benchmarks/README.md has the figures. `dropout2d` draws one number for each channel, so PyTorch's own
is cheap enough; it draws from the global generator, which has the same seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

LEVELS = 2**16


class FastDropout(nn.Dropout):
    """`nn.Dropout`, its probability rounded to a multiple of 2⁻¹⁶ where it runs on the CPU.

    The kept elements are scaled by the inverse of the *rounded* probability's complement, so that the expected
    value is exact.
    """

    bits: np.random.SFC64 | None = None
    """The source of the random bits; without it, PyTorch's own dropout is used."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Drops elements in training mode; the identity in evaluation mode."""
        if not self.training or self.p == 0:
            return inputs
        if self.bits is None or inputs.device.type != "cpu":
            return F.dropout(inputs, self.p)
        dropped = min(round(self.p * LEVELS), LEVELS - 1)
        count = inputs.numel()
        bits = self.bits.random_raw((count + 3) // 4).view(np.int16)
        mask = torch.from_numpy(bits)[:count].view(inputs.shape) >= dropped - LEVELS // 2
        result: torch.Tensor = _Masked.apply(inputs, mask, LEVELS / (LEVELS - dropped))  # type: ignore[no-untyped-call]
        return result


def install_fast_dropout(network: nn.Module) -> None:
    """Replaces every plain dropout layer of a network by a fast one; weights and names stay."""
    for module in network.modules():
        if type(module) is nn.Dropout and not module.inplace:
            module.__class__ = FastDropout


def reseed_dropout(network: nn.Module, seed: int) -> None:
    """Seeds the random bits of all fast dropout layers; they draw from one stream, in turn."""
    bits = np.random.SFC64(seed)
    for module in network.modules():
        if isinstance(module, FastDropout):
            module.bits = bits


class _Masked(torch.autograd.Function):
    """x · mask · scale in one pass, forward and backward."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, mask: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return torch.ops.aten.native_dropout_backward(inputs, mask, scale)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (mask,) = ctx.saved_tensors
        return torch.ops.aten.native_dropout_backward(gradients[0], mask, ctx.scale), None, None
