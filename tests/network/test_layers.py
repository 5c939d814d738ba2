"""The block notation, and how a new layer is added to it."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    AvgPool,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    NotationError,
    ReLU,
    Shape,
    parse_block,
)
from drilldown.settings import Compute
from drilldown.training.training import Training

PROBABILITY = st.floats(0, 1, exclude_max=True)
COUNT = st.integers(1, 1_000_000)
SIZED: dict[str, Callable[[int], Layer]] = {"linear": Linear, "maxpool": MaxPool, "avgpool": AvgPool}
PLAIN = {"bn": BatchNorm(), "relu": ReLU(), "gap": GlobalAveragePool(), "flatten": Flatten()}


@st.composite
def written_layers(draw: st.DrawFn) -> tuple[str, Layer]:
    """A text in the notation, and its layer."""
    word = draw(st.sampled_from(sorted(LAYERS)))
    layer: Layer
    if word == "conv":
        kernel, out, stride, groups = draw(COUNT), draw(COUNT), draw(COUNT), draw(COUNT)
        pad, bias = draw(st.integers(0, 1_000_000)), draw(st.booleans())
        layer = Conv(kernel, out, stride, pad, groups, bias)
        options = {"stride": (stride, 1), "pad": (pad, 0), "groups": (groups, 1)}
        written = [
            f"{key}={value}" for key, (value, default) in options.items() if value != default or draw(st.booleans())
        ]
        words = [f"{kernel}x{kernel}", str(out), *draw(st.permutations([*written, *["bias"] * bias]))]
    elif word == "dropout":
        probability = draw(PROBABILITY)
        layer, words = Dropout(probability), [repr(probability)]
    elif word in SIZED:
        number = draw(COUNT)
        layer = SIZED[word](number)
        words = [str(number)]
    else:
        assert word in PLAIN, f"how is {word} written?"
        layer, words = PLAIN[word], []
    space = draw(st.sampled_from([" ", "  ", "\t"]))
    text = space.join([word, *words])
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
    [*LAYERS, "3x3", "3x", "x", "1e9", "nan", "inf", "-1", "10", "bias", "stride=2", "pad=", "=", ",", " ", "٣x٣"]
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
        ("xyzzy", 'unknown layer "xyzzy"', "one of avgpool, bn, conv, dropout, flatten, gap, linear, maxpool, relu"),
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
        ("bn 3", '"3" is not known after "bn"', "nothing after it"),
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
