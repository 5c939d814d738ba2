"""Every layer and table of the notation trains like float64, in each engine that does not decline it by name."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from drilldown import Compute, Training, load
from drilldown.data.dataset import Dataset
from drilldown.engines.native.engine import why_unsupported
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.optimizers import SGD
from drilldown.experiment.recipe import Recipe
from drilldown.network.blocks import Block
from drilldown.network.layers import LAYERS, ExpandedConv
from support.engines import CLASSES, check, make_dataset, make_engine, make_plan
from support.networks import networks

HEAD = f"gap, linear {CLASSES}"
NETWORKS: dict[str, list[Any]] = {
    "leaky": ["conv 3x3 4, leaky 0.2", "conv 3x3 4, bn, leaky 0.01"],
    "prelu": ["conv 3x3 4, prelu", "conv 3x3 4, bn, prelu"],
    "silu": ["conv 3x3 4, silu", "conv 3x3 4, bn, silu"],
    "gelu": ["conv 3x3 4, gelu", "conv 3x3 4, bn, gelu"],
    "hardswish": ["conv 3x3 4, hardswish", "conv 3x3 4, bn, hardswish"],
    "dilation": ["conv 3x3 4 dilation=2 pad=same bias, silu", "conv 3x3 4 dilation=3 stride=2 pad=2"],
    "depthwise": ["conv 3x3 4, conv 3x3 8 depthwise pad=same, silu", "conv 5x5 8 depthwise stride=2"],
    "sep": ["sep 3x3 4 pad=same", "silu, sep 5x5 6 stride=2 pad=same", "sep 3x3 4 dilation=2 pad=same"],
    "noscale": ["conv 3x3 4, bn noscale, silu", "conv 3x3 5, bn noscale"],
    "gn": ["conv 3x3 4, gn 2, silu", "conv 3x3 6, gn 3"],
    "ln": ["conv 3x3 4, ln, silu", "conv 3x3 6"],
    "se": ["conv 3x3 8, bn, se 2", "conv 3x3 4, se 4, silu"],
    "pools": ["conv 3x3 4, maxpool 3 stride=2 pad=1, bn", "conv 3x3 4 pad=same, avgpool 3 stride=1 pad=1, silu"],
    "blurpool": ["conv 3x3 4, blurpool, silu", "conv 3x3 4 pad=same, blurpool 5 stride=1"],
    "expand": ["conv 3x3 4 expand=3 bias, bn, silu", "conv 3x3 6 expand=2 stride=2 pad=same"],
    "skip": ["conv 3x3 4", {"skip": ["silu, conv 3x3 4 pad=same, bn"]}, {"skip": ["conv 3x3 6 stride=2 pad=same"]}],
    "skip in place": ["conv 3x3 4, bn", {"skip": ["relu, conv 3x3 4 pad=same"]}, "relu", {"skip": ["relu"]}],
    "shared": ["conv 3x3 4", {"repeat": 3, "shared": True, "layers": ["conv 3x3 4 pad=same, bn, silu"]}],
    "nested": ["sep 3x3 4", {"repeat": 2, "shared": True, "layers": [{"skip": ["sep 3x3 4 pad=same, bn, prelu"]}]}],
    "repeat": ["conv 3x3 4", {"repeat": 2, "layers": ["conv 3x3 4, bn, silu"]}],
}  # fmt: skip


def experiment(layers: list[Any], head: str = "gap, linear 10") -> Experiment:
    return load({"title": "A", "network": {"layers": [*layers, head]}, "recipe": {"dataset": "glyphs"}})


@pytest.mark.parametrize("name", ["torch", "native"])
@pytest.mark.parametrize("layers", NETWORKS.values(), ids=NETWORKS)
def test_batches_agree_with_float64(name: str, layers: list[Any]) -> None:
    reason = why_unsupported(experiment(layers), torch.device("cpu"))
    if name == "native" and reason:
        pytest.skip(reason)
    recipe = Recipe(
        batch_size=24, optimizer=SGD(name="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3), ema=0.9
    )
    assert check(name, [*layers, HEAD], recipe, (10, 9), batches=5) >= 2


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(networks(dropout=False, channels=1))
def test_batches_of_random_nested_networks_agree_with_float64(
    network: tuple[list[Block], tuple[int, int, int]],
) -> None:
    blocks, (_, height, width) = network
    if any(isinstance(block, str) and "bn" in block for block in blocks[-2:-1]):
        return  # a norm of few values, or of one already normalised, loses all digits in any implementation
    recipe = Recipe(batch_size=24, optimizer=SGD(name="sgd", lr=0.1, momentum=0.9))
    check("torch", blocks, recipe, (height, width), batches=2)


def test_every_word_is_in_the_native_engine_or_declined_by_name() -> None:
    texts = {
        "conv": "conv 3x3 4 pad=same", "sep": "sep 3x3 4", "gn": "gn 1", "se": "se 1", "linear": "gap, linear 4",
        "leaky": "leaky 0.1", "dropout": "dropout 0.1", "dropout2d": "dropout2d 0.1", "avgpool": "avgpool 2",
        "maxpool": "maxpool 2",
    }  # fmt: skip
    for word in LAYERS:
        head = "linear 10" if word in ("flatten", "linear") else "gap, linear 10"
        reason = why_unsupported(experiment([texts.get(word, word)], head), torch.device("cpu"))
        assert reason is None or word in reason, f"{word}: {reason}"


@pytest.mark.parametrize("ema", [None, 0.9])
def test_an_expanded_network_is_trained_wide_and_judged_folded(ema: float | None) -> None:
    dataset = make_dataset(60, (8, 8))
    layers = ["conv 3x3 4 expand=3, bn, relu", "conv 3x3 4 expand=2 bias", HEAD]
    recipe = Recipe(batch_size=20, optimizer=SGD(name="sgd", lr=0.1, momentum=0.9), ema=ema)
    engine, other = (make_engine("torch", layers, recipe, dataset) for _ in range(2))
    engine.train_epoch(make_plan(torch.arange(60), [0.1] * 3))
    state = engine.state()
    assert state["network.conv1.widen.weight"].shape == (3, 1, 1, 1)
    assert state["optimizer.conv1.middle.weight.momentum_buffer"].shape == (12, 3, 3, 3)
    other.restore(state)
    for each in (engine, other):
        each.train_epoch(make_plan(torch.arange(60).flip(0), [0.1] * 3, 2))
    assert all(torch.equal(other.state()[key], value) for key, value in engine.state().items())
    model = engine.model().eval()
    assert not any(isinstance(module, ExpandedConv) for module in model.modules())
    wide = copy.deepcopy(engine.average.network if ema else engine.network)  # type: ignore[attr-defined]
    images = torch.randn(20, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(model(images), wide.eval()(images), rtol=1e-4, atol=1e-5)


def test_a_training_with_everything_resumes_with_the_same_bits(tiny: Dataset) -> None:
    overrides = ["recipe.dataset=glyphs", "recipe.epochs=2", "recipe.ema=0.9", "recipe.batch_size=50"]
    layers = ["conv 3x3 4 expand=2, bn, relu", {"skip": ["sep 3x3 4 pad=same, dropout 0.2, dropout2d 0.3"]},
              {"repeat": 2, "shared": True, "layers": ["conv 3x3 4, bn, prelu"]}, "gap, linear 10"]  # fmt: skip
    whole = load({"title": "A", "network": {"layers": layers}}, overrides)
    compute = Compute(engine="torch", threads=1)
    once = Training(whole, tiny, compute=compute)
    list(once)
    first = Training(whole, tiny, compute=compute)
    next(iter(first))
    second = Training(whole, tiny, compute=compute, checkpoint=first.checkpoint())
    list(second)
    assert [epoch.test for epoch in once.epochs] == [epoch.test for epoch in second.epochs]
    for name, tensor in once.engine.state().items():
        assert torch.equal(second.engine.state()[name], tensor), name


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (["conv 3x3 4 dilation=2"], "dilation"),
        (["conv 3x3 4 expand=2"], "expand"),
        (["conv 3x3 4, bn noscale"], "noscale"),
        (["maxpool 3 stride=2"], "pool"),
        ([{"skip": ["relu"]}], "skip|add"),
        ([{"repeat": 2, "shared": True, "layers": ["conv 3x3 1"]}], "shared"),
    ],
)
def test_the_native_engine_trains_a_structure_or_declines_it_by_name(layers: list[Any], words: str) -> None:
    reason = why_unsupported(experiment(layers), torch.device("cpu"))
    assert reason is None or re.search(words, reason)
