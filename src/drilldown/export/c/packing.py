"""Weights of 4 bits, two in a byte."""

from __future__ import annotations

from typing import Any

import torch

from drilldown.export.integer import IntegerConv
from drilldown.network.rounding import INNER_BITS


def pack(weights: torch.Tensor) -> torch.Tensor:
    """Puts the weights of two output channels into one byte, as weight + 8; the even channel has the low four bits.

    *Arguments*: `weights`: (out, …), whole numbers −7…7.

    *Returns* (pairs of out, …); an odd last channel has no partner.

    >>> pack(torch.tensor([[-7, 0], [7, 1], [3, -1]])).tolist()
    [[241, 152], [11, 7]]
    """
    nibbles = weights.long() + 8
    low, high = nibbles[::2], torch.zeros_like(nibbles[::2])
    high[: len(nibbles) // 2] = nibbles[1::2]
    return low + 16 * high


def is_packed(node: Any) -> bool:
    """Whether the weights of an operation have 4 bits."""
    return isinstance(node, IntegerConv) and node.bits == INNER_BITS
