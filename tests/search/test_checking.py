"""Messages about names and values of a search file."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drilldown.search.checking import setting_names
from drilldown.search.reading import read_search
from support.searches import SPACE, search_errors, search_text

Write = Callable[[str, str], Path]


def line_in(path: Path, start: str) -> int:
    """The number of the line that begins with a text."""
    (line,) = (n for n, line in enumerate(path.read_text().splitlines(), 1) if line.startswith(start))
    return line


@pytest.mark.parametrize(
    ("before", "after", "line", "message"),
    [
        ("w1 = ", "w = ", "layers", 'network.layers[0] "conv 3x3 {w1}, bn, relu": unknown name "w1"; expected one of '),
        ("[4, 16]", "[16, 4]", "w1", "space.w1: found [16, 4]; expected the smallest number first"),
        ("[4, 16]", "[4, 15]", "w1", "space.w1: step = 2 does not divide 15 − 4 = 11; expected a range such as [4"),
        ("[4, 16]", "[4.0, 16]", "w1", "space.w1.int[0]: found 4.0; expected a whole number"),
        ("[4, 16]", "[4]", "w1", "space.w1.int[1]: is missing"),
        ("[4, 16]", '"4"', "w1", 'space.w1.int: found "4"; expected an array'),
        ("step = 2", "stepp = 2", "w1", 'space.w1: unknown key "stepp"; expected one of int, step, log, start; d'),
        ("{ int = [4, 16]", "{ ints = [4, 16]", "w1", "space.w1: found { ints = [4, 16], step = 2 }; expected one of "),
        ("{ int = [4, 16]", "{ one_of = [4], int = [4, 16]", "w1", 'space.w1: found "int" and "one_of"; expected'),
        ("{ int = [4, 32] }", "[4, 32]", "w2", "space.w2: found [4, 32]; expected a table, as in { int = [4, 16] }"),
        ("[4, 32]", "[0, 32]", "w2", 'space.w2 = 0: network.layers[3] "conv 3x3 0, relu": found "0" as the number of'),
        ("gap, linear 10", "gap, linear {w4}", "head", 'space.head = "gap, linear {w4}": unknown name "w4"; expected'),
        ("gap, linear 10", "gap, {head}", "head", 'space.head: circular: its texts lead back to "head"'),
        ("gap, linear 10", "gap, linear {w1", "head", 'space.head = "gap, linear {w1": found a single "{"; expected'),
        ("1x1 10", "1x1 11", "head", 'space.head = "conv 1x1 11, gap": network.layers[4] "conv 1x1 11, gap": the'),
        ("conv 1x1 10", "cnov 1x1 10", "head", 'space.head = "cnov 1x1 10, gap": network.layers[4] "cnov 1x1 10'),
        ("optimizer.lr", "optimzer.lr", '"recipe.opt', 'recipe: unknown key "optimzer"; expected one of dataset'),
        ("optimizer.lr", "optimizer.lrr", '"recipe.opt', 'recipe.optimizer: unknown key "lrr"; expected one of name'),
        ("recipe.optimizer.lr", "budget.hold", '"budget', "space.budget.hold: not a setting that a search can"),
        ('"recipe.optimizer.lr"', "lr", "lr", "space.lr: is never used; expected {lr} in a layer; did"),
        ("[0.05, 0.5]", "[0, 0.5]", '"recipe.opt', "space.recipe.optimizer.lr: found [0.0, 0.5] with log = true"),
        ("32, 64, 128", '32, "x"', '"recipe.batch', 'space.recipe.batch_size = "x": found "x"; expected a'),
        ("32, 64, 128", "0, 64", '"recipe.batch', "recipe.batch_size: found 0; expected greater than or equal to 1"),
        ("32, 64, 128", "64, 64", '"recipe.batch', "space.recipe.batch_size.one_of: 64 is given twice"),
        ("32, 64, 128", "", '"recipe.batch', "space.recipe.batch_size.one_of: found []; expected an"),
        ("gap, linear 10", "gap, {recipe.batch_size}", "head", 'space.head = "gap, {recipe.batch_size}": "recipe.ba'),
        ("w3 =", '"w 3" =', '"w 3"', 'space.w 3: found the name "w 3"; expected letters'),
    ],
)  # fmt: skip
def test_an_error_is_one_message_with_the_line_of_its_dimension(
    write: Write, before: str, after: str, line: str, message: str
) -> None:
    assert before in SPACE
    path = write("a.toml", search_text(SPACE.replace(before, after, 1)))
    errors = search_errors(path)
    assert any(error.startswith(f"a.toml:{line_in(path, line)}: {message}") for error in errors), errors
    for error in errors:
        assert not re.search(r"dictionary|object|instance|tuple|validation|Input|True|False|None", error)


def test_a_misspelt_name_is_refused_with_the_most_similar_one(write: Write) -> None:
    text = search_text("wide = { int = [4, 8] }", 'layers = ["conv 3x3 {wid}"]')
    unused, unknown = search_errors(write("a.toml", text))
    assert unused == "a.toml:5: space.wide: is never used; expected {wide} in a layer"
    assert unknown.startswith(
        'a.toml:7: network.layers[0] "conv 3x3 {wid}": unknown name "wid"; expected one of "wide";'
    )
    assert unknown.endswith('did you mean "wide"?')


def test_all_errors_of_a_file_are_reported_at_once_in_the_order_of_lines(write: Write) -> None:
    text = """\
title = "A"
targt = "t"                                      # wrong
[search]
goal = "bst"                                     # wrong
candidates = 0                                   # wrong
confirm = { rate = 0.4, moost = 3 }              # wrong # wrong
[space]
w1 = { int = [4, 15], step = 2 }                 # wrong
w2 = 5                                           # wrong
lr = { float = [0.1, 0.2] }                      # wrong
"recipe.epochs" = { int = [3, 2] }               # wrong
[network]
layers = [
  "conv 3x3 {w1}, {norm}",                       # wrong
  "conv 3x3 {w2",                                # wrong
  "cnov 3x3 8",                                  # wrong
  "gap, linear 10",
]
[recipe]
dataset = "glyphs"
batch_size = -1                                  # wrong
[budget]
hold = 0                                         # wrong
"""
    wrong = [n for n, line in enumerate(text.splitlines(), 1) for _ in range(line.count("# wrong"))]
    errors = [error for error in search_errors(write("a.toml", text)) if "space.w2: is never used" not in error]
    assert [int(error.split(":")[1]) for error in errors] == wrong


def test_a_setting_can_be_given_by_one_dimension_only(write: Write) -> None:
    whole = '"recipe.augment" = { one_of = [{}, { rotate = 3 }] }'
    twice = f'{whole}\n"recipe.augment.affine.shear" = {{ float = [1, 3] }}'
    message = 'a.toml:6: space.recipe.augment.affine.shear: "recipe.augment" sets it too; expected one of the two'
    assert search_errors(write("a.toml", search_text(twice, 'layers = ["gap, linear 10"]'))) == [message]
    same = '"recipe.epochs" = { int = [1, 2] }\nrecipe.epochs = { int = [1, 3] }'
    message = "a.toml:6: space.recipe.epochs: is given twice"
    assert search_errors(write("a.toml", search_text(same, 'layers = ["gap, linear 10"]'))) == [message]


def test_layers_in_python_have_no_names(write: Write) -> None:
    path = write("a.toml", search_text("w1 = { int = [4, 8] }", 'python = "model.py:Net"'))
    assert search_errors(path) == [
        "a.toml:5: space.w1: is never used; expected {w1} in a layer; layers in Python have no names"
    ]


def test_a_value_is_accepted_if_any_candidate_has_it(write: Write) -> None:
    space = 'pool = { one_of = ["maxpool 4", ""] }\nk = { one_of = [3, 9] }'
    layers = 'layers = ["{pool}", "conv {k}x{k} 4", "gap, linear 10"]'
    read_search(write("a.toml", search_text(space, layers)))  # a 9x9 kernel fits without the pool only
    tight = layers.replace("{pool}", "{pool}, maxpool 4")
    errors = search_errors(write("b.toml", search_text(space, tight)))
    assert any('space.k = 9: network.layers[1] "conv 9x9 4": conv 9x9 4 gets' in error for error in errors)


def test_a_middle_without_a_network_is_refused_with_its_values(write: Write) -> None:
    layers = 'layers = ["conv 3x3 4", "conv 3x3 {w} groups=4", "gap, linear 10"]'
    (error,) = search_errors(write("a.toml", search_text("w = { int = [4, 16], step = 2 }", layers)))
    assert error.startswith('a.toml:7: network.layers[1] "conv 3x3 10 groups=4": ')
    assert error.endswith("the middle of the space must make an experiment: w = 10")
    read_search(write("a.toml", search_text("w = { int = [4, 16], step = 2, start = 8 }", layers)))


def test_a_value_of_the_wrong_type_is_reported_once(write: Write) -> None:
    dimensions = '"recipe.batch_size" = { float = [32, 64] }\n"recipe.epochs" = { int = [1, 2] }'
    errors = search_errors(write("a.toml", search_text(dimensions, 'layers = ["gap, linear 10"]')))
    assert errors == [
        f"a.toml:5: space.recipe.batch_size = {value}: found {value}; expected a whole number" for value in (32.0, 64.0)
    ]


def test_a_name_of_an_optimizer_alone_is_refused_with_the_way_to_choose_whole_tables(write: Write) -> None:
    space = '"recipe.optimizer.name" = { one_of = ["sgd", "adam"] }'
    recipe = 'optimizer = { name = "sgd", lr = 0.1, momentum = 0.9 }'
    (error,) = search_errors(write("a.toml", search_text(space, 'layers = ["gap, linear 10"]', recipe=recipe)))
    assert error.startswith('a.toml:5: space.recipe.optimizer.name = "adam": recipe.optimizer: unknown key "momentum";')
    assert error.endswith('choose among whole tables: "recipe.optimizer" = { one_of = [{ name = "…", … }, …] }')


@pytest.mark.parametrize("count", [21, 22, 200])
def test_names_within_names_have_a_largest_depth(write: Write, count: int) -> None:
    names = [f'a{n} = {{ one_of = ["{{a{n + 1}}}"] }}' for n in range(count - 1)]
    text = search_text("\n".join([*names, f'a{count - 1} = {{ one_of = ["gap"] }}']), 'layers = ["{a0}, linear 10"]')
    if count == 21:
        space = read_search(write("a.toml", text)).space
        assert space.layers(space.centre) == ("gap, linear 10",)
    else:
        errors = search_errors(write("a.toml", text))
        assert errors[0] == "a.toml:5: space.a0: more than 20 names within names"


def test_a_text_that_grows_without_end_is_refused_quickly(write: Write) -> None:
    names = [f'a{n} = {{ one_of = ["{{a{n + 1}}}{{a{n + 1}}}, {{a{n + 1}}}"] }}' for n in range(19)]
    text = search_text("\n".join([*names, 'a19 = { one_of = ["relu"] }']), 'layers = ["{a0}", "gap, linear 10"]')
    started = time.perf_counter()
    assert any("more than 10,000 characters" in error for error in search_errors(write("a.toml", text)))
    assert time.perf_counter() - started < 5


def test_the_settings_of_every_optimizer_and_schedule_are_known() -> None:
    assert {
        "recipe.epochs",
        "recipe.optimizer.betas",
        "recipe.schedule.final_div",
        "recipe.augment.affine.shear",
    } < set(setting_names())
