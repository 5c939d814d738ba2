"""The optimizer tables: their PyTorch optimizers get all settings."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from drilldown.experiment.optimizers import SGD, Adam, AdamW, Optimizer

ADAM = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("table", "kind", "settings"),
    [
        (SGD(name="sgd", lr=0.05), torch.optim.SGD, {"lr": 0.05, "momentum": 0, "nesterov": False, "weight_decay": 0}),
        (
            SGD(name="sgd", lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.1),
            torch.optim.SGD,
            {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1, "dampening": 0},
        ),
        (Adam.model_validate({"name": "adam", **ADAM}), torch.optim.Adam, ADAM),
        (AdamW.model_validate({"name": "adamw", **ADAM}), torch.optim.AdamW, ADAM),
        (Adam(name="adam", lr=0.1), torch.optim.Adam, {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0}),
        (AdamW(name="adamw", lr=0.1), torch.optim.AdamW, {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}),
    ],
)
def test_the_pytorch_optimizer_has_the_settings_of_the_table(
    table: Optimizer, kind: type[torch.optim.Optimizer], settings: dict[str, object], fused: bool
) -> None:
    network = nn.Linear(3, 2)
    optimizer = table.create(network, fused=fused)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert {key: group[key] for key in settings} == settings
    assert group["fused"] is fused
    assert {id(parameter) for parameter in group["params"]} == {id(parameter) for parameter in network.parameters()}


def test_nesterov_without_momentum_is_refused() -> None:
    with pytest.raises(ValidationError, match="nesterov = true without momentum, expected a momentum above 0"):
        SGD(name="sgd", lr=0.1, nesterov=True)
