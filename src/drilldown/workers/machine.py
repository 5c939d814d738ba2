"""What this machine offers to a crew: its workers, their threads or GPUs, and what they can train."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable

import torch

from drilldown.engines.native.library import EngineUnavailableError, load_library
from drilldown.errors import DrilldownError, Problem
from drilldown.workers.cluster import Offer
from drilldown.workers.crew import abilities
from drilldown.workers.opening import count_cores, count_workers
from drilldown.workers.remote import THREADS


def list_offers(workers: int, gpus: int | None, threads: int | None, on_notice: Callable[[str], None]) -> list[Offer]:
    """Lists the workers that this machine offers.

    *Arguments*: `workers`: their number on the CPU; 0: as many as fit. `gpus`: the number of GPUs, each with one
    worker; 0: all of them; None: workers on the CPU. `threads`: of each worker; None shares the cores out.

    *Raises* DrilldownError where there are no such GPUs.
    """
    machine = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"  # containers share names and numbers
    native = _has_native_engine(on_notice)
    if gpus is not None:
        found = torch.cuda.device_count()
        if found < max(1, gpus):
            raise DrilldownError(
                Problem(
                    place="--gpus", found=f"PyTorch finds {found} CUDA devices", expected=f"at least {max(1, gpus)}"
                )
            )
    count = (gpus or torch.cuda.device_count()) if gpus is not None else workers or count_workers("cpu")
    environment = {THREADS: str(threads or max(1, count_cores() // count))}
    return [
        Offer(
            name=f"{machine}-{number}",
            resources=tuple(abilities(native=native, cuda=gpus is not None)),
            environment=environment | {"CUDA_VISIBLE_DEVICES": "" if gpus is None else str(number)},
        )
        for number in range(count)
    ]


def _has_native_engine(on_notice: Callable[[str], None]) -> bool:
    try:
        load_library(on_notice)
    except EngineUnavailableError as error:
        on_notice(f"this machine trains only what PyTorch trains: {error}")
        return False
    return True
