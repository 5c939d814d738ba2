"""Random numbers that depend on nothing but their name.

Every draw of a run comes from a stream named by (seed, purpose, epoch). A resumed run therefore needs no
saved generator: it asks for the stream of its next epoch and gets the numbers that it would have had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


def stream(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """A new CPU generator for one purpose in one epoch.

    *Arguments*: `seed`: the run's seed. `purpose`: the use of the numbers, such as `"order"`. `epoch`: from 1; 0 for
    draws that happen once.

    >>> a = torch.randperm(5, generator=stream(0, "order", 1))
    >>> b = torch.randperm(5, generator=stream(0, "order", 1))
    >>> bool((a == b).all())
    True
    """
    return torch.Generator().manual_seed(stream_seed(seed, purpose, epoch))


def stream_seed(seed: int, purpose: str, epoch: int = 0) -> int:
    """The seed of a named stream, for generators that are not PyTorch's; arguments as of `stream`.

    >>> stream_seed(0, "order", 1) == stream(0, "order", 1).initial_seed()
    True
    """
    digest = hashlib.sha256(f"drilldown/{seed}/{purpose}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def global_stream(seed: int, purpose: str, epoch: int = 0) -> AbstractContextManager[None]:
    """Puts PyTorch's global generators on a named stream inside the block, and restores them after it.

    For code that takes no generator of its own: a layer's initial weights, a user's module.
    """
    return global_seed(stream_seed(seed, purpose, epoch))


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seeds PyTorch's global generators inside the block, and restores them after it."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
