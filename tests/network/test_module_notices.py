"""Doubts about modules that train, and do not do what their authors mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from drilldown.data.dataset import Dataset
from drilldown.evaluation.predictions import predict_logits
from drilldown.network.module_notices import module_notices

IMAGE = (1, 12, 12)


class Net(nn.Module):
    """Two layers, and a function after the last."""

    def __init__(self, end: Callable[[torch.Tensor], torch.Tensor], inner: nn.Module | None = None) -> None:
        super().__init__()
        self.hidden, self.inner, self.logits = nn.Linear(144, 16), inner or nn.ReLU(), nn.Linear(16, 10)
        self.end = end

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.end(self.logits(self.inner(self.hidden(images.flatten(1)))))


def notices(end: Callable[[torch.Tensor], torch.Tensor], inner: nn.Module | None = None) -> str:
    torch.manual_seed(0)
    return "\n".join(module_notices(Net(end, inner), IMAGE))


@pytest.mark.parametrize("dim", [1, -1])
def test_a_softmax_at_the_end_is_noticed(dim: int) -> None:
    assert "looks like probabilities" in notices(lambda x: F.softmax(x, dim))
    assert "looks like probabilities" in notices(nn.Softmax(dim))


def test_a_sigmoid_at_the_end_is_noticed() -> None:
    assert "stays between 0 and 1" in notices(torch.sigmoid)


@pytest.mark.parametrize(
    "end",
    [
        lambda x: x, F.relu, torch.tanh, lambda x: x / 1000, lambda x: x.abs() / 100, lambda x: F.log_softmax(x, 1),
        nn.Dropout(0.5), nn.BatchNorm1d(10), nn.LayerNorm(10),
    ],
)  # fmt: skip
def test_usual_outputs_cause_no_notice(end: Callable[[torch.Tensor], torch.Tensor]) -> None:
    assert notices(end) == ""


@pytest.mark.parametrize(
    "random",
    [lambda x: F.dropout(x, 0.5), lambda x: x + torch.randn_like(x), lambda x: x * torch.rand(1), F.dropout1d],
)
def test_random_outputs_in_evaluation_are_noticed(random: Callable[[torch.Tensor], torch.Tensor]) -> None:
    text = notices(random)
    assert "two outputs for the same image in evaluation mode" in text
    assert "the same random numbers each time" in text


def test_random_numbers_of_another_source_cannot_be_repeated() -> None:
    generator = np.random.default_rng(0)
    assert "no result can be repeated" in notices(lambda x: x + float(generator.random()))


@pytest.mark.parametrize("mixing", [lambda x: x - x.mean(0), lambda x: F.softmax(x, 0), lambda x: x / x.norm()])
def test_outputs_that_depend_on_the_batch_are_noticed(mixing: Callable[[torch.Tensor], torch.Tensor]) -> None:
    assert "depends on the other images of the batch" in notices(mixing)


def test_notices_leave_the_network_and_the_global_random_numbers_as_they_were() -> None:
    network = Net(nn.BatchNorm1d(10))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    list(module_notices(network, IMAGE))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.training


def test_two_evaluations_of_a_random_module_are_the_same(tiny: Dataset) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    network.register_forward_hook(lambda _m, _i, output: F.dropout(output, 0.5))
    first, second = (predict_logits(network, tiny.test.images, (0.1,), (0.3,)) for _ in range(2))
    assert torch.equal(first, second)
