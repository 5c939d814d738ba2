"""Random numbers that depend on nothing but their name.

Every draw of a run comes from a stream named by (seed, purpose, epoch). A resumed run therefore needs no
saved generator: it asks for the stream of the epoch it goes on with, and gets what it would have had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """A fresh CPU generator for one purpose in one epoch.

    *Arguments*: `seed`: the run's seed. `purpose`: what the numbers are for, such as `"order"`. `epoch`: from 1;
    0 for what happens once.

    >>> a = torch.randperm(5, generator=stream(0, "order", 1))
    >>> b = torch.randperm(5, generator=stream(0, "order", 1))
    >>> bool((a == b).all())
    True
    """
    digest = hashlib.sha256(f"drilldown/{seed}/{purpose}/{epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@contextmanager
def global_stream(seed: int, purpose: str, epoch: int = 0) -> Iterator[None]:
    """PyTorch's global generators, on a named stream for the time of the block and as they were after it.

    For what takes no generator of its own: dropout, a layer's initial weights, a user's module.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(stream(seed, purpose, epoch).initial_seed())
        yield
