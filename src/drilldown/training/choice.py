"""Chooses engine, device and number of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import torch

from drilldown.data.dataset import Dataset
from drilldown.engines.engine import Engine
from drilldown.engines.native.engine import NativeEngine, why_unsupported
from drilldown.engines.native.library import EngineUnavailableError
from drilldown.engines.torch import TorchEngine
from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.experiment import Experiment
from drilldown.settings import DeviceName, EngineName

MAX_THREADS = 64
CORES = torch.get_num_threads()
"""Asked once, at import: training with PyTorch changes its number of threads."""

OnNotice = Callable[[str], None]
"""Called with a sentence about a slow step or a decision before training begins."""


def choose_engine(
    experiment: Experiment,
    dataset: Dataset,
    seed: int,
    *,
    name: str,
    device: torch.device,
    threads: int,
    on_notice: OnNotice,
) -> Engine:
    """Creates the engine that trains the experiment.

    *Arguments*: `name`: `native`, `torch`, or `auto`, which takes the native engine where it supports the experiment
    and tells `on_notice` the reason where it does not.

    *Raises* DrilldownError where there is no such engine, or the native one is asked for and cannot train this.
    """
    if name not in get_args(EngineName):
        raise DrilldownError(
            Problem(found=f'unknown engine "{name}"', expected=f"one of {', '.join(get_args(EngineName))}")
        )
    if name == "native" or (name == "auto" and device.type == "cpu"):
        reason = why_unsupported(experiment, device)
        if reason is None:
            try:
                return NativeEngine(experiment, dataset, seed=seed, threads=threads, on_notice=on_notice)
            except EngineUnavailableError as unavailable:
                reason = str(unavailable)
        if name == "native":
            raise DrilldownError(
                Problem(
                    found=f"the native engine cannot train this: {reason}",
                    suggestion="use --engine torch; or --engine auto, which falls back to it",
                )
            )
        on_notice(f"training with PyTorch; the native engine cannot: {reason}")
    if device.type == "cpu":
        torch.set_num_threads(threads)
    return TorchEngine(experiment.build(seed), experiment.recipe, dataset, device=device)


def choose_threads(threads: int | None) -> int:
    """The number of CPU threads: all cores by default; raises DrilldownError outside 1 to MAX_THREADS."""
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise DrilldownError(
            Problem(place="--threads", found=f"{threads} threads", expected=f"a number from 1 to {MAX_THREADS}")
        )
    return threads or min(CORES, MAX_THREADS)


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is CUDA where PyTorch finds it. Raises DrilldownError where there is none."""
    if name not in get_args(DeviceName):
        raise DrilldownError(
            Problem(found=f'unknown device "{name}"', expected=f"one of {', '.join(get_args(DeviceName))}")
        )
    if name == "cuda" and not torch.cuda.is_available():
        raise DrilldownError("PyTorch finds no CUDA device; use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
