"""The default dimensions of a network: widths, depth and head."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.experiment.experiment import Experiment
from drilldown.experiment.network import Network
from drilldown.network.layers import Shape, ShapeError, parse_block
from drilldown.search.default_layers import vary_layers
from drilldown.search.tables import Choice, IntDimension

UNIT = st.sampled_from(
    [
        "conv 3x3 8, bn, relu",
        "conv 3x3 6 pad=1 bias",
        "conv 1x1 12, relu",
        "conv 5x5 4 pad=2, bn",
        "conv 2x2 8",
        "conv 3x3 8 stride=2 pad=1",
        "conv 3x3 {c} groups={c} pad=1, bn, conv 1x1 16, bn, relu",
        "conv 3x3 {c} groups={c}",
        "conv 3x3 {d} groups={c} pad=1",
        "conv 3x3 8 groups=2 pad=1, relu",
        "maxpool 2",
        "avgpool 2, dropout 0.1",
        "bn",
    ]
)
HEAD = st.sampled_from(
    [
        "gap, linear 10",
        "gap, flatten, linear 10",
        "gap, conv 1x1 10",
        "gap, dropout 0.1, linear 10",
        "conv 1x1 10, gap",
        "conv 1x1 10, bn, relu, gap",
        "conv 1x1 10 bias, flatten, linear 10",
        "conv {s}x{s} 10",
        "conv {s}x{s} 10, flatten",
        "flatten, linear 10",
        "flatten, linear 20, relu, linear 10",
    ]
)


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    """Experiments on 28x28 images; `{c}` and `{d}` in a unit are once and twice its input channels, `{s}` its side."""
    blocks = ["conv 3x3 8, relu"]
    shape: Shape = (8, 26, 26)
    for text in [*draw(st.lists(UNIT, max_size=6)), draw(HEAD)]:
        block = text.format(c=shape[0], d=2 * shape[0], s=shape[1])
        try:
            output = shape_behind(block, shape)
        except ShapeError:
            continue  # it does not fit here
        blocks, shape = [*blocks, block], output
    if math.prod(shape) != 10:
        blocks.append("gap, linear 10")
    return Experiment.model_validate({"title": "A", "network": {"layers": blocks}, "recipe": {"dataset": "glyphs"}})


def shape_behind(block: str, shape: Shape) -> Shape:
    for layer in parse_block(block):
        shape = layer.output(shape[:1] if layer.word == "linear" and shape[1:] == (1, 1) else shape)
    return shape


def candidate(experiment: Experiment, blocks: list[str], values: dict[str, Any]) -> Experiment:
    """The experiment with texts in place of names, by Python's own replacement."""
    for _ in range(2):  # a text can contain names
        blocks = [block.format(**values) for block in blocks]
    layers = tuple(block for block in blocks if block)
    changed = experiment.model_copy(update={"network": Network(layers=layers)})
    assert changed.layout  # raises where the network does not fit the images
    return changed


@settings(max_examples=200, deadline=None)
@given(experiments(), st.integers())
def test_every_point_makes_a_network_and_the_first_values_make_the_own_one(experiment: Experiment, seed: int) -> None:
    blocks, dimensions = vary_layers(experiment)
    own = {n: d.middle if isinstance(d, Choice) else d.start for n, d in dimensions.items()}
    assert candidate(experiment, blocks, own).fingerprint == experiment.fingerprint
    rng = Random(seed)
    for _ in range(10):
        candidate(experiment, blocks, {name: dimension.sample(rng) for name, dimension in dimensions.items()})


def vary(*blocks: str, budget: int | None = None) -> tuple[list[str], dict[str, Any]]:
    document = {"title": "A", "network": {"layers": list(blocks)}, "recipe": {"dataset": "glyphs"}}
    experiment = Experiment.model_validate(document | ({"budget": {"parameters": budget}} if budget else {}))
    return vary_layers(experiment)


def test_widths_are_half_to_double_their_own() -> None:
    _, dimensions = vary("conv 3x3 9, relu", "conv 3x3 1", "conv 3x3 3", "flatten, linear 40, relu", "linear 10")
    widths = {name: (d.ends, d.step, d.start) for name, d in dimensions.items() if isinstance(d, IntDimension)}
    assert widths == {"w1": ((4, 18), 1, 9), "w2": ((1, 2), 1, 1), "w3": ((2, 6), 1, 3), "w4": ((20, 80), 1, 40)}


@pytest.mark.parametrize(
    "last", ["conv 1x1 10, gap", "gap, linear 10", "conv 26x26 10", "gap, conv 1x1 10", "flatten, linear 10"]
)
def test_the_layer_that_makes_the_logits_keeps_its_number_of_outputs(last: str) -> None:
    _, dimensions = vary("conv 3x3 8", last)
    assert [name for name, dimension in dimensions.items() if isinstance(dimension, IntDimension)] == ["w1"]
    assert dimensions["head"].values[0] == last


def test_depthwise_convolutions_follow_their_input() -> None:
    separable = "conv 3x3 8 groups=8 pad=1, bn, conv 1x1 16, bn, relu"
    blocks, dimensions = vary("conv 3x3 8, relu", separable, "conv 3x3 16 groups=16, conv 1x1 20", "gap, linear 10")
    assert blocks[:2] == ["conv 3x3 {w1}, relu", "conv 3x3 {w1} pad=1 groups={w1}, bn, conv 1x1 {w2}, bn, relu"]
    own, never, twice = dimensions["depth1"].values
    assert own == "conv 3x3 {w2} groups={w2}, conv 1x1 {w3}"
    assert never == ""
    assert twice == f"{own}, conv 3x3 {{w3}} pad=1 groups={{w3}}, conv 1x1 {{w3}}"


def test_a_unit_that_a_depthwise_convolution_follows_cannot_be_left_out() -> None:
    _, dimensions = vary(
        "conv 3x3 8", "maxpool 2", "conv 3x3 12 pad=1", "conv 1x1 16", "conv 3x3 16 groups=16", "gap, linear 10"
    )
    assert dimensions["depth2"].values[0] == "conv 3x3 {w3} groups={w3}"  # not `conv 1x1 {w3}`, which makes its input


def test_widths_are_multiples_of_fixed_groups() -> None:
    _, dimensions = vary("conv 3x3 8", "conv 3x3 12 groups=4", "conv 3x3 6 groups=3", "gap, linear 10")
    assert [(dimensions[name].ends, dimensions[name].step) for name in ("w1", "w2", "w3")] == [
        ((4, 16), 4), ((12, 24), 12), ((3, 12), 3),
    ]  # fmt: skip


def test_in_each_stage_one_unit_is_once_never_or_twice_in_the_network() -> None:
    blocks, dimensions = vary(
        "conv 3x3 8, relu", "conv 5x5 8 bias, relu", "maxpool 2", "conv 3x3 12, bn", "maxpool 2", "gap, linear 10"
    )
    assert blocks == ["conv 3x3 {w1}, relu", "{depth1}", "maxpool 2", "{depth2}", "maxpool 2", "{head}"]
    once = "conv 5x5 {w2} bias, relu"
    assert dimensions["depth1"].values == (once, "", f"{once}, conv 5x5 {{w2}} pad=2 bias, relu")
    once = "conv 3x3 {w3}, bn"
    assert dimensions["depth2"].values == (once, f"{once}, conv 3x3 {{w3}} pad=1, bn")  # a stage keeps one unit


def test_the_depth_fits_a_head_that_spans_the_image() -> None:
    blocks, dimensions = vary("conv 3x3 8", "conv 3x3 8", "conv 3x3 8 pad=1", "conv 24x24 10")
    assert blocks[2] == "{depth1}"  # the only unit that can be left out
    assert len(dimensions["depth1"].values) == 3


@pytest.mark.parametrize(
    ("head", "others"),
    [
        ("gap, linear 10", {"conv 1x1 10, gap", "flatten, linear 10"}),
        ("conv 1x1 10, gap", {"gap, linear 10", "flatten, linear 10"}),
        ("gap, conv 1x1 10", {"gap, linear 10", "flatten, linear 10"}),
        ("flatten, linear 10", {"gap, linear 10", "conv 1x1 10, gap"}),
        ("conv 26x26 10", {"gap, linear 10", "conv 1x1 10, gap"}),
        ("conv 3x3 10, gap", {"gap, linear 10", "conv 1x1 10, gap", "flatten, linear 10"}),
    ],
)
def test_the_head_pools_or_has_a_weight_for_every_position(head: str, others: set[str]) -> None:
    _, dimensions = vary("conv 3x3 8, relu", head)
    assert dimensions["head"].values[0] == head
    assert set(dimensions["head"].values[1:]) == others


@pytest.mark.parametrize(
    "blocks",
    [
        ["conv 3x3 8, relu", "gap", "conv 1x1 16, relu", "conv 1x1 10"],  # one pixel: all heads are the same
        ["conv 3x3 8, relu", "flatten", "linear 20, relu", "linear 10"],
        ["conv 3x3 8, relu", "conv 1x1 10, bn, relu", "gap"],
    ],
)
def test_an_unusual_head_stays(blocks: list[str]) -> None:
    assert "head" not in vary(*blocks)[1]


def test_a_head_that_cannot_keep_the_budget_is_left_out() -> None:
    _, dimensions = vary("conv 3x3 8, relu", "gap, linear 10", budget=4 * 26 * 26 * 10)
    assert dimensions["head"].values == ("gap, linear 10", "conv 1x1 10, gap")
    _, dimensions = vary("conv 3x3 8, relu", "flatten, linear 10", budget=50)  # its own is too large as well
    assert len(dimensions["head"].values) == 3


def test_the_grouping_of_layers_into_blocks_has_no_effect() -> None:
    layers = ["conv 3x3 8", "bn", "relu", "maxpool 2", "conv 3x3 8", "relu", "gap", "linear 10"]
    assert vary(*layers) == vary(", ".join(layers)) == vary(", ".join(layers[:5]), ", ".join(layers[5:]))
