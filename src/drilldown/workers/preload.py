"""Prepares the process of a worker, before it joins: Dask calls `dask_setup`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import click

from drilldown.workers.cluster import configure

STANDARD_INPUT = 0
"""The file descriptor."""


@click.command()
@click.option("--quiet", is_flag=True, help="Discard what the process prints: it shares the driver's terminal.")
def dask_setup(_worker: Any, quiet: bool) -> None:
    """Ignores Ctrl-C, on which only the driver acts, and leaves the input of the terminal to the user's shell."""
    configure()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, STANDARD_INPUT)
    if quiet:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
