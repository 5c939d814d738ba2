"""A space: from values to experiments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.experiment.loading import read_experiment
from drilldown.search.fit import fit
from drilldown.search.reading import read_search
from drilldown.search.space import Space
from support.datasets import write_two_images
from support.experiments import PLAIN
from support.searches import SPACE, search_text

Write = Callable[[str, str], Path]
VALUES: dict[str, Any] = {
    "w1": 6, "w2": 20, "w3": 5, "depth": "", "head": "conv 1x1 10, gap",
    "recipe.optimizer.lr": 0.2, "recipe.batch_size": 64,
}  # fmt: skip


@pytest.fixture
def space(write: Write) -> Space:
    return read_search(write("a.toml", search_text())).space


def test_a_candidate_is_the_experiment_that_one_would_write(write: Write, space: Space) -> None:
    layers = 'layers = ["conv 3x3 6, bn, relu", "maxpool 2", "conv 3x3 20, relu", "conv 1x1 10, gap"]'
    recipe = '[recipe]\ndataset = "glyphs"\nbatch_size = 64\noptimizer = { name = "sgd", lr = 0.2, momentum = 0.9 }\n'
    by_hand = read_experiment(write("b.toml", f'title = "B"\n[network]\n{layers}\n{recipe}'))
    candidate = space.experiment(VALUES, 12)
    assert candidate.settings() == by_hand.settings()
    assert candidate.fingerprint == by_hand.fingerprint
    assert candidate.title == "A search, candidate 12"
    assert candidate.name.endswith("/a-candidate-12")
    assert space.experiment(VALUES).title == "A search"


def test_a_text_can_contain_names_of_its_own(space: Space) -> None:
    repeated = space.layers(VALUES | {"depth": "conv 3x3 {w1}, relu"})
    other = space.layers(VALUES | {"depth": "conv 3x3 {w3}, relu"})
    assert repeated[1] == "conv 3x3 6, relu"
    assert other[1] == "conv 3x3 5, relu"
    assert len(space.layers(VALUES)) == len(other) - 1


def test_only_names_that_stand_in_the_layers_of_a_candidate_are_used(space: Space) -> None:
    recipe = {"recipe.optimizer.lr", "recipe.batch_size"}
    assert space.used(VALUES) == {"w1", "w2", "depth", "head"} | recipe
    assert space.used(VALUES | {"depth": "conv 3x3 {w3}, relu"}) == set(VALUES)
    assert space.widths_of(VALUES) == ("w1", "w2")
    assert space.widths_of(VALUES | {"depth": "conv 3x3 {w3}, relu"}) == ("w1", "w3", "w2")
    assert space.widths == {"w1", "w2", "w3"}


def test_widths_are_found_through_any_text(write: Write) -> None:
    text = search_text(
        "a = { int = [2, 4] }\nb = { int = [2, 4] }\nk = { int = [1, 3], step = 2 }\np = { float = [0.1, 0.5] }\n"
        "c = { one_of = [4, 8] }\nd = { int = [2, 4] }\n"
        'word = { one_of = ["conv {k}x{k}", "conv 3x3"] }\nout = { one_of = ["{a}", "8"] }',
        'layers = ["{word} {out}, dropout {p}", "conv 3x3 {c}", "conv 1x1 {b} pad={d}", "gap, linear 10"]',
    )
    assert read_search(write("a.toml", text)).space.widths == {"a", "b"}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers())
def test_every_sample_and_every_neighbour_makes_an_experiment_that_survives_json(scratch: Path, seed: int) -> None:
    (scratch / "a.toml").write_text(search_text())
    space, rng = read_search(scratch / "a.toml").space, Random(seed)
    values = space.sample(rng)
    for _ in range(5):
        near = space.neighbours(values, rng)
        changed = {name for name in near if near[name] != values[name]}
        assert 1 <= len(changed) <= 2
        assert changed <= space.used(values)
        again = space.experiment(json.loads(json.dumps(near)))
        assert again.fingerprint == space.experiment(near).fingerprint
        values = near


def test_neighbours_depend_on_the_generator_alone(space: Space) -> None:
    assert space.neighbours(VALUES, Random(3)) == space.neighbours(VALUES, Random(3))
    assert len({json.dumps(space.neighbours(VALUES, Random(seed))) for seed in range(20)}) > 5


def test_where_nothing_can_change_a_neighbour_is_the_same(write: Write) -> None:
    layers = 'layers = ["conv 3x3 {w}, gap, linear 10"]'
    space = read_search(write("a.toml", search_text("w = { int = [4, 4] }", layers))).space
    assert space.neighbours({"w": 4}, Random(0)) == {"w": 4}


def test_neighbours_skip_values_that_make_no_network(write: Write) -> None:
    layers = 'layers = ["conv 3x3 4", "conv 3x3 {w} groups=2", "gap, linear 10"]'
    space = read_search(write("a.toml", search_text("w = { int = [4, 12], start = 8 }", layers))).space
    near = {space.neighbours({"w": 8}, Random(seed))["w"] for seed in range(50)}
    assert {6, 10} <= near <= {4, 6, 10, 12}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w1": 7}, "space.w1: found 7; expected a whole number from 4 to 16 in steps of 2"),
        ({"w1": True}, "space.w1: found true; expected a whole number from 4 to 16 in steps of 2"),
        ({"head": "gap"}, 'space.head: found "gap"; expected one of "gap, linear 10", "conv 1x1 10, gap"'),
        ({"recipe.optimizer.lr": 1.0}, "space.recipe.optimizer.lr: found 1.0; expected a number from 0.05 to 0.5"),
        ({"w9": 1}, "space.w9: no such dimension"),
    ],
)
def test_values_that_are_not_in_the_space_are_refused(space: Space, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DrilldownError) as caught:
        space.experiment(VALUES | change)
    assert str(caught.value) == message


def test_a_missing_value_is_refused(space: Space) -> None:
    values = {name: value for name, value in VALUES.items() if name != "w2"}
    with pytest.raises(DrilldownError, match=r"^space\.w2: no value; expected a whole number from 4 to 32$"):
        space.experiment(values)


def test_a_candidate_that_does_not_fit_is_refused_with_the_line_of_the_layer_in_the_file(write: Write) -> None:
    layers = 'layers = [\n  "{drop}",\n  "conv {k}x{k} 4",\n  "conv {m}x{m} 4",\n  "gap, linear 10",\n]'
    kernels = "k = { int = [3, 15], step = 2, start = 3 }\nm = { int = [3, 15], step = 2, start = 3 }"
    path = write("a.toml", search_text(kernels + '\ndrop = { one_of = ["", "dropout 0.1"] }', layers))
    space = read_search(path).space
    assert space.experiment({"k": 15, "m": 3, "drop": ""}).layout
    line = 1 + path.read_text().splitlines().index('  "conv {m}x{m} 4",')
    for drop in ("", "dropout 0.1"):
        with pytest.raises(DrilldownError) as caught:
            space.experiment({"k": 15, "m": 15, "drop": drop})
        assert str(caught.value).startswith(
            f'{path}:{line}: network.layers[2] "conv 15x15 4": conv 15x15 4 gets 4x14x14;'
        )


def test_the_first_candidate_has_the_starts_of_the_file_and_the_recipes_own_values(write: Write) -> None:
    started = SPACE.replace("step = 2", "step = 2, start = 8").replace("[4, 32]", "[4, 32], start = 5")
    started = started.replace("[2, 8]", "[2, 8], start = 2")
    recipe = 'batch_size = 64\noptimizer = { name = "sgd", lr = 0.1 }'
    expected: dict[str, Any] = {
        "w1": 8, "w2": 5, "w3": 2, "depth": "conv 3x3 {w1}, relu", "head": "gap, linear 10",
        "recipe.optimizer.lr": 0.1, "recipe.batch_size": 64,
    }  # fmt: skip
    search = read_search(write("a.toml", search_text(started, recipe=recipe)))
    assert search.space.original == expected
    assert search.base.settings() == search.space.experiment(expected).settings()
    # Without a start, or with a recipe's value outside the dimension, there is no such candidate.
    assert read_search(write("b.toml", search_text(recipe=recipe))).space.original is None
    outside = recipe.replace("64", "100")
    assert read_search(write("c.toml", search_text(started, recipe=outside))).space.original is None


def test_a_table_is_the_recipes_own_also_if_it_leaves_out_defaults(write: Write) -> None:
    text = search_text(
        '"recipe.augment" = { one_of = [{}, { rotate = 5, affine = {} }, { rotate = 5 }] }',
        'layers = ["gap, linear 10"]', recipe='augment = { rotate = 5.0, interpolation = "bilinear" }',
    )  # fmt: skip
    assert read_search(write("a.toml", text)).space.original == {"recipe.augment": {"rotate": 5}}


def test_a_setting_that_the_file_does_not_have_keeps_the_other_defaults(write: Write) -> None:
    text = search_text('"recipe.optimizer.momentum" = { float = [0.5, 0.95] }', 'layers = ["gap, linear 10"]')
    optimizer = (
        read_search(write("a.toml", text)).space.experiment({"recipe.optimizer.momentum": 0.75}).recipe.optimizer
    )
    assert (
        optimizer
        == read_experiment(
            write("b.toml", PLAIN + 'optimizer = { name = "sgd", lr = 0.01, momentum = 0.75 }\n')
        ).recipe.optimizer
    )


def test_candidates_keep_the_parent_and_leave_out_what_is_said_about_the_original(write: Write) -> None:
    write("parent.toml", PLAIN)
    text = search_text().replace(
        'title = "A search"', 'title = "A search"\nextends = "parent.toml"\nremark = "r"\nreconstructed = true'
    )
    space = read_search(write("a.toml", text + "[reported]\ntest = 99.0\n")).space
    candidate = space.experiment(VALUES, 3)
    assert candidate.parent is not None
    assert candidate.parent.settings() == read_experiment(write("parent.toml", PLAIN)).settings()
    assert (candidate.remark, candidate.reconstructed, candidate.reported) == ("", False, None)
    assert candidate.path == space.path


def test_a_folder_of_images_is_relative_to_the_file_of_the_search(write: Write, tmp_path: Path) -> None:
    write_two_images(tmp_path / "data", side=9)
    write_two_images(tmp_path / "other", side=12)
    text = search_text(
        '"recipe.dataset" = { one_of = ["./data", "./other"] }', 'layers = ["gap, linear 10"]'
    ).replace('dataset = "glyphs"', 'dataset = "./data"').replace("linear 10", "linear 2")  # fmt: skip
    space = read_search(write("a.toml", text)).space
    other = space.experiment({"recipe.dataset": "./other"})
    assert other.recipe.dataset == str(tmp_path / "other")
    assert other.image[0] == (1, 12, 12)
    assert space.original == {"recipe.dataset": "./data"}


def test_choosing_an_optimizer_as_a_whole_table(write: Write) -> None:
    tables = '[{ name = "sgd", lr = 0.1 }, { name = "adam", lr = 0.001, betas = [0.8, 0.9] }]'
    text = search_text(f'"recipe.optimizer" = {{ one_of = {tables} }}', 'layers = ["gap, linear 10"]')
    space = read_search(write("a.toml", text)).space
    assert {space.experiment(space.sample(Random(seed))).recipe.optimizer.name for seed in range(20)} == {"sgd", "adam"}


TABLES = """
title = "A search"
[network]
layers = [
  "conv 3x3 {w1}, relu",
  { skip = ["conv 3x3 {w1} pad=same, {norm}, relu", "{more}"] },
  { repeat = "{depth}", shared = true, layers = [
    "conv 3x3 {w1} pad=same, {norm}",
  ] },
  "gap, linear 10",
]
[recipe]
dataset = "glyphs"
[space]
w1 = { int = [4, 8] }
norm = { one_of = ["bn", ""] }
more = { one_of = ["", "conv 1x1 {w2}"] }
w2 = { int = [4, 8] }
depth = { int = [1, 3] }
"""


def test_names_can_stand_in_tables_and_in_place_of_a_number(write: Write) -> None:
    space = read_search(write("a.toml", TABLES)).space
    values: dict[str, Any] = {"w1": 5, "norm": "", "more": "", "w2": 4, "depth": 2}
    assert space.layers(values) == (
        "conv 3x3 5, relu",
        {"skip": ["conv 3x3 5 pad=same, relu"]},
        {"repeat": 2, "shared": True, "layers": ["conv 3x3 5 pad=same"]},
        "gap, linear 10",
    )
    assert space.used(values) == {"w1", "norm", "more", "depth"}
    assert space.widths == {"w1", "w2"}
    assert space.widths_of(values) == ("w1",)
    candidate = space.experiment(values | {"norm": "bn", "more": "conv 1x1 {w2}", "w2": 5})
    assert candidate.network.layers is not None
    assert candidate.network.layers[1] == {"skip": ["conv 3x3 5 pad=1, bn, relu", "conv 1x1 5"]}
    fitted = fit(space, values, 600)
    assert fitted is not None
    assert fitted.parameters == space.experiment(fitted.values).model_summary.parameters <= 600


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"{more}"] }', '"{mroe}"] }', 'a.toml:5: network.layers[1].skip[1] "{mroe}": unknown name "mroe"'),
        ('"conv 3x3 {w1} pad=same, {norm}",', '"conv 3x3 {w1}, {norm}x",', "a.toml:6: network.layers[2].layers[0]"),
        ('{ skip = ["conv', '{ skp = ["conv', 'network.layers[1]: unknown key "skp"'),
    ],
)
def test_a_wrong_name_in_a_table_is_reported_with_its_place(write: Write, old: str, new: str, message: str) -> None:
    assert old in TABLES
    with pytest.raises(DrilldownError) as caught:
        read_search(write("a.toml", TABLES.replace(old, new).lstrip("\n")))
    assert message in str(caught.value)


def test_a_search_varies_the_widths_in_the_tables_of_an_experiment(write: Write) -> None:
    text = 'title = "A"\n[network]\nlayers = [{ skip = ["conv 3x3 1 pad=same"] }, "gap, linear 10"]\n'
    space = read_search(write("a.toml", f'{text}[recipe]\ndataset = "glyphs"\n')).space
    assert [name for name in space.dimensions if not name.startswith("recipe.")] == ["w1"]
    assert space.experiment({**space.centre, "w1": 2}).network.layers == (
        {"skip": ["conv 3x3 2 pad=1"]},
        "gap, linear 10",
    )


def test_a_search_varies_the_widths_of_separable_convolutions_and_grouped_norms(write: Write) -> None:
    text = 'layers = ["conv 3x3 8, gn 4, silu", "sep 3x3 12 pad=same, gn 2", "maxpool 2", "gap, linear 10"]'
    space = read_search(write("a.toml", f'title = "A"\n[network]\n{text}\n[recipe]\ndataset = "glyphs"\n')).space
    assert space.original is not None
    own = space.experiment(space.original).model_summary
    assert own.parameters == read_experiment(space.path).model_summary.parameters
    rng = Random(0)
    for _ in range(5):
        space.experiment(space.sample(rng))
