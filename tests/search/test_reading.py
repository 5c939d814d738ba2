"""Search files: what is read, what is refused, and how a search is written."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.experiment.loading import load_experiment, read_experiment
from drilldown.search.reading import SearchFile, read_search
from support.cli import drilldown
from support.datasets import write_two_images
from support.experiments import KNOWN, LAYERS, PLAIN, TEXT, document, error_of
from support.searches import SPACE, search_errors, search_text

Write = Callable[[str, str], Path]


LAYERS_OF_ONE = 'layers = ["conv 3x3 {w1}", "gap, linear 10"]'


def same(first: SearchFile, second: SearchFile) -> bool:
    """Whether two searches have equal settings and dimensions, and make equal candidates."""
    samples = [first.space.sample(Random(seed)) for seed in range(5)]
    return (
        first.settings == second.settings
        and first.space.dimensions == second.space.dimensions
        and list(first.space.dimensions) == list(second.space.dimensions)
        and first.space.template == second.space.template
        and first.space.original == second.space.original
        and first.fingerprint == second.fingerprint
        and all(
            first.space.experiment(values, 1).model_dump() == second.space.experiment(values, 1).model_dump()
            for values in samples
        )
    )


def test_settings_have_defaults_and_are_read(write: Write) -> None:
    plain = read_search(write("a.toml", search_text())).settings
    assert (plain.goal, plain.candidates, plain.hours, plain.seed) == ("best", 60, None, 0)
    assert plain.confirm.rate == 0.8
    text = search_text(
        search='goal = "smallest"\ncandidates = 80\nhours = 8\nseed = 3\nconfirm = { rate = 0.9 }',
        rest="[budget]\naccuracy = 99.4",
    )
    given = read_search(write("b.toml", text)).settings
    assert (given.goal, given.candidates, given.hours, given.seed) == ("smallest", 80, 8, 3)
    assert (given.confirm.rate, given.confirm.most) == (0.9, plain.confirm.most)


def test_set_changes_the_search_and_the_experiment(write: Write) -> None:
    path = write("a.toml", search_text(rest="[budget]\naccuracy = 99.4"))
    overrides = ["search.candidates=20", "search.goal=smallest", "search.confirm.most=5", "recipe.epochs=3"]
    search = read_search(path, [*overrides, "space.w1.int=[2, 8]"])
    assert (search.settings.candidates, search.settings.goal, search.settings.confirm.most) == (20, "smallest", 5)
    assert search.base.recipe.epochs == 3
    assert search.space.dimensions["w1"].ends == (2, 8)
    assert search_errors(path, "search.candidates=0") == [
        "--set search.candidates=0: search.candidates: found 0; expected greater than or equal to 1"
    ]
    assert "unknown table" in error_of(write("b.toml", PLAIN), "search.candidates=20")


def test_any_experiment_is_a_search(write: Write) -> None:
    search = read_search("under-8k", ["search.goal=smallest", "recipe.epochs=3"])
    assert search.base.fingerprint == load_experiment("under-8k", ["recipe.epochs=3"]).fingerprint
    assert search.name == "under-8k/01-flagship"
    with_settings = read_search(write("a.toml", PLAIN + "[search]\nseed = 5\n"))
    assert with_settings.settings.seed == 5
    assert "w1" in with_settings.space.dimensions


def test_a_search_inherits_from_the_experiment_that_it_extends(write: Write) -> None:
    write("parent.toml", PLAIN + "epochs = 7\n[budget]\nparameters = 900\n")
    child = 'title = "B"\nextends = "parent.toml"\n[space]\n"recipe.batch_size" = { one_of = [16, 32] }\n'
    space = read_search(write("child.toml", child)).space
    candidate = space.experiment({"recipe.batch_size": 16})
    assert (candidate.recipe.epochs, candidate.recipe.batch_size, candidate.budget.parameters) == (7, 16, 900)
    assert candidate.network == read_experiment(write("parent.toml", PLAIN)).network


def test_a_setting_without_quotation_marks_is_the_same(write: Write) -> None:
    layers = 'layers = ["gap, linear 10"]'
    quoted = '"recipe.optimizer.lr" = { float = [0.1, 0.2] }\n"recipe.epochs" = { int = [1, 2] }'
    bare = "recipe.optimizer.lr = { float = [0.1, 0.2] }\nrecipe.epochs = { int = [1, 2] }"
    tables = "[space.recipe]\nepochs = { int = [1, 2] }\n[space.recipe.optimizer.lr]\nfloat = [0.1, 0.2]"
    first = read_search(write("a.toml", search_text(quoted, layers)))
    assert same(first, read_search(write("b.toml", search_text(bare, layers))))
    third = read_search(write("c.toml", search_text(tables, layers)))
    assert third.space.dimensions == first.space.dimensions
    wrong = write("d.toml", search_text(bare.replace("[0.1, 0.2]", "[0.2, 0.1]"), layers))
    assert search_errors(wrong)[0].startswith("d.toml:5: space.recipe.optimizer.lr: found [0.2, 0.1];")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN + "[search]\n", 'a.toml:6: this is a search file, because of [search]; expected an experiment; use '),
        (PLAIN + "[space]\n", 'a.toml:6: this is a search file, because of [space]; expected an experiment; use '),
        ("search = 5\n" + PLAIN, "a.toml:1: this is a search file, because of [search]; expected an experiment; use "),
        (PLAIN.replace("3x3 4", "3x3 {w1}"), "a.toml:3: this is a search file, because of a name in braces; expected"),
    ],
)  # fmt: skip
def test_a_search_file_is_not_an_experiment(write: Write, text: str, message: str) -> None:
    path = write("a.toml", text)
    error = error_of(path)
    assert error.startswith(message)
    assert error.endswith("; use drilldown search a.toml")


def test_a_search_cannot_be_extended(write: Write) -> None:
    write("search.toml", search_text())
    child = write("child.toml", 'title = "B"\nextends = "search.toml"\n')
    expected = (
        "search.toml:2: this is a search file, because of [search]; expected an experiment; a search cannot be extended"
    )
    assert error_of(child) == expected
    assert search_errors(child) == [expected]


def test_the_command_line_names_the_right_command(write: Write, tmp_path: Path) -> None:
    write("mine.toml", search_text())
    for command in ("run", "summary"):
        shown = drilldown(command, "mine.toml", cwd=tmp_path)
        assert shown.returncode == 2
        assert shown.stdout == ""
        assert "this is a search file" in shown.stderr
        assert "use drilldown search mine.toml" in shown.stderr
        assert shown.stderr.count("mine.toml") == 2


def test_a_name_without_a_table_of_dimensions_is_refused(write: Write) -> None:
    path = write("a.toml", PLAIN.replace("3x3 4", "3x3 {w1}"))
    (_, error) = search_errors(path)
    assert error == (
        'a.toml:3: network.layers[0] "conv 3x3 {w1}, bn, relu": unknown name "w1"; '
        "expected a dimension in [space], as in w1 = { int = [4, 16] }"
    )


@pytest.mark.parametrize("table", ["[space]\n", "space = 5\n", "space = []\n"])
def test_a_space_without_dimensions_is_refused(write: Write, table: str) -> None:
    text = PLAIN + table if table.startswith("[") else table + PLAIN
    (error,) = search_errors(write("a.toml", text))
    assert "expected a table of dimensions, such as w1 = { int = [4, 16] }" in error


def test_a_space_of_hundreds_of_dimensions_or_thousands_of_values_is_refused(write: Write) -> None:
    dimensions = "\n".join(f"w{number} = {{ int = [1, 2] }}" for number in range(3_000))
    (error,) = search_errors(write("a.toml", search_text(dimensions)))
    assert error == "a.toml:4: space: 3,000 dimensions; expected at most 200 in one search"
    (error,) = search_errors(
        write("b.toml", search_text(f"w1 = {{ one_of = {list(range(1, 3_000))} }}", LAYERS_OF_ONE))
    )
    assert "expected an array of fewer items" in error


def test_the_smallest_network_needs_an_accuracy(write: Write) -> None:
    text = search_text(search='goal = "smallest"')
    (error,) = search_errors(write("a.toml", text))
    assert error.startswith('a.toml:3: search.goal: found "smallest" without budget.accuracy; expected an accuracy')
    read_search(write("b.toml", text + "[budget]\naccuracy = 90\n"))
    assert search_errors(write("c.toml", PLAIN), "search.goal=smallest")[0].startswith("--set search.goal=smallest: ")


@pytest.mark.parametrize(
    "text", ["network = 5", "network.layers = 5", 'network.layers = ["gap", 5]', "recipe = 5", "title = 5"]
)
def test_a_wrong_experiment_below_a_space_is_refused_as_any_other(write: Write, text: str) -> None:
    space = '[space]\n"recipe.epochs" = { int = [1, 2] }\n'
    keys = {"title": 'title = "A"', "network": f"network = {{ {LAYERS} }}"}
    lines = [line for key, line in keys.items() if not text.startswith(key)]
    errors = search_errors(write("a.toml", "\n".join([*lines, text, space])))
    assert all(error.startswith("a.toml") for error in errors)
    assert any(text.split(" ")[0].split(".")[0] in error for error in errors)


def test_errors_of_an_experiment_are_reported_with_those_of_the_search(write: Write) -> None:
    path = write("a.toml", PLAIN + "epochs = 0\n[search]\ncandidates = 0\n")
    assert [error.split(": ")[0] for error in search_errors(path)] == ["a.toml:6", "a.toml:8"]


@pytest.mark.parametrize("reference", ["under-8k", "eva-drilldown", "eva5-s5", "era-s7", "session6", "s5", "s5/01"])
def test_a_written_default_search_reads_back_equal(write: Write, reference: str) -> None:
    search = read_search(reference, ["search.candidates=7", "recipe.epochs=3"])
    written = read_search(write("search.toml", search.to_toml()))
    assert same(written, search)
    assert written.to_toml() == search.to_toml()


def test_a_written_search_reads_back_equal_and_depends_on_no_other_file(write: Write, tmp_path: Path) -> None:
    write_two_images(tmp_path / "data", side=20)
    parent = 'title = "P"\n[network]\nlayers = ["gap, linear 2"]\n[recipe]\ndataset = "./data"\nepochs = 4\n'
    write("parent.toml", parent)
    text = search_text(SPACE.replace("step = 2", "step = 2, start = 8")).replace(" 10", " 2")
    text = text.replace('dataset = "glyphs"', "").replace('title = "A search"', 'title = "A"\nextends = "parent.toml"')
    search = read_search(write("a.toml", text), ["search.hours=2.5", "recipe.batch_size=32"])
    written = read_search(write("elsewhere/b.toml", search.to_toml()))
    assert same(written, search)
    assert "extends" not in tomllib.loads(search.to_toml())


def test_the_fingerprint_tells_searches_apart_but_not_their_length(write: Write) -> None:
    path = write("a.toml", search_text(rest="[budget]\naccuracy = 99"))
    fingerprint = read_search(path).fingerprint
    assert read_search(path, ["search.candidates=7", "search.hours=1"]).fingerprint == fingerprint
    others = ["search.seed=1", "search.goal=smallest", "recipe.epochs=3", "space.w1.int=[2, 8]", "budget.accuracy=98"]
    fingerprints = {read_search(path, [other]).fingerprint for other in others}
    assert len(fingerprints | {fingerprint}) == len(others) + 1


NAMES = st.sampled_from(
    ["w1", "w2", "head", "depth", "int", "float", "one_of", "step", "log", "start", "goal", "confirm", "rate", "recipe",
     "recipe.epochs", "recipe.optimizer", "recipe.optimizer.lr", "recipe.x.y", "lr", *KNOWN["recipe"]]
)  # fmt: skip
ANY = st.recursive(
    st.sampled_from(["{w1}", "{head}", "conv 3x3 {w1}, bn", "gap, linear 10", "{", "", "sgd", "smallest", "glyphs"])
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.integers(1, 9)
    | st.floats()
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | TEXT, inner, max_size=4),
    max_leaves=10,
)
DIMENSION = (
    st.fixed_dictionaries(
        {"int": st.lists(st.integers(1, 9), min_size=2, max_size=2)}, optional={"step": ANY, "log": ANY}
    )
    | st.fixed_dictionaries({"float": st.lists(st.floats(0, 9), min_size=2, max_size=2)}, optional={"log": ANY})
    | st.fixed_dictionaries({"one_of": st.lists(ANY, max_size=3)})
    | ANY
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(NAMES | TEXT, DIMENSION, max_size=5),
    st.dictionaries(NAMES | TEXT, ANY, max_size=3),
    st.lists(st.sampled_from(["conv 3x3 {w1}", "{depth}", "{head}", "maxpool {w2}", "relu"]) | TEXT, max_size=4),
)
def test_any_search_is_read_or_refused_with_messages_of_one_line(
    scratch: Path, space: dict[str, Any], search: dict[str, Any], layers: list[str]
) -> None:
    tables = {"network": {"layers": [*layers, "gap, linear 10"]}, "recipe": {"dataset": "glyphs"}}
    text = document({"title": "A", "search": search, "space": space, **tables})
    tomllib.loads(text)
    (scratch / "any.toml").write_text(text, encoding="utf-8", newline="")
    try:
        found = read_search(scratch / "any.toml")
    except DrilldownError as error:
        for problem in error.problems:
            assert str(problem).isprintable()
    else:
        (scratch / "again.toml").write_text(found.to_toml(), encoding="utf-8", newline="")
        again = read_search(scratch / "again.toml")
        assert again.space.dimensions == found.space.dimensions
        assert again.fingerprint == found.fingerprint
