"""Measures which number of CPU threads trains faster with PyTorch.

Each operation of a small network takes microseconds, and after each PyTorch's threads wait for each other. If another
program takes the core of one of them, all wait until the system gives it back: a step of 13 ms with one thread takes up
to a second with two. Nothing but a measurement shows this, because it depends on the network and on the machine's other
work.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from drilldown.data.augmentation import draw_augmentation
from drilldown.data.dataset import Dataset
from drilldown.engines.engine import EpochPlan
from drilldown.engines.torch import TorchEngine
from drilldown.experiment.experiment import Experiment
from drilldown.randomness import keep_global_streams, stream, stream_seed
from drilldown.wording import count_text

MAX_SECONDS = 1.0
"""The measurement ends after about this time; a step of each number of threads is always measured."""
SHARE = 0.05
"""The longest measurement, as a share of the estimated training."""
MIN_TRAINING_SECONDS = 1.0
"""A shorter training is not measured: it could gain less than the measurement takes."""
MAX_ROUNDS = 20
CLEARLY_FASTER = 0.8
"""Fewer threads are chosen if their steps take less than this share of the time with all threads.

Below that a difference may be chance, and the same command should give the same bits."""


def choose_by_measurement(experiment: Experiment, dataset: Dataset, most: int, on_notice: Callable[[str], None]) -> int:
    """The number of threads that trains an experiment faster with PyTorch on the CPU: all, half of them, or one.

    Trains some steps with each number on a network that is thrown away. Weights and random streams of the training
    are not touched, and a short training is not measured.

    *Arguments*: `dataset`: the images to train on. `most`: all threads, the default. `on_notice`: told the choice if it
    is not the default.
    """
    candidates = sorted({1, max(1, most // 2), most})
    if len(candidates) == 1:
        return most
    with keep_global_streams():
        try:
            seconds = measure_steps(_make_step(experiment, dataset), candidates, _count_steps(experiment, dataset))
        except (Exception, SystemExit):  # noqa: BLE001 - of a user's module or its loss: the training reports it
            return most
        finally:
            torch.set_num_threads(most)
    chosen = pick_threads(seconds, most)
    if chosen != most:
        on_notice(
            f"PyTorch trains with {count_text(chosen, 'thread')}: a step takes {1000 * seconds[chosen]:,.0f} ms, "
            f"and with {count_text(most, 'thread')} {1000 * seconds[most]:,.0f} ms"
        )
    return chosen


def measure_steps(step: Callable[[], object], candidates: list[int], steps: int) -> dict[int, float]:
    """The seconds of a step with each number of threads, which take turns.

    *Arguments*: `step`: trains one step. `candidates`: numbers of threads, in ascending order. `steps`: those of the
    whole training.

    *Returns* the mean without the slowest step; empty for a training that is too short to measure.
    """

    def timed(threads: int) -> float:
        torch.set_num_threads(threads)
        started = time.perf_counter()
        step()
        return time.perf_counter() - started

    fewest = candidates[0]
    timed(fewest)  # the first step of all prepares much that is not needed again
    samples = {threads: [timed(threads)] for threads in candidates[:1]}
    training = steps * samples[fewest][0]  # one thread never waits for another one: a sound estimate
    if training < MIN_TRAINING_SECONDS:
        return {}
    end = time.perf_counter() + min(MAX_SECONDS, SHARE * training)
    for _ in range(MAX_ROUNDS):
        for threads in candidates:
            if time.perf_counter() > end and len(samples) == len(candidates):
                break
            samples.setdefault(threads, []).append(timed(threads))
    return {threads: _typical(each) for threads, each in samples.items()}


def pick_threads(seconds: dict[int, float], most: int) -> int:
    """The fastest number of threads, or `most` if none is clearly faster.

    >>> pick_threads({1: 0.9, 2: 1.0}, 2), pick_threads({1: 0.5, 2: 1.0}, 2), pick_threads({}, 2)
    (2, 1, 2)
    """
    fast = {threads: each for threads, each in seconds.items() if each < CLEARLY_FASTER * seconds[most]}
    return min(fast, key=fast.__getitem__) if fast else most


def _typical(samples: list[float]) -> float:
    """The mean without the slowest step, which may be one accident; a median would miss that every fifth step waits."""
    return statistics.fmean(sorted(samples)[: max(1, len(samples) - 1)])


def _count_steps(experiment: Experiment, dataset: Dataset) -> int:
    recipe = experiment.recipe
    return recipe.epochs * -(-len(dataset.train) // recipe.batch_size)


def _make_step(experiment: Experiment, dataset: Dataset) -> Callable[[], object]:
    """A step on the first images, with a learning rate of 0, so that the loss stays finite."""
    recipe, seed = experiment.recipe, 0
    engine = TorchEngine(experiment.build_for_training(seed), recipe, dataset, device=torch.device("cpu"))
    count = min(recipe.batch_size, len(dataset.train))
    _, height, width = dataset.image_shape
    plan = EpochPlan(
        epoch=1,
        order=torch.arange(count),
        draws=draw_augmentation(recipe.augment, count, stream(seed, "threads"), height, width),
        learning_rates=[0.0],
        dropout_seed=stream_seed(seed, "threads"),
    )
    return lambda: engine.train_epoch(plan)
