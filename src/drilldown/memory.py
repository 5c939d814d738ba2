"""How much memory this process can still take, and a message before it takes too much.

A process that takes more than there is does not fail: the operating system kills it, or everything becomes slow.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil

from drilldown.errors import DrilldownError, Problem

CGROUPS = Path("/sys/fs/cgroup")
"""The folder of control groups, by which containers, systemd and clusters limit memory."""
OWN_CGROUPS = Path("/proc/self/cgroup")
"""The file that names the groups of this process."""


def available_memory() -> int:
    """The bytes that this process can still take: the least of free memory, control groups and `ulimit -v`.

    >>> available_memory() > 1_000_000
    True
    """
    free = [psutil.virtual_memory().available, *_left_in_cgroups()]
    if sys.platform == "linux":
        import resource

        allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
        if allowed != resource.RLIM_INFINITY:
            free.append(allowed - psutil.Process().memory_info().vms)
    return max(0, min(free))


def _left_in_cgroups() -> Iterator[int]:
    """Yields the bytes that each memory limit of this process leaves, in version 2 and in version 1."""
    try:
        own = OWN_CGROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in own:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, limit, used, cached = CGROUPS, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root, limit, used = CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cached = "total_inactive_file"
        else:
            continue
        group = PurePosixPath(path)
        for above in (group, *group.parents):  # a limit also holds for the groups below it
            folder = root / above.relative_to("/")
            with contextlib.suppress(OSError, ValueError, KeyError):  # no such file, or "max"
                left = int((folder / limit).read_text()) - int((folder / used).read_text())
                stat = dict(row.split() for row in (folder / "memory.stat").read_text().splitlines())
                yield left + int(stat[cached])  # the system drops these copies of files when memory is needed


def check_memory(
    needed: int,
    purpose: str,
    *,
    file: Path | str | None = None,
    place: str | None = None,
    suggestion: str | None = None,
) -> None:
    """Refuses what does not fit into memory.

    *Arguments*: `needed`: bytes. `purpose`: what takes them, as the subject of a sentence. `file`, `place` and
    `suggestion`: see `Problem`.

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
                place=place,
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
