"""The block notation, and how a new layer is added to it."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from drilldown.data.dataset import Dataset
from drilldown.experiment.difference import changed_components, find_difference
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import read_experiment
from drilldown.experiment.template import template_text
from drilldown.network.layers import (
    LAYERS,
    BatchNorm,
    BlurPool,
    Conv,
    Layer,
    NotationError,
    SeparableConv,
    Shape,
    parse_block,
)
from drilldown.settings import Compute
from drilldown.training.training import Training

BELOW_ONE = st.floats(0, 1, exclude_max=True)
COUNT = st.integers(1, 1_000_000)
ODD = st.integers(0, 15).map(lambda half: 2 * half + 1)
NUMBER: dict[str, st.SearchStrategy[Any]] = {
    "dropout": BELOW_ONE, "dropout2d": BELOW_ONE, "gn": COUNT, "leaky": BELOW_ONE, "linear": COUNT, "se": COUNT,
}  # fmt: skip
"""The words with one number."""
PLAIN = {"bn", "flatten", "gap", "gelu", "hardswish", "ln", "prelu", "relu", "silu"}
"""The words without arguments."""


def option(draw: st.DrawFn, key: str, value: int, default: int) -> list[str]:
    """The option as text; a default can be left out."""
    return [f"{key}={value}"] if value != default or draw(st.booleans()) else []


@st.composite
def written_layers(draw: st.DrawFn) -> tuple[str, Layer]:
    """A text in the notation, and its layer."""
    word = draw(st.sampled_from(sorted(LAYERS)))
    kind: Any = LAYERS[word]
    first: list[str] = []
    options: list[str] = []
    layer: Layer
    if word in ("conv", "sep"):
        kernel, out, stride, dilation, groups, expand = (draw(COUNT) for _ in range(6))
        pad = draw(st.integers(0, 1_000_000))
        first = [f"{kernel}x{kernel}", str(out)]
        for key, value, default in (("stride", stride, 1), ("pad", pad, 0), ("dilation", dilation, 1)):
            options += option(draw, key, value, default)
        if word == "sep":
            layer = SeparableConv(kernel, out, stride, pad, dilation)
        else:
            way = draw(st.sampled_from(["groups", "depthwise", "expand"]))
            bias = draw(st.booleans())
            groups, expand = groups if way == "groups" else 1, expand if way == "expand" else 1
            layer = Conv(kernel, out, stride, pad, groups, bias, dilation, way == "depthwise", expand)
            options += option(draw, "groups", groups, 1) if way == "groups" else []
            options += option(draw, "expand", expand, 1) if way == "expand" else []
            options += ["depthwise"] * (way == "depthwise") + ["bias"] * bias
    elif word in ("maxpool", "avgpool"):
        size, stride = draw(COUNT), draw(COUNT)
        pad = draw(st.integers(0, size // 2))
        layer, first = kind(size, stride, pad), [str(size)]
        options = option(draw, "stride", stride, size) + option(draw, "pad", pad, 0)
    elif word == "blurpool":
        size, stride = draw(ODD), draw(COUNT)
        layer, options = BlurPool(size, stride), option(draw, "stride", stride, 2)
        first = [str(size)] if size != 3 or draw(st.booleans()) else []
    elif word in NUMBER:
        number = draw(NUMBER[word])
        layer, first = kind(number), [repr(number)]
    elif word == "bn" and draw(st.booleans()):
        layer, options = BatchNorm(scale=False), ["noscale"]
    else:
        assert word in PLAIN, f"how is {word} written?"
        layer = kind()
    space = draw(st.sampled_from([" ", "  ", "\t"]))
    text = space.join([word, *first, *draw(st.permutations(options))])
    return draw(st.sampled_from([text, text.upper(), f" {text} "])), layer


@settings(max_examples=150, deadline=None)
@given(st.lists(written_layers(), min_size=1, max_size=5))
def test_layers_are_read_as_written_and_their_canonical_text_gives_the_same_layers(
    written: list[tuple[str, Layer]],
) -> None:
    layers = tuple(layer for _, layer in written)
    assert parse_block(",".join(text for text, _ in written)) == layers
    canonical = ", ".join(map(str, layers))
    assert parse_block(canonical) == layers
    assert ", ".join(map(str, parse_block(canonical))) == canonical


WORDS = st.sampled_from(
    [
        *LAYERS,
        "3x3",
        "3x",
        "x",
        "1e9",
        "nan",
        "inf",
        "-1",
        "10",
        "bias",
        "stride=2",
        "pad=",
        "=",
        ",",
        " ",
        "٣x٣",
        "pad=same",
        "dilation=2",
        "depthwise",
        "expand=3",
        "groups=2",
        "noscale",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.text(string.printable), st.lists(WORDS).map(" ".join)))
def test_any_text_gives_layers_or_a_notation_error(text: str) -> None:
    try:
        layers = parse_block(text)
    except NotationError:
        return
    assert parse_block(", ".join(map(str, layers))) == layers


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("cnov 3x3 8", 'unknown layer "cnov"', 'did you mean "conv"?'),
        ("maxpol 2", 'unknown layer "maxpol"', 'did you mean "maxpool"?'),
        (
            "xyzzy",
            'unknown layer "xyzzy"',
            "one of avgpool, bn, blurpool, conv, dropout, dropout2d, flatten, gap, gelu, gn, hardswish, leaky, linear, "
            "ln, maxpool, prelu, relu, se, sep, silu",
        ),
        ("conv", '"conv" is incomplete', "conv KxK OUT"),
        ("conv 3x3", '"conv 3x3" is incomplete', "conv KxK OUT"),
        ("linear", '"linear" is incomplete', "linear OUT"),
        ("maxpool", '"maxpool" is incomplete', "maxpool N"),
        ("avgpool", '"avgpool" is incomplete', "avgpool N"),
        ("dropout", 'found the probability ""', "a number from 0 to below 1"),
        ("conv 3x5 8", 'the kernel "3x5"', "a square one such as 3x3"),
        ("conv 3 8", 'the kernel "3"', "a square one such as 3x3"),
        ("conv 3x3x3 8", 'the kernel "3x3x3"', "a square one such as 3x3"),
        ("conv 0x0 8", '"0" as the kernel side', "a whole number from 1"),
        ("conv ٣x٣ 8", '"٣" as the kernel side', "a whole number from 1"),
        ("conv 3x3 many", '"many" as the number of channels', "a whole number from 1"),
        ("conv 3x3 1.5", '"1.5" as the number of channels', "a whole number from 1"),
        ("conv 3x3 1000001", '"1000001" as the number of channels', "to 1,000,000"),
        ("linear 0", '"0" as the number of outputs', "a whole number from 1"),
        ("maxpool two", '"two" as the pool\'s side', "a whole number from 1"),
        ("conv 3x3 8 strid=2", '"strid=2" is not known after "conv"', 'did you mean "stride"?'),
        ("conv 3x3 8 stride=0", '"0" as the stride', "a whole number from 1"),
        ("conv 3x3 8 pad=-1", '"-1" as the pad', "a whole number from 0"),
        ("conv 3x3 8 groups=", '"" as the groups', "a whole number from 1"),
        ("conv 3x3 8 pad=1 pad=1", '"pad" is given twice', "conv KxK OUT"),
        ("conv 3x3 8 bias bias", '"bias" is given twice', "conv KxK OUT"),
        ("bn 3", '"3" is not known after "bn"', "bn [noscale]"),
        ("bn noscal", '"noscal" is not known after "bn"', 'did you mean "noscale"?'),
        ("relu 6", '"6" is not known after "relu"', "nothing after it"),
        ("conv 4x4 8 pad=same", "pad=same with the kernel 4x4", "a kernel with an odd side"),
        ("conv 3x3 8 pad=valid", '"valid" as the pad', "a whole number from 0"),
        ("conv 3x3 8 dilation=0", '"0" as the dilation', "a whole number from 1"),
        ("conv 3x3 8 depthwise=8", 'found "depthwise=8"', "depthwise, without a value"),
        ("conv 3x3 8 expand", 'found "expand"', "expand=N, with a number"),
        ("conv 3x3 8 depthwise groups=8", '"groups" and "depthwise" are given', "one of the two"),
        ("conv 3x3 8 groups=2 expand=2", "expand=2 with groups", "without groups"),
        ("conv 3x3 8 depthwise expand=2", "expand=2 with groups", "without groups"),
        ("sep 3x3", '"sep 3x3" is incomplete', "sep KxK OUT"),
        ("sep 3x3 8 bias", '"bias" is not known after "sep"', "sep KxK OUT"),
        ("gn", '"gn" is incomplete', "gn G"),
        ("gn 0", '"0" as the number of groups', "a whole number from 1"),
        ("se", '"se" is incomplete', "se R"),
        ("se 4 4", '"4" is not known after "se"', "se R"),
        ("leaky", 'found the slope ""', "a number from 0 to below 1"),
        ("leaky -0.1", 'found the slope "-0.1"', "a number from 0 to below 1"),
        ("dropout2d 2", 'the probability "2"', "a number from 0 to below 1"),
        ("maxpool 3 pad=2", "found pad=2", "at most half the window, 1"),
        ("maxpool 3 padding=1", '"padding=1" is not known', 'did you mean "pad"?'),
        ("blurpool 4", "a blur of 4x4", "an odd side"),
        ("blurpool 3 2", '"2" is not known after "blurpool"', "blurpool [N] [stride=N]"),
        ("maxpool 2 2", '"2" is not known after "maxpool"', "maxpool N"),
        ("dropout 0.1 0.2", '"0.2" is not known after "dropout"', "dropout P"),
        ("linear 10 20", '"20" is not known after "linear"', "linear OUT"),
        ("dropout 1.5", 'the probability "1.5"', "a number from 0 to below 1"),
        ("dropout 1", 'the probability "1"', "a number from 0 to below 1"),
        ("dropout -0.1", 'the probability "-0.1"', "a number from 0 to below 1"),
        ("dropout nan", 'the probability "nan"', "a number from 0 to below 1"),
        ("bn,, relu", "an extra comma", "one of avgpool, bn"),
        ("bn,", "an extra comma", "one of avgpool, bn"),
        ("", "an empty layer", "one of avgpool, bn"),
    ],
)
def test_the_message_about_wrong_notation_gives_the_found_and_the_expected_text(
    text: str, found: str, expected: str
) -> None:
    with pytest.raises(NotationError) as caught:
        parse_block(text)
    assert found in caught.value.problem.found
    assert expected in str(caught.value).partition(caught.value.problem.found)[2]


@dataclass(frozen=True, slots=True)
class LeakyReLU(Layer):
    """A layer as a contributor would add it."""

    word = "leakyrelu"
    usage = "leakyrelu SLOPE"
    overwrites = True
    slope: float

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> LeakyReLU:
        return cls(float(arguments[0]))

    def output(self, shape: Shape) -> Shape:
        return shape

    def module(self, shape: Shape, *, inplace: bool) -> nn.Module:  # noqa: ARG002
        return nn.LeakyReLU(self.slope, inplace=inplace)

    def __str__(self) -> str:
        return f"{self.word} {self.slope!r}"


@pytest.fixture
def _leaky_relu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYERS, LeakyReLU.word, LeakyReLU)


@pytest.mark.usefixtures("_leaky_relu")
def test_a_new_layer_needs_only_its_class_and_an_entry_in_layers(tmp_path: Path, tiny: Dataset) -> None:
    def write(*blocks: str) -> Experiment:
        layers = ", ".join(f'"{block}"' for block in blocks)
        file = tmp_path / "experiment.toml"
        file.write_text(f'title = "A"\n[network]\nlayers = [{layers}]\n[recipe]\ndataset = "glyphs"\nepochs = 1\n')
        return read_experiment(file)

    experiment = write("conv 3x3 4, leakyrelu 0.1", "gap", "linear 10")
    plain = write("conv 3x3 4, relu", "gap", "linear 10")
    assert experiment.model_summary.parameters == plain.model_summary.parameters
    assert experiment.model_summary.receptive_field == plain.model_summary.receptive_field
    assert experiment.model_summary.peak_activation_bytes == plain.model_summary.peak_activation_bytes
    assert experiment.fingerprint != plain.fingerprint
    assert find_difference(plain, experiment).layers
    assert changed_components(plain, experiment) == ("layers",)
    assert "leakyrelu SLOPE" in template_text(experiment, Path("new.toml"))
    assert isinstance(experiment.build().get_submodule("leakyrelu1"), nn.LeakyReLU)
    training = Training(experiment, tiny, compute=Compute(engine="torch"))
    (epoch,) = training
    assert epoch.train.total == 200


def test_a_written_pad_same_keeps_the_size_and_is_the_number_that_does() -> None:
    assert [str(layer) for layer in parse_block("conv 3x3 8 pad=same, sep 5x5 8 dilation=2 pad=same")] == [
        "conv 3x3 8 pad=1",
        "sep 5x5 8 pad=4 dilation=2",
    ]
