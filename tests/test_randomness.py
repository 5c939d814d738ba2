from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest
import torch
from scipy import stats

from drilldown.randomness import global_stream, stream


def numbers(seed: int, purpose: str, epoch: int = 0, count: int = 20) -> list[float]:
    return torch.rand(count, generator=stream(seed, purpose, epoch)).tolist()


def test_a_stream_depends_only_on_its_name() -> None:
    first = numbers(3, "order", 2)
    torch.rand(100)
    numbers(3, "augment", 2)
    assert numbers(3, "order", 2) == first


def test_another_seed_purpose_or_epoch_is_another_stream() -> None:
    names = itertools.product([0, 1, 11, 123_456_789], ["order", "augment", "dropout", "init"], [0, 1, 11])
    streams = [tuple(numbers(*name)) for name in names]
    assert len(set(streams)) == len(streams) == 48
    values = torch.tensor(streams)
    assert values.unique().numel() == values.numel()


def test_the_default_epoch_of_a_stream_is_0() -> None:
    assert numbers(0, "init") == numbers(0, "init", 0)


def test_the_first_numbers_of_successive_epochs_and_seeds_are_spread_evenly() -> None:
    for first in (
        [numbers(0, "order", epoch, 1)[0] for epoch in range(500)],
        [numbers(seed, "order", 1, 1)[0] for seed in range(500)],
    ):
        assert stats.kstest(first, "uniform").pvalue > 0.001
        assert abs(stats.pearsonr(first[:-1], first[1:]).statistic) < 4 / 500**0.5


def test_another_process_draws_the_same() -> None:
    program = (
        "import torch; from drilldown.randomness import stream;"
        "print(torch.rand(3, generator=stream(7, 'order', 4)).tolist())"
    )
    completed = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "4711"},
    )
    assert completed.stdout.strip() == str(numbers(7, "order", 4, 3))


def test_the_global_generator_draws_from_a_named_stream_and_is_restored() -> None:
    torch.manual_seed(1)
    expected = [torch.rand(3).tolist() for _ in range(2)]
    torch.manual_seed(1)
    before = torch.rand(3).tolist()
    with global_stream(5, "dropout", 2):
        inside = torch.rand(20).tolist()
    assert [before, torch.rand(3).tolist()] == expected
    assert inside == numbers(5, "dropout", 2)


def test_the_global_generator_is_restored_after_an_error() -> None:
    state = torch.random.get_rng_state()
    with pytest.raises(ZeroDivisionError), global_stream(5, "dropout"):
        torch.rand(1) / (1 // 0)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_global_streams_nest() -> None:
    with global_stream(0, "outer"):
        first = torch.rand(2).tolist()
        with global_stream(0, "inner"):
            assert torch.rand(4).tolist() == numbers(0, "inner", count=4)
        assert first + torch.rand(2).tolist() == numbers(0, "outer", count=4)
