"""The choice of engine, device and threads."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from drilldown import Compute, Training, load
from drilldown.data.dataset import Dataset
from drilldown.errors import DrilldownError
from drilldown.training.choice import MAX_THREADS, choose_device, choose_threads

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
    adam = load("under-8k", [*GLYPHS, 'recipe.optimizer={ name = "adam", lr = 0.01 }'])
    training = Training(adam, tiny, compute=Compute(device="cpu"), on_notice=notices.append)
    assert training.engine.name == "torch"
    assert notices == ["training with PyTorch; the native engine cannot: it has no adam, only sgd"]
