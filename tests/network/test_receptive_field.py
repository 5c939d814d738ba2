"""Receptive fields that are measured by gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from drilldown.network.receptive_field import measure_receptive_fields
from drilldown.network.summary import summarise_module

IMAGE = (1, 28, 28)


class Branches(nn.Module):
    """Two ways through the network: the wider one counts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.wide = nn.Conv2d(4, 4, 3, padding=4, dilation=4)
        self.narrow = nn.Conv2d(4, 4, 1)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.act(self.first(images))
        x = self.act(self.wide(x)) + self.narrow(x)
        return self.head(x.mean((2, 3)))


def fields(network: nn.Module) -> list[int | None]:
    torch.manual_seed(0)
    return [row.receptive_field for row in summarise_module(network, IMAGE).layers]


def test_branches_and_dilation_are_measured() -> None:
    torch.manual_seed(0)
    network = Branches()
    assert fields(network) == [3, 3, 11, 11, 3, 28]
    assert summarise_module(network, IMAGE).receptive_field == 28


def test_layers_that_start_with_zeros_are_measured() -> None:
    torch.manual_seed(0)
    network = Branches()
    nn.init.zeros_(network.wide.weight)
    nn.init.zeros_(network.first.weight)
    assert fields(network)[2] == 11


def test_a_rectangle_counts_with_its_longer_side() -> None:
    assert fields(nn.Sequential(nn.Conv2d(1, 2, (1, 7)), nn.Conv2d(2, 2, (3, 1)))) == [7, 7]


def test_attention_and_recurrent_layers_have_rows() -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read = nn.GRU(28, 8, batch_first=True)
            self.head = nn.Linear(8, 10)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(self.read(images[:, 0])[0][:, -1])

    assert fields(Rows()) == [28, 28]


@pytest.mark.parametrize("end", [torch.Tensor.detach, torch.sign])
def test_without_a_gradient_the_field_is_not_known(end) -> None:
    class Cut(nn.Sequential):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(end(images))

    assert fields(Cut(nn.Conv2d(1, 2, 3))) == [None]


def test_a_large_network_is_not_measured() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3))
    assert measure_receptive_fields(network, list(network), IMAGE, 10**10) == [None]


def test_weights_and_random_numbers_stay_as_they_were() -> None:
    network = Branches()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    summarise_module(network, IMAGE)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_module_without_layers_has_an_empty_table() -> None:
    class Functions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(784, 10)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(images.flatten(1), self.layer.weight, self.layer.bias)

    summary = summarise_module(Functions(), IMAGE)
    assert (summary.layers, summary.parameters, summary.receptive_field) == ((), 7850, None)
