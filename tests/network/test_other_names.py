"""Layers under the names of other libraries get a suggestion."""

from __future__ import annotations

import pytest

from drilldown.network.layers import LAYERS, NotationError, parse_block
from drilldown.network.other_names import OTHER_NAMES, OTHER_WORDS


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
        ("nn.MaxPool2d(2)", "maxpool"),
        ("LeakyReLU", "leaky"),
        ("SeparableConv2D", "sep"),
        ("GroupNorm", "gn"),
        ("LayerNorm", "ln"),
        ("SqueezeExcitation", "se"),
        ("SpatialDropout2D", "dropout2d"),
        ("Swish", "silu"),
    ],
)
def test_other_names_are_understood(word: str, name: str) -> None:
    with pytest.raises(NotationError) as caught:
        parse_block(f"{word} 3")
    assert caught.value.problem.suggestion == f'did you mean "{name}"?'


@pytest.mark.parametrize("word", ["softmax", "lstm", "xyz"])
def test_a_layer_that_the_notation_lacks_can_be_written_in_python(word: str) -> None:
    with pytest.raises(NotationError) as caught:
        parse_block(word)
    assert "python =" in (caught.value.problem.suggestion or "")


@pytest.mark.parametrize(
    ("word", "written"),
    [("DepthwiseConv2D", "conv 3x3 8 depthwise"), ("Add", "{ skip = [...] }"), ("ZeroPadding2D", "pad=1")],
)
def test_what_is_no_layer_of_its_own_is_shown_as_it_is_written(word: str, written: str) -> None:
    with pytest.raises(NotationError) as caught:
        parse_block(word)
    assert written in (caught.value.problem.suggestion or "")


def test_every_suggested_layer_exists_and_no_name_is_given_twice() -> None:
    assert OTHER_NAMES.keys() <= LAYERS.keys()
    names = [name for names in (*OTHER_NAMES.values(), *OTHER_WORDS.values()) for name in names]
    assert len(set(names)) == len(names)
    assert not set(names) & LAYERS.keys()
