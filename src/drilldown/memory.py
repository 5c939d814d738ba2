"""How much memory this process can still take, and a message before it takes too much.

A process that takes more than there is does not fail: the operating system kills it, or everything becomes slow.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import psutil

from drilldown.errors import DrilldownError, Problem

_CGROUP_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""The limit and the use of a container's memory, version 2 and version 1."""


def available_memory() -> int:
    """The bytes that this process can still take: what is free, and what a container or `ulimit -v` allows.

    >>> available_memory() > 1_000_000
    True
    """
    free = [psutil.virtual_memory().available]
    for limit, used in _CGROUP_FILES:
        with contextlib.suppress(OSError, ValueError):  # no such container, or "max"
            free.append(int(Path(limit).read_text()) - int(Path(used).read_text()))
    if sys.platform == "linux":
        import resource

        allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
        if allowed != resource.RLIM_INFINITY:
            free.append(allowed - psutil.Process().memory_info().vms)
    return max(0, min(free))


def check_memory(needed: int, purpose: str, *, file: Path | str | None = None, suggestion: str | None = None) -> None:
    """Refuses what does not fit into memory.

    *Arguments*: `needed`: bytes. `purpose`: what takes them, as the subject of a sentence.

    *Raises* DrilldownError with both figures.

    >>> check_memory(10**15, "loading the dataset")
    Traceback (most recent call last):
    drilldown.errors.DrilldownError: loading the dataset takes about 1,000,000.0 GB of memory; ... free...
    """
    available = available_memory()
    if needed > available:
        raise DrilldownError(
            Problem(
                file=file,
                found=f"{purpose} takes about {memory_text(needed)} of memory; {memory_text(available)} are free",
                suggestion=suggestion,
            )
        )


def memory_text(count: int) -> str:
    """A number of bytes in words.

    >>> memory_text(784_000_000), memory_text(31_200_000_000), memory_text(40_000)
    ('784 MB', '31.2 GB', '1 MB')
    """
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"
