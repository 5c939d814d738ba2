"""The default dimensions of a network with tables: widths and repetitions."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.network.blocks import Block, map_texts
from drilldown.network.layout import lay_out
from drilldown.search.default_widths import vary_widths

TEXT = st.sampled_from(
    [
        "conv 3x3 8 pad=same, bn, relu",
        "conv 3x3 6 pad=same, bn",
        "sep 3x3 12 pad=1",
        "conv 3x3 8 depthwise pad=same",
        "conv 3x3 8 groups=2 pad=same, gn 4, relu",
        "conv 1x1 10 expand=2",
        "se 4",
        "maxpool 2",
    ]
)
BLOCK = st.recursive(
    TEXT,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=2).map(lambda blocks: {"skip": blocks}),
        st.tuples(st.integers(1, 3), st.booleans(), st.lists(inner, min_size=1, max_size=2)).map(
            lambda drawn: {"repeat": drawn[0], "shared": drawn[1], "layers": drawn[2]}
        ),
    ),
    max_leaves=5,
)


def experiment_of(blocks: list[Any]) -> Experiment:
    return Experiment.model_validate({"title": "A", "network": {"layers": blocks}, "recipe": {"dataset": "glyphs"}})


def with_numbers(blocks: list[Block], numbers: dict[str, int]) -> tuple[Block, ...]:
    return map_texts(blocks, lambda text: text.format(**numbers))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(BLOCK, min_size=1, max_size=3), st.integers())
def test_every_point_makes_a_network_and_the_first_values_make_the_own_one(blocks: list[Any], seed: int) -> None:
    experiment = experiment_of(["conv 3x3 8, relu", *blocks, "gap", "linear 10"])
    try:
        assume(experiment.layout)
    except DrilldownError:
        assume(False)
    varied, dimensions = vary_widths(experiment)
    own = {name: dimension.start or 0 for name, dimension in dimensions.items()}
    assert with_numbers(varied, own) == experiment.network.layers
    rng = Random(seed)
    for _ in range(5):
        lay_out(with_numbers(varied, {name: d.sample(rng) for name, d in dimensions.items()}), *experiment.image)


@pytest.mark.parametrize(
    ("block", "bounds"),
    [
        ({"skip": ["conv 3x3 8 pad=same, bn"]}, {"w1": (4, 16), "w2": (4, 16)}),
        ({"repeat": 3, "layers": ["conv 3x3 9 pad=same"]}, {"w1": (4, 16), "w2": (4, 18), "repeat1": (1, 6)}),
        ({"repeat": 2, "shared": True, "layers": ["conv 3x3 8 pad=same"]}, {"repeat1": (1, 4)}),
        ({"skip": ["sep 3x3 8 pad=1, gn 4"]}, {"w1": (4, 16), "w2": (4, 16)}),
        ({"skip": ["conv 3x3 8 depthwise pad=same"]}, {}),
    ],
)
def test_widths_and_repetitions_are_varied_as_far_as_the_network_allows(block: Block, bounds: dict[str, Any]) -> None:
    _, dimensions = vary_widths(experiment_of(["conv 3x3 8, relu", block, "gap", "linear 10"]))
    assert {name: dimension.bounds for name, dimension in dimensions.items()} == bounds
