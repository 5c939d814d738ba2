"""The dimensions: their numbers, draws and neighbours."""

from __future__ import annotations

import json
import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drilldown.search.tables import KINDS, Choice, Dimension, FloatDimension, IntDimension, SearchSettings


@st.composite
def int_dimensions(draw: st.DrawFn) -> IntDimension:
    log = draw(st.booleans())
    low, step = draw(st.integers(1 if log else -50, 60)), 1 if log else draw(st.integers(1, 9))
    return IntDimension(int=(low, low + step * draw(st.integers(0, 40))), step=step, log=log)


@st.composite
def float_dimensions(draw: st.DrawFn) -> FloatDimension:
    log = draw(st.booleans())
    ends = st.floats(1e-300 if log else -1e6, 1e6)
    low, high = sorted((draw(ends), draw(ends)))
    return FloatDimension(float=(low, high), log=log)


VALUES = (
    st.booleans()
    | st.integers(-9, 9)
    | st.floats(-1, 1)
    | st.text(max_size=3)
    | st.dictionaries(st.text(), st.integers())
)
CHOICES = st.lists(VALUES, min_size=1, max_size=6, unique_by=json.dumps).map(lambda values: Choice(one_of=values))
DIMENSIONS = int_dimensions() | float_dimensions() | CHOICES


@settings(max_examples=300, deadline=None)
@given(DIMENSIONS, st.integers())
def test_all_draws_are_in_the_dimension_and_a_neighbour_is_another_value(dimension: Dimension, seed: int) -> None:
    rng = Random(seed)
    assert dimension.contains(dimension.middle)
    assert all(map(dimension.contains, dimension.ends))
    value = dimension.sample(rng)
    for _ in range(20):
        assert dimension.contains(value)
        near = dimension.nearby(value, rng)  # type: ignore[arg-type]
        assert (json.dumps(near) != json.dumps(value)) == dimension.changes
        value = near


@settings(max_examples=200, deadline=None)
@given(DIMENSIONS)
def test_a_dimension_survives_json(dimension: Dimension) -> None:
    table = json.loads(json.dumps(dimension.model_dump(mode="json", by_alias=True)))
    table = {key: value for key, value in table.items() if value is not None}
    assert type(dimension).model_validate(table) == dimension


@settings(max_examples=100, deadline=None)
@given(int_dimensions())
def test_exactly_the_numbers_of_the_range_are_in_the_dimension(dimension: IntDimension) -> None:
    numbers = set(range(dimension.low, dimension.high + 1, dimension.step))
    around = range(dimension.low - 10, dimension.high + 11)
    assert {number for number in around if dimension.contains(number)} == numbers


def test_every_number_is_drawn_and_the_nearest_neighbours_are_the_most_frequent() -> None:
    dimension, rng = IntDimension(int=(4, 40), step=4), Random(0)
    assert {dimension.sample(rng) for _ in range(300)} == set(range(4, 41, 4))
    near = [dimension.nearby(20, rng) for _ in range(500)]
    assert {16, 24} < set(near)
    assert near.count(16) + near.count(24) > 2 * (near.count(4) + near.count(40))


def test_with_log_each_doubling_has_the_same_probability() -> None:
    rng = Random(0)
    for dimension in (FloatDimension(float=(1, 16), log=True), IntDimension(int=(1000, 16_000), log=True)):
        assert dimension.middle == pytest.approx(math.sqrt(dimension.low * dimension.high), rel=1e-3)
        octaves = [int(math.log2(dimension.sample(rng) / dimension.low)) for _ in range(4000)]
        for octave in range(4):  # binomial: 1000 ± 27 each
            assert 850 < octaves.count(octave) < 1150


def test_the_middle_of_whole_numbers_is_one_of_their_steps() -> None:
    assert IntDimension(int=(4, 16), step=2).middle == 10
    assert IntDimension(int=(4, 10), step=6).middle in (4, 10)


def test_the_neighbours_of_a_number_in_a_choice_are_the_next_ones_in_size() -> None:
    rng = Random(0)
    batch_size = Choice(one_of=[128, 32, 64, 256])
    assert {batch_size.nearby(64, rng) for _ in range(50)} == {32, 128}
    assert {batch_size.nearby(256, rng) for _ in range(50)} == {128}
    assert {Choice(one_of=["a", "b", "c"]).nearby("a", rng) for _ in range(50)} == {"b", "c"}


def test_a_choice_tells_numbers_and_truth_values_apart() -> None:
    assert Choice(one_of=[1, True, 1.0]).contains(True)
    assert not Choice(one_of=[1, 0]).contains(True)
    assert not Choice(one_of=[1, 0]).contains(1.0)
    assert Choice(one_of=[{"a": 1, "b": 2}]).contains({"b": 2, "a": 1})


def test_a_range_as_narrow_as_two_neighbouring_floats_has_neighbours() -> None:
    for low in (0.1, 1.0, 3e-310):
        for log in (True, False):
            dimension = FloatDimension(float=(low, math.nextafter(low, 9)), log=log)
            assert dimension.nearby(low, Random(0)) == dimension.high


@pytest.mark.parametrize(
    "table",
    [
        {"int": [5, 4]},
        {"int": [4, 9], "step": 2},
        {"int": [4, 8], "step": 0},
        {"int": [0, 8], "log": True},
        {"int": [4, 8], "step": 2, "log": True},
        {"int": [4, 8], "start": 9},
        {"int": [4, 8], "step": 2, "start": 5},
        {"int": [4, 10**12]},
        {"int": [True, 8]},
        {"float": [1.0, 0.5]},
        {"float": [0.0, 1.0], "log": True},
        {"float": [0.1, math.inf]},
        {"float": [0.1, 1.0], "start": 2.0},
        {"float": [0.1, 1.0], "step": 0.1},
        {"one_of": []},
        {"one_of": [1, 1]},
        {"one_of": [math.nan]},
        {"one_of": "gap"},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_dimension_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        KINDS[next(iter(table))].model_validate(table)


@pytest.mark.parametrize(
    "table", [{"candidates": 0}, {"hours": 0}, {"seed": -1}, {"goal": "fast"}, {"confirm": {"rate": 0.5}},
              {"confirm": {"rate": 1.0}}, {"confirm": {"most": 0}}, {"confirm": {"most": 201}}, {"candidate": 3}],
    ids=str,
)  # fmt: skip
def test_wrong_settings_are_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SearchSettings.model_validate(table)
