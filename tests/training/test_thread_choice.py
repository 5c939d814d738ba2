"""The measurement of threads: it takes the faster number, changes nothing else, and is recorded."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from drilldown import Compute, Folders, Training, load
from drilldown.data.dataset import Dataset
from drilldown.experiment.experiment import Experiment
from drilldown.runs.callback import Callback
from drilldown.runs.perform import perform
from drilldown.training import choice, thread_choice
from drilldown.training.thread_choice import choose_by_measurement, measure_steps, pick_threads
from support.cli import write_idx

WAITING = """\
import random
import time

import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    '''A step takes longer with more threads, as on a machine with other work.'''

    def __init__(self):
        super().__init__()
        self.logits = nn.Linear(784, 10)

    def forward(self, images):
        {line}
        noise = torch.rand(1) + np.random.rand() + random.random() if self.training else 0
        return self.logits(images.flatten(1)) + 0.01 * noise
"""
SLOW = "time.sleep(0.004 * torch.get_num_threads() ** 2)"


@pytest.fixture(autouse=True)
def _one_thread_again() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Experiment]:
    """Makes an experiment with an own module, on a machine with two cores."""
    monkeypatch.setattr(choice, "CORES", 2)
    monkeypatch.setattr(thread_choice, "MIN_TRAINING_SECONDS", 0.0)
    write_idx(tmp_path / "letters", train=60, test=20)

    def make(line: str = SLOW, epochs: int = 2) -> Experiment:
        (tmp_path / "model.py").write_text(WAITING.format(line=line))
        (tmp_path / "a.toml").write_text(
            'title = "A"\n[network]\npython = "model.py:Net"\n'
            f'[recipe]\ndataset = "./letters"\nepochs = {epochs}\nbatch_size = 20\n'
        )
        return load(tmp_path / "a.toml")

    return make


def test_the_number_with_the_shortest_step_is_measured() -> None:
    seconds = measure_steps(lambda: time.sleep(0.002 * torch.get_num_threads() ** 2), [1, 2, 4], steps=1_000_000)
    assert pick_threads(seconds, most=4) == 1
    assert seconds.keys() == {1, 2, 4}
    assert seconds[1] >= 0.002


def test_more_threads_are_taken_where_they_are_faster() -> None:
    seconds = measure_steps(lambda: time.sleep(0.02 / torch.get_num_threads()), [1, 2, 4], steps=1_000_000)
    assert pick_threads(seconds, most=4) == 4


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [({1: 0.81, 2: 1.0}, 2), ({1: 0.79, 2: 1.0}, 1), ({1: 0.7, 2: 0.6, 4: 1.0}, 2), ({1: 1.0, 2: 1.0, 4: 0.9}, 4)],
    ids=str,
)
def test_a_small_difference_leaves_the_default(seconds: dict[int, float], chosen: int) -> None:
    assert pick_threads(seconds, max(seconds)) == chosen


def test_one_accident_decides_nothing_and_repeated_waiting_does() -> None:
    assert thread_choice._typical([0.01] * 9 + [5.0]) == pytest.approx(0.01)
    assert thread_choice._typical(([0.01] * 4 + [1.0]) * 2) > 0.1


def test_a_short_training_is_not_measured() -> None:
    tried: list[int] = []
    assert measure_steps(lambda: tried.append(torch.get_num_threads()), [1, 2], steps=100) == {}
    assert tried == [1, 1]


def test_a_measurement_takes_about_a_second_at_most() -> None:
    started = time.perf_counter()
    seconds = measure_steps(lambda: time.sleep(0.3), [1, 2], steps=1_000_000)
    assert seconds.keys() == {1, 2}
    assert time.perf_counter() - started < 3


def test_the_faster_number_trains_and_is_said_and_recorded(waiting: Callable[..., Experiment], tmp_path: Path) -> None:
    experiment, notices = waiting(), Notices()
    run = perform(experiment, folders=Folders(runs=tmp_path / "measured"), callback=notices)
    (line,) = [text for text in notices.texts if "thread" in text]
    assert line.startswith("PyTorch trains with 1 thread: a step takes ")
    assert line.endswith(" ms")
    assert run.read().summary.threads == 1
    checkpoint = run.checkpoint(experiment, 0)
    assert checkpoint is not None
    assert checkpoint.threads == 1


def test_the_result_is_that_of_the_chosen_number_without_a_measurement(
    waiting: Callable[..., Experiment],
) -> None:
    experiment = waiting("")
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    first = Training(experiment, compute=Compute(threads=1))
    list(first)
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    chosen = choose_by_measurement(experiment, experiment.recipe.load_dataset(), 2, lambda _: None)
    assert chosen in (1, 2)
    again = Training(experiment, compute=Compute(threads=1))
    list(again)
    assert all(
        torch.equal(a, b) for a, b in zip(*(each.engine.state().values() for each in (first, again)), strict=True)
    )


def test_a_resumed_training_keeps_its_threads_without_a_measurement(waiting: Callable[..., Experiment]) -> None:
    training = Training(waiting())
    next(iter(training))
    assert training.threads == 1
    notices: list[str] = []
    resumed = Training(waiting(""), checkpoint=training.checkpoint(), on_notice=notices.append)
    assert resumed.threads == 1
    assert not [text for text in notices if "a step takes" in text]


def test_a_given_number_is_never_overruled(waiting: Callable[..., Experiment]) -> None:
    notices: list[str] = []
    assert Training(waiting(), compute=Compute(threads=2), on_notice=notices.append).threads == 2
    assert not [text for text in notices if "a step takes" in text]


def test_the_native_engine_takes_all_cores(waiting: Callable[..., Experiment], tiny: Dataset) -> None:
    waiting()
    assert Training(load("under-8k", ["recipe.dataset=glyphs"]), tiny, compute=Compute(engine="native")).threads == 2


@pytest.mark.parametrize("error", ["ValueError('no')", "SystemExit(1)", "KeyError('no')"])
def test_a_module_that_fails_while_training_is_left_to_the_training(
    error: str, waiting: Callable[..., Experiment]
) -> None:
    experiment = waiting(f"if self.training: raise {error}")
    assert choose_by_measurement(experiment, experiment.recipe.load_dataset(), 2, lambda _: None) == 2


class Notices(Callback):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_notice(self, text: str) -> None:
        self.texts.append(text)
