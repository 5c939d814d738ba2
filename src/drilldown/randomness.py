"""Random numbers that depend on nothing but their name.

Every draw of a run comes from a stream named by (seed, purpose, epoch). A resumed run therefore needs no
saved generator: it asks for the stream of its next epoch and gets the numbers that it would have had.
"""

from __future__ import annotations

import hashlib
import operator
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch

from drilldown.errors import DrilldownError, Problem


def check_seed(seed: int) -> int:
    """Returns a seed as Python's whole number; raises DrilldownError where it is none.

    >>> check_seed(np.int64(3))
    3
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < 10**18:  # a longer number could not be read from a run folder's name
        raise DrilldownError(
            Problem(place="seed", found=f"found {seed!r}", expected="a whole number from 0 to 10**18 - 1")
        )
    return number


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


@contextmanager
def keep_global_streams() -> Iterator[None]:
    """Restores the global generators of PyTorch, NumPy and Python after the block.

    For trial steps: a user's module may draw from any of them, and the training after it must not notice.

    >>> torch.manual_seed(0) and None
    >>> with keep_global_streams():
    ...     first = torch.rand(3)
    >>> bool((torch.rand(3) == first).all())
    True
    """
    kept_numpy, kept_python = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        np.random.set_state(kept_numpy)
        random.setstate(kept_python)
