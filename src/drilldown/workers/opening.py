"""Opens the pool that a command asks for, and counts the workers that this machine can take."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from drilldown.memory import available_memory
from drilldown.runs.pool import InProcessPool, Pool, PoolCallback
from drilldown.settings import Compute, Folders
from drilldown.training.choice import choose_device

WORKER_BYTES = 700_000_000
"""About the memory of a worker: PyTorch, MNIST, and a small network in training."""


@contextlib.contextmanager
def open_pool(
    compute: Compute,
    folders: Folders,
    callback: PoolCallback,
    *,
    workers: int = 1,
    crew: Path | None = None,
    again: bool = False,
    keep_going: bool = False,
) -> Iterator[Pool]:
    """Opens a pool of workers on this machine or on those of a crew; a single worker is this process itself.

    *Arguments*: `workers`: their number on this machine; 0 takes as many as `count_workers` says. `crew`: the file of
    a crew. `again`: repeat finished runs. `keep_going`: a task that fails does not end the others.

    *Raises* DrilldownError where there is no such device, or no such crew.
    """
    if crew is not None:
        from drilldown.workers.crew_pool import CrewPool

        with CrewPool(crew, compute, folders, callback, again=again, keep_going=keep_going) as crew_pool:
            yield crew_pool
        return
    device = choose_device(compute.device)
    workers = workers or count_workers(device.type)
    if workers == 1:
        yield InProcessPool(compute, folders, callback, again=again, keep_going=keep_going)
        return
    threads = compute.threads or max(1, count_cores() // workers)
    gpus = _count_gpus() if device.type == "cuda" else 0
    shared = Compute(engine=compute.engine, device="cuda" if gpus else "cpu", threads=threads)
    from drilldown.workers.cluster import Cluster, start_local  # one worker needs no Dask, which takes half a second
    from drilldown.workers.local_pool import LocalPool

    def start() -> Cluster:
        return start_local(workers, gpus)

    with LocalPool(start, shared, folders, callback, again=again, keep_going=keep_going) as pool:
        yield pool


def count_workers(device: str) -> int:
    """The number of workers that this machine can take: one a core or GPU, and not more than fit into memory.

    *Arguments*: `device`: `cpu` or `cuda`.
    """
    places = _count_gpus() if device == "cuda" else count_cores()
    return max(1, min(places, available_memory() // WORKER_BYTES))


def count_cores() -> int:
    """The number of cores that this process may use: a job of a cluster has a part of its machine's.

    >>> 1 <= count_cores() <= os.cpu_count()
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _count_gpus() -> int:
    return torch.cuda.device_count()
