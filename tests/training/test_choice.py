"""The choice of engine, device and threads."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from drilldown import Compute, Training, load
from drilldown.data.dataset import Dataset
from drilldown.errors import DrilldownError
from drilldown.training.choice import MAX_THREADS, choose_device, choose_threads
from support.cli import environment

GLYPHS = ["recipe.dataset=glyphs", "recipe.epochs=1"]


@pytest.mark.parametrize("wrong", [{"engine": "natve"}, {"device": "tpu"}, {"threads": 0}, {"threads": 65}], ids=str)
def test_a_wrong_choice_is_refused_with_the_valid_ones(wrong: dict[str, Any], tiny: Dataset) -> None:
    with pytest.raises(DrilldownError, match="expected") as refused:
        Training(load("under-8k", GLYPHS), tiny, compute=Compute(**wrong))
    assert refused.value.exit_code == 2


def test_a_cpu_is_always_there_and_auto_takes_cuda_where_pytorch_finds_it() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_cuda_device_is_named() -> None:
    with pytest.raises(DrilldownError, match="PyTorch finds no CUDA device"):
        choose_device("cuda")


def test_threads_are_the_given_number_or_all_cores() -> None:
    assert choose_threads(3) == 3
    assert choose_threads(MAX_THREADS) == MAX_THREADS
    assert 1 <= choose_threads(None) <= MAX_THREADS


def test_auto_trains_natively_and_says_why_where_it_cannot(tiny: Dataset) -> None:
    notices: list[str] = []
    nadam = load("under-8k", [*GLYPHS, 'recipe.optimizer={ name = "nadam", lr = 0.01 }'])
    training = Training(nadam, tiny, compute=Compute(device="cpu"), on_notice=notices.append)
    assert training.engine.name == "torch"
    assert notices == ["training with PyTorch; the native engine cannot: it has no nadam, only sgd, adam and adamw"]


def test_a_network_that_pytorch_has_no_memory_for_is_refused_with_both_figures(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = load("under-8k", [*GLYPHS, f"network.layers={['conv 3x3 16 pad=1, relu'] * 1500 + ['gap, linear 10']}"])
    monkeypatch.setattr("drilldown.memory.available_memory", lambda: 2_000_000_000)
    with pytest.raises(DrilldownError, match=r"batches of 64 images takes about 14\.5 GB .* 2\.0 GB are free"):
        Training(deep, tiny)
    assert Training(load("under-8k", GLYPHS), tiny, compute=Compute(engine="torch")).engine.name == "torch"


STEP = """
import sys
from drilldown import Compute, Training, load
from drilldown.training.choice import training_bytes
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
size = ["recipe.dataset=glyphs", "recipe.epochs=1", "recipe.batch_size=128", "recipe.augment={}"]
training = Training(load("under-8k", [*size, sys.argv[1]]), compute=Compute(engine="torch"))
before = peak()
class Enough(Exception): pass
def stop(progress): raise Enough
try:
    training.engine.train_epoch(training.plan(1), stop)
except Enough:
    print((peak() - before) / training_bytes(training.experiment))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak in this way")
@pytest.mark.parametrize(
    "block",
    [
        "conv 3x3 32 pad=1, bn, relu",
        "conv 3x3 32 pad=1",
        "conv 3x3 32 pad=1, relu, dropout 0.1",
        "conv 3x3 8 pad=1 expand=4, relu",
    ],
)
def test_the_estimate_of_memory_is_about_what_a_step_takes(block: str) -> None:
    layers = f"network.layers={[block] * 12 + ['gap, linear 10']}"
    done = subprocess.run(
        [sys.executable, "-c", STEP, layers], env=environment(), capture_output=True, text=True, check=True
    )
    assert 0.3 < float(done.stdout) < 1.25
