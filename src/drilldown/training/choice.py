"""Chooses engine, device and number of threads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import torch

from drilldown.data.dataset import Dataset
from drilldown.engines.engine import Engine
from drilldown.engines.native.engine import NativeEngine, why_unsupported
from drilldown.engines.native.library import EngineUnavailableError
from drilldown.engines.torch import TorchEngine
from drilldown.errors import CannotTrainError, DrilldownError, Problem
from drilldown.evaluation.predictions import BATCH as EVALUATED_AT_ONCE
from drilldown.experiment.experiment import Experiment
from drilldown.memory import check_memory
from drilldown.network.summary import FLOAT_BYTES
from drilldown.settings import DeviceName, EngineName
from drilldown.training.thread_choice import choose_by_measurement

MAX_THREADS = 64
COPIES = 6
"""Tensors of a parameter's size at most: the weight, its gradient, three buffers of RMSprop, an average."""
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
    threads: int | None,
    on_notice: OnNotice,
) -> Engine:
    """Creates the engine that trains the experiment.

    *Arguments*: `name`: `native`, `torch`, or `auto`, which takes the native engine where it supports the experiment
    and tells `on_notice` the reason where it does not. `threads`: of the CPU; None takes all cores, or with PyTorch
    the number that trains faster, see `drilldown.training.thread_choice`.

    *Raises* DrilldownError where there is no such engine; CannotTrainError where the native one is asked for and cannot
    train this, and where there is too little memory.
    """
    if name not in get_args(EngineName):
        raise DrilldownError(
            Problem(found=f'unknown engine "{name}"', expected=f"one of {', '.join(get_args(EngineName))}")
        )
    most = choose_threads(threads)
    if name == "native" or (name == "auto" and device.type == "cpu"):
        reason = why_unsupported(experiment, device)
        if reason is None:
            try:
                return NativeEngine(experiment, dataset, seed=seed, threads=most, on_notice=on_notice)
            except EngineUnavailableError as unavailable:
                reason = str(unavailable)
        if name == "native":
            raise CannotTrainError(
                Problem(
                    found=f"the native engine cannot train this: {reason}",
                    suggestion="use --engine torch; or --engine auto, which falls back to it",
                )
            )
        on_notice(f"training with PyTorch; the native engine cannot: {reason}")
    if device.type == "cpu":
        try:
            check_memory(
                training_bytes(experiment),
                f"training with batches of {experiment.recipe.batch_size:,} images",
                place="recipe.batch_size",
                suggestion="try a smaller number, fewer layers or fewer channels",
            )
        except DrilldownError as error:
            raise CannotTrainError(*error.problems) from None
        most = most if threads else choose_by_measurement(experiment, dataset, most, on_notice)
    torch.set_num_threads(most)
    return TorchEngine(experiment.build_for_training(seed), experiment.recipe, dataset, device=device)


def training_bytes(experiment: Experiment) -> int:
    """About the memory, in bytes, that PyTorch takes to train and evaluate, beside the data.

    For the backward pass it keeps the output of every layer for all images of a batch. Measured on networks of 5 to
    900 layers, it takes 0.7 to 1.6 times these outputs, the more the more dropout there is.
    """
    summary, layout = experiment.model_summary, experiment.layout
    if layout is None:
        outputs, weights = sum(math.prod(row.output) for row in summary.layers), summary.parameters
    else:  # convolutions with expand= are larger in training than in the summary
        outputs = sum(item.trained_outputs for item in layout)
        weights = sum(item.trained_parameters for item in layout)
    trained = 3 * outputs * FLOAT_BYTES * experiment.recipe.batch_size // 2
    evaluated = summary.peak_activation_bytes * EVALUATED_AT_ONCE
    return max(trained, evaluated) + COPIES * weights * FLOAT_BYTES


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
