"""Names in layers, and texts in their place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.search.names import LONGEST_BLOCK, names_in, replace_names, stray_brace, width_names


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("conv 3x3 {w}, bn", {"w": "8"}, "conv 3x3 8, bn"),
        ("conv {k}x{k} {w} groups={w}", {"w": "8", "k": "5"}, "conv 5x5 8 groups=8"),
        ("conv 3x3 { w }", {}, "conv 3x3 {w}"),
        ("{unit}", {"unit": "conv 3x3 {w}, {norm}", "norm": "bn", "w": "4"}, "conv 3x3 4, bn"),
        ("conv 3x3 8, {norm}, relu", {"norm": ""}, "conv 3x3 8, relu"),
        ("{a}, {b}", {"a": "", "b": "{a}"}, ""),
        ("{a}", {"a": " , relu"}, ", relu"),  # the empty layer was written by the user
        ("relu,,{a}", {"a": ""}, "relu, "),
        ("{a}{b}", {"a": "max", "b": "pool 2"}, "maxpool 2"),
        ("{a}", {"a": "{b}"}, "{b}"),
    ],
)
def test_texts_take_the_place_of_names(text: str, values: dict[str, str], expected: str) -> None:
    assert replace_names(text, values) == expected


@given(st.lists(st.sampled_from(["conv 3x3 8", "bn", "relu", "{a}", "{b}", "dropout {c}"]), max_size=6))
def test_only_layers_with_an_empty_text_are_dropped(layers: list[str]) -> None:
    values = {"a": "", "b": "gap", "c": "0.1"}
    expected = [layer.format(**values) for layer in layers if layer != "{a}"]
    assert replace_names(", ".join(layers), values) == ", ".join(expected)


def test_names_and_single_braces_are_found() -> None:
    assert names_in("{a}, conv 3x3 { b-2 } {a}") == ["a", "b-2", "a"]
    assert stray_brace("conv {k}x{k} {w}") is None
    assert [stray_brace(text) for text in ("{w", "w}", "{{w}", "{w}}")] == ["{", "}", "{", "}"]


def test_widths_are_names_in_the_place_of_output_channels() -> None:
    block = "CONV {k}x{k} {a} groups={b}, conv 3x3 {c}{d}, conv 3x3 8, linear {e}, maxpool {f}, linear, dropout {g}"
    assert list(width_names(block)) == ["a", "e"]


def test_few_names_cannot_make_an_endless_text() -> None:
    values = {f"a{n}": f"{{a{n + 1}}}, {{a{n + 1}}}" for n in range(40)} | {"a40": "relu"}
    with pytest.raises(DrilldownError, match=f"more than {LONGEST_BLOCK:,} characters"):
        replace_names("{a0}", values)
