"""Layers under the names of other libraries get a suggestion."""

from __future__ import annotations

import pytest

from drilldown.network.layers import LAYERS, NotationError, parse_block
from drilldown.network.other_names import OTHER_NAMES


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("global_average_pool", "gap"),
        ("GlobalAvgPool2d", "gap"),
        ("AdaptiveAvgPool2d", "gap"),
        ("Conv2d", "conv"),
        ("BatchNorm2d", "bn"),
        ("batch_norm", "bn"),
        ("Dense", "linear"),
        ("max_pooling", "maxpool"),
        ("cnov", "conv"),
    ],
)
def test_other_names_are_understood(word: str, name: str) -> None:
    with pytest.raises(NotationError) as caught:
        parse_block(f"{word} 3")
    assert caught.value.problem.suggestion == f'did you mean "{name}"?'


@pytest.mark.parametrize("word", ["swish", "lstm", "xyz"])
def test_a_layer_that_the_notation_lacks_can_be_written_in_python(word: str) -> None:
    with pytest.raises(NotationError) as caught:
        parse_block(word)
    assert "python =" in (caught.value.problem.suggestion or "")


def test_every_suggested_layer_exists_and_no_name_is_given_twice() -> None:
    assert OTHER_NAMES.keys() <= LAYERS.keys()
    names = [name for names in OTHER_NAMES.values() for name in names]
    assert len(set(names)) == len(names)
    assert not set(names) & LAYERS.keys()
