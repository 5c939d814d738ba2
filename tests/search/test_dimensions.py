"""The dimensions of a space: which values they have."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drilldown.search.dimensions import Choice, FloatRange, IntRange, space_size


@given(st.integers(-50, 50), st.integers(1, 9), st.integers(0, 20))
def test_the_values_of_a_range_are_pythons(low: int, step: int, steps: int) -> None:
    dimension = IntRange(low, low + steps * step, step)
    values = list(range(low, low + steps * step + 1, step))
    assert [dimension.at(index) for index in range(dimension.size)] == values
    assert [value for value in range(low - 10, low + 200) if value in dimension] == values


@pytest.mark.parametrize("value", [True, 4.0, "4", None, 3, 17])
def test_only_whole_numbers_on_its_steps_are_in_a_range(value: object) -> None:
    assert value not in IntRange(4, 16)


@pytest.mark.parametrize(
    "arguments", [(5, 4), (4, 16, 5), (4, 16, 0), (4, 16, -1), (0, 16, 1, True), (-4, 16, 1, True)]
)
def test_a_range_of_whole_numbers_that_is_none_is_an_error(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="expected low"):
        IntRange(*arguments)


@pytest.mark.parametrize(
    "arguments", [(0.5, 0.4), (0.0, math.inf), (math.nan, 1.0), (0.0, 1.0, True), (-1.0, 1.0, True)]
)
def test_a_range_of_real_numbers_that_is_none_is_an_error(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        FloatRange(*arguments)


def test_a_range_of_real_numbers_has_both_ends_and_whole_numbers_but_no_truth_values() -> None:
    dimension = FloatRange(0, 2)
    assert [value in dimension for value in (0, 0.0, 2, 1.5, -0.1, 2.1, True, "1", None)] == [True] * 4 + [False] * 5
    assert (dimension.size, FloatRange(2, 2).size, FloatRange(2, 2).at(0)) == (None, 1, 2.0)


def test_values_of_a_choice_are_told_apart_as_json_does() -> None:
    values = (1, 1.0, True, "1", None, [1], {"a": 1, "b": 2})
    choice = Choice(values)
    assert [choice.index(value) for value in values] == list(range(7))
    assert choice.index({"b": 2, "a": 1}) == 6
    assert {"b": 2} not in choice


@pytest.mark.parametrize("values", [(), ("a", "a"), ({"a": 1, "b": 2}, {"b": 2, "a": 1})])
def test_a_choice_needs_values_that_differ(values: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="each once"):
        Choice(values)


def test_the_size_of_a_space_is_the_product_or_unknown() -> None:
    assert space_size({}) == 1
    assert space_size({"a": IntRange(1, 3), "b": Choice((1, 2)), "c": FloatRange(0.5, 0.5)}) == 6
    assert space_size({"a": IntRange(1, 3), "b": FloatRange(0, 1)}) is None
