"""Blocks: texts and tables of layers."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown import load
from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import read_experiment
from drilldown.network.blocks import (
    canonical_block,
    count_layers,
    layers_in,
    map_layers,
    map_texts,
    network_text,
    without_skips,
)
from drilldown.network.layers import NotationError
from support.networks import blocks, networks

TAIL = "gap, linear 10"


def experiment(*layers: Any) -> Experiment:
    return load({"title": "A", "network": {"layers": list(layers)}, "recipe": {"dataset": "glyphs"}})


@settings(max_examples=100, deadline=None)
@given(st.lists(blocks(), min_size=1, max_size=4))
def test_canonical_blocks_stay_the_same(written: list[Any]) -> None:
    canonical = [canonical_block(block) for block in written]
    assert [canonical_block(block) for block in canonical] == canonical
    assert list(layers_in(canonical)) == list(layers_in(written))
    assert list(map_layers(canonical, lambda layer: layer)) == canonical
    assert list(map_texts(canonical, lambda text: text)) == canonical
    assert json.loads(json.dumps(canonical)) == canonical


@settings(max_examples=25, deadline=None)
@given(networks(channels=1))
def test_an_experiment_with_tables_is_written_and_read_unchanged(network: tuple[list[Any], Any]) -> None:
    (*blocks, _), _ = network
    try:
        before = experiment(*blocks, "gap", "linear 10")  # glyphs are larger than the images that the blocks fit
    except DrilldownError:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "written.toml"
        file.write_text(before.to_toml())
        after = read_experiment(file)
    assert after.network == before.network
    assert after.fingerprint == before.fingerprint
    assert after.layout == before.layout


def test_the_grouping_of_layers_has_no_effect_on_the_fingerprint() -> None:
    grouped = experiment({"skip": ["conv 3x3 1 pad=same, bn", "relu"]}, TAIL)
    single = experiment({"skip": ["conv 3x3 1 pad=1", "bn, relu"]}, "gap", "linear 10")
    assert grouped.fingerprint == single.fingerprint
    assert grouped.fingerprint != experiment("conv 3x3 1 pad=same, bn", "relu", TAIL).fingerprint


def test_a_plain_repetition_is_the_same_network_as_the_layers_written_out() -> None:
    repeated = experiment("conv 3x3 4", {"repeat": 3, "layers": ["conv 3x3 4, bn", "relu"]}, TAIL)
    written = experiment("conv 3x3 4", *["conv 3x3 4, bn, relu"] * 3, TAIL)
    assert repeated.fingerprint == written.fingerprint
    assert repeated.layout == written.layout
    shared = experiment("conv 3x3 4", {"repeat": 3, "shared": True, "layers": ["conv 3x3 4, bn", "relu"]}, TAIL)
    assert shared.fingerprint != written.fingerprint


def test_layers_are_counted_after_all_repetitions() -> None:
    nested: list[Any] = [{"repeat": 3, "layers": ["relu, bn", {"repeat": 2, "layers": [{"skip": ["relu"]}]}]}, "gap"]
    assert count_layers(nested) == 3 * (2 + 2) + 1
    assert network_text(without_skips(nested)) == ", ".join(["relu, bn, relu, relu"] * 3 + ["gap"])


WRONG = [
    ('{ skip = ["relu, cnov 3x3 8"] }', 'network.layers[0].skip[0] "relu, cnov 3x3 8"', 'unknown layer "cnov"'),
    ('{ skip = ["relu", { repeat = 2, layers = ["bn 3"] }] }', 'network.layers[0].skip[1].layers[0] "bn 3"', "bn"),
    ("{ skip = [] }", "network.layers[0].skip", "is empty; expected an array of blocks"),
    ('{ skip = "relu" }', "network.layers[0].skip", 'found "relu"; expected an array of blocks'),
    ("{ repeat = 2 }", "network.layers[0].layers", "is missing; expected an array of blocks"),
    ('{ repeat = 0, layers = ["relu"] }', "network.layers[0].repeat", "found 0; expected a whole number from 1"),
    ('{ repeat = true, layers = ["relu"] }', "network.layers[0].repeat", "found true"),
    ('{ repeat = 2, shared = 1, layers = ["relu"] }', "network.layers[0].shared", "found 1; expected true or false"),
    ('{ repeat = 2, share = true, layers = ["relu"] }', "network.layers[0]", 'did you mean "shared"?'),
    ('{ layers = ["relu"] }', "network.layers[0]", 'no "skip" and no "repeat"'),
    ('{ skip = ["relu"], layers = ["relu"] }', "network.layers[0]", 'unknown key "layers"'),
    ("{}", "network.layers[0]", 'no "skip" and no "repeat"'),
    ("5", "network.layers[0]", "found 5; expected a text, or a table"),
    ('{ skip = ["conv 3x3 8 pad=same, conv 99x99 8"] }', "network.layers[0].skip[0]", "an image of at least 99x99"),
    ('{ skip = ["conv 3x3 8"] }', "network.layers[0].skip", "turn 1x28x28 into 8x26x26; expected blocks that keep"),
    ('{ skip = ["gap"] }', "network.layers[0].skip", "turn 1x28x28 into 1x1x1"),
    (
        '{ repeat = 2, shared = true, layers = ["conv 3x3 8"] }',
        "network.layers[0].layers[0]",
        "gets 8x26x26; expected 1x28x28, the shape of the first pass, whose weights it shares",
    ),
    (f'{{ repeat = 1000, layers = ["{", ".join(["relu"] * 11)}"] }}', "network.layers", "expected at most 10,000"),
]  # fmt: skip


@pytest.mark.parametrize(("block", "place", "message"), WRONG)
def test_a_wrong_table_is_reported_with_its_place_and_line(
    block: str, place: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.toml"
    file.write_text(f'title = "A"\n[network]\nlayers = [\n{block},\n"{TAIL}"]\n[recipe]\ndataset = "glyphs"\n')
    with pytest.raises(DrilldownError) as caught:
        read_experiment(file)
    (problem,) = caught.value.problems
    assert (problem.place or "").startswith(place)
    assert message in str(problem)
    assert problem.line == (3 if place == "network.layers" else 4)


def test_the_line_of_a_text_deep_in_a_table_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('title = "A"\n[network]\nlayers = [\n  { skip = [\n    "relu",\n    "cnov",\n  ] },\n]\n')
    with pytest.raises(DrilldownError, match=re.escape('a.toml:6: network.layers[0].skip[1] "cnov"')):
        read_experiment(file)


def test_tables_can_be_nested_to_a_depth() -> None:
    block: Any = "relu"
    for _ in range(10):
        block = {"skip": [block]}
    canonical_block(block)
    for _ in range(2):
        block = {"skip": [block]}
    with pytest.raises(NotationError, match="tables within tables"):
        canonical_block(block)


def test_a_table_can_be_set_and_inherited(tmp_path: Path) -> None:
    parent = tmp_path / "01-parent.toml"
    parent.write_text(experiment({"skip": ["relu, conv 3x3 1 pad=same"]}, TAIL).to_toml())
    child = tmp_path / "02-child.toml"
    child.write_text('title = "B"\nextends = "01-parent"\n')
    assert read_experiment(child).network == read_experiment(parent).network
    changed = read_experiment(child, [f"network.layers=[{{ skip = ['conv 3x3 2 pad=same'] }}, '{TAIL}']"])
    assert changed.network.layers == ({"skip": ["conv 3x3 2 pad=1"]}, TAIL)
