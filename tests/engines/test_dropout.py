"""The fast dropout of PyTorch's engine: its share, its scale and its draws."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import nn

from drilldown.engines.dropout import install_fast_dropout, reseed_dropout


def fast(probability: float, *, seed: int = 0) -> nn.Sequential:
    network = nn.Sequential(nn.Dropout(probability))
    install_fast_dropout(network)
    reseed_dropout(network, seed)
    return network


@pytest.mark.parametrize("probability", [0.007, 0.02, 0.1, 0.5, 0.93])
def test_dropout_zeroes_the_right_share_and_keeps_the_expected_value(probability: float) -> None:
    count = 400_001  # no multiple of four, the numbers from one draw
    dropped = fast(probability)(torch.ones(count))
    zeros = int((dropped == 0).sum())
    low, high = stats.binom.interval(1 - 1e-6, count, probability)
    assert low <= zeros <= high
    (kept,) = dropped[dropped != 0].unique().tolist()
    assert kept == pytest.approx(1 / (1 - probability), rel=1e-3)
    spread = kept * math.sqrt(probability * (1 - probability) / count)
    assert abs(float(dropped.double().mean()) - 1) < 5 * spread


def test_dropout_has_the_same_probability_at_each_position_and_no_correlation() -> None:
    zeros = (fast(0.25)(torch.ones(4_000, 3, 5, 4)) == 0).flatten(1).double()
    low, high = stats.binom.interval(1 - 1e-6, len(zeros), 0.25)
    assert low <= zeros.sum(0).min()
    assert zeros.sum(0).max() <= high
    together = torch.corrcoef(zeros.T) - torch.eye(60)
    assert float(together.abs().max()) < 5 / math.sqrt(len(zeros))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_gradient_of_dropout_is_mask_times_scale(dtype: torch.dtype) -> None:
    inputs = torch.randn(7, 11, dtype=dtype).abs().add(1).requires_grad_()
    dropped = fast(0.3)(inputs)
    weights = torch.randn(7, 11, dtype=dtype)
    (gradient,) = torch.autograd.grad(dropped, inputs, weights)
    factor = dropped.detach() / inputs.detach()  # 0 or the scale
    assert 0 < int((factor == 0).sum()) < factor.numel()
    torch.testing.assert_close(gradient, weights * factor)


def test_dropout_changes_nothing_in_evaluation_and_with_probability_zero() -> None:
    inputs = torch.randn(50)
    assert torch.equal(fast(0.9).eval()(inputs), inputs)
    assert torch.equal(fast(0.0)(inputs), inputs)
    assert not torch.equal(fast(0.9)(inputs), inputs)


def test_dropout_repeats_its_draws_only_after_a_reseed() -> None:
    network, inputs = fast(0.5, seed=7), torch.ones(1_000)
    first, second = network(inputs), network(inputs)
    assert not torch.equal(first, second)
    reseed_dropout(network, 7)
    assert torch.equal(network(inputs), first)
    assert torch.equal(network(inputs), second)
    reseed_dropout(network, 8)
    assert not torch.equal(network(inputs), first)


def test_two_dropout_layers_draw_differently() -> None:
    network = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
    install_fast_dropout(network)
    reseed_dropout(network, 0)
    inputs = torch.ones(1_000)
    assert not torch.equal(network[0](inputs), network[1](inputs))


def test_dropout_with_a_probability_near_one_keeps_almost_nothing() -> None:
    dropped = fast(0.999_999)(torch.ones(1_000))
    assert int((dropped != 0).sum()) < 10


def test_dropout_does_not_change_its_input() -> None:
    inputs = torch.ones(100)
    fast(0.5)(inputs)
    assert torch.equal(inputs, torch.ones(100))
