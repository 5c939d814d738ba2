"""The experiment reader: what a file may say, what it hands down, and how its misclassified are told."""

from __future__ import annotations

import json
import os
import re
import struct
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.experiment.difference import changed_components
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import load_experiment, read_experiment
from drilldown.experiment.toml_lines import line_of
from drilldown.resources import resource_folder

LAYERS = 'layers = ["conv 3x3 4, bn, relu", "gap", "linear 10"]'
PLAIN = f'title = "A"\n[network]\n{LAYERS}\n[recipe]\ndataset = "glyphs"\n'

# Every key of recipe and budget: a value that is not the default, and another one.
SETTINGS: dict[str, dict[str, tuple[object, object]]] = {
    "recipe": {
        "dataset": ("glyphs", "kmnist"),
        "epochs": (7, 8),
        "batch_size": (32, 33),
        "optimizer": (
            {"name": "sgd", "lr": 0.2, "momentum": 0.8, "nesterov": True, "weight_decay": 0.001},
            {"name": "sgd", "lr": 0.3},
        ),
        "schedule": ({"name": "cosine", "warmup": 0.25, "floor": 0.001}, {"name": "cosine", "finish": 0.75}),
        "augment": ({"rotate": 6, "affine": {"shear": 5}, "interpolation": "nearest"}, {"jitter": {"contrast": 0.5}}),
        "label_smoothing": (0.1, 0.2),
        "ema": (0.99, 0.999),
        "holdout": (500, 600),
        "precision": ("bf16", "fp32"),
    },
    "budget": {"parameters": (9_000, 8_000), "epochs": (9, 10), "accuracy": (99.5, 98), "hold": (3, 4)},
}
KNOWN: dict[str, list[str]] = {
    "experiment": ["title", "target", "extends", "network", "recipe", "budget", "reported"],
    "network": ["layers", "python"],
    "recipe": [*SETTINGS["recipe"], "name", "lr", "betas", "every", "affine", "scale", "jitter"],
    "budget": [*SETTINGS["budget"]],
}
KEYS = [(table, key) for table, keys in SETTINGS.items() for key in keys]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Writes a file into a folder of its own and gives its path."""

    def to(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all the examples of a property, each of which overwrites its files."""
    return tmp_path_factory.mktemp("scratch")


def misclassified(path: Path, *overrides: str) -> list[str]:
    """The messages that reading gives, without the folder's name."""
    with pytest.raises(DrilldownError) as caught:
        read_experiment(path, overrides)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


def mistake(path: Path, *overrides: str) -> str:
    """The only message that reading gives."""
    (only,) = misclassified(path, *overrides)
    return only


def toml(value: object) -> str:
    """A value, independently of the code under test."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value) if not isinstance(value, float) else repr(value)


def document(values: dict[str, Any]) -> str:
    """A file with a line per key, its tables last."""
    lines = [f"{toml(key)} = {toml(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for name, table in values.items():
        if isinstance(table, dict):
            lines += [f"[{toml(name)}]", *(f"{toml(key)} = {toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


# ---- extends


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_a_key_that_is_given_replaces_the_parents_value_whole(write, table, key):
    parent = {"title": "A", "network": {"layers": ["gap", "linear 10"]}}
    parent |= {name: {k: first for k, (first, _) in keys.items()} for name, keys in SETTINGS.items()}
    ours = SETTINGS[table][key][1]
    write("parent.toml", document(parent))
    child = read_experiment(write("child.toml", document({"title": "B", "extends": "parent.toml", table: {key: ours}})))
    # The same thing said by a file of its own.
    parent[table] |= {key: ours}
    assert child.settings() == read_experiment(write("alone.toml", document(parent))).settings()


def test_an_empty_augment_takes_the_parents_away(write):
    write("parent.toml", PLAIN + "augment = { rotate = 6, jitter = { contrast = 0.1 } }\n")
    child = write("child.toml", 'title = "B"\nextends = "parent.toml"\n[recipe]\naugment = {}\n')
    assert read_experiment(child).recipe.augment == read_experiment(write("alone.toml", PLAIN)).recipe.augment


def test_only_network_recipe_and_budget_are_handed_down(write):
    said = 'target = "t"\nremark = "r"\nreconstructed = true\n'
    write("parent.toml", said + PLAIN + "[budget]\nhold = 2\n[reported]\ntrain = 99\ntest = 98\n")
    child = read_experiment(write("child.toml", 'title = "B"\nextends = "parent.toml"\n'))
    assert (child.title, child.target, child.remark, child.reconstructed, child.reported) == ("B", "", "", False, None)
    assert child.settings() == child.parent.settings()
    assert child.budget.hold == 2


def test_a_title_is_not_handed_down_either(write):
    write("parent.toml", PLAIN)
    assert mistake(write("child.toml", 'extends = "parent.toml"\n')) == "child.toml: title: is missing"


def test_python_replaces_inherited_layers(write):
    write("parent.toml", PLAIN)
    child = read_experiment(
        write("child.toml", 'title = "B"\nextends = "parent.toml"\n[network]\npython = "model.py:Net"\n')
    )
    assert (child.network.layers, child.network.python) == (None, "model.py:Net")


def test_layers_replace_an_inherited_python(write):
    write("parent.toml", 'title = "A"\n[network]\npython = "model.py:Net"\n')
    child = read_experiment(write("child.toml", f'title = "B"\nextends = "parent.toml"\n[network]\n{LAYERS}\n'))
    assert child.network.python is None
    assert child.model_summary.parameters == 1 * 4 * 9 + 2 * 4 + (4 + 1) * 10


def test_an_empty_network_table_inherits_like_none(write):
    parent = read_experiment(write("parent.toml", PLAIN))
    assert (
        read_experiment(write("c.toml", 'title = "B"\nextends = "parent.toml"\n[network]\n')).network == parent.network
    )


def test_a_chain_of_three_resolves_from_the_oldest_to_the_youngest(write):
    write("base/a.toml", PLAIN + "epochs = 3\nbatch_size = 30\nlabel_smoothing = 0.3\n")
    write("base/b.toml", 'title = "B"\nextends = "a.toml"\n[recipe]\nepochs = 4\nbatch_size = 40\n')
    child = read_experiment(write("next/c.toml", 'title = "C"\nextends = "../base/b.toml"\n[recipe]\nepochs = 5\n'))
    assert (child.recipe.epochs, child.recipe.batch_size, child.recipe.label_smoothing) == (5, 40, 0.3)
    assert [child.name, child.parent.name, child.parent.parent.name] == ["next/c", "base/b", "base/a"]
    assert child.parent.parent.parent is None


def test_the_parent_is_the_experiment_that_its_own_file_gives(write):
    parent = read_experiment(write("parent.toml", PLAIN))
    child = read_experiment(write("child.toml", 'title = "B"\nextends = "parent.toml"\n[recipe]\nepochs = 1\n'))
    assert child.parent.settings() == parent.settings()
    assert child.parent.fingerprint == parent.fingerprint


@pytest.mark.parametrize(
    "names", [["a.toml"], ["a.toml", "b.toml"], ["a.toml", "sub/b.toml", "c.toml"]], ids=["itself", "two", "three"]
)
def test_a_circle_is_refused_where_it_closes(write, tmp_path, names):
    for index, name in enumerate(names):
        target = tmp_path / names[(index + 1) % len(names)]
        write(name, f'# a comment\ntitle = "A"\nextends = "{target}"\n')
    said = mistake(tmp_path / names[0])
    assert said.startswith(f"{names[-1]}:3: extends: goes round in a circle: ")
    assert said.endswith(" → ".join(Path(name).name for name in [*names, names[0]]))


def test_a_circle_through_a_link_is_refused(write, tmp_path):
    path = write("a.toml", 'title = "A"\nextends = "b.toml"\n')
    (tmp_path / "b.toml").symlink_to(path)
    assert "circle" in mistake(path)


def test_a_missing_parent_is_answered_with_the_nearest_name(write):
    write("01-setup.toml", PLAIN)
    child = write("02-next.toml", 'title = "B"\n\nextends = "01-setop.toml"\n')
    said = mistake(child)
    assert said.startswith('02-next.toml:3: extends: there is no "01-setop.toml"; expected a file in ')
    assert said.endswith('did you mean "01-setup.toml"?')


@pytest.mark.parametrize("extends", ["..", "nowhere/a.toml", "", "\\u0000", "x" * 5000, "~"])
def test_a_parent_that_is_no_file_is_refused(write, extends):
    child = write("child.toml", f'title = "B"\nextends = "{extends}"\n')
    assert mistake(child).startswith("child.toml:2: extends: there is no ")


def test_a_step_of_a_study_is_extended_from_wherever_the_file_lies(write):
    child = read_experiment(write("mine.toml", 'title = "Mine"\nextends = "eva5-s5/06"\n[recipe]\nepochs = 3\n'))
    assert child.parent is not None
    assert child.parent.fingerprint == load_experiment("eva5-s5/06").fingerprint
    assert (child.network, child.recipe.epochs) == (load_experiment("eva5-s5/06").network, 3)
    write("eva5-s5/06", PLAIN)  # a file that lies there is meant first
    assert (
        read_experiment(write("mine.toml", 'title = "Mine"\nextends = "eva5-s5/06"\n')).network
        == read_experiment(write("plain.toml", PLAIN)).network
    )


def test_the_experiment_in_the_readme_is_one_and_changes_what_it_says(write):
    (toml,) = re.findall(r"```toml\n(.*?)```", (resource_folder("studies").parent / "README.md").read_text(), re.DOTALL)
    wider = read_experiment(write("mine.toml", toml))
    assert wider.parent is not None
    assert changed_components(wider.parent, wider) == ("layers",)
    assert wider.model_summary.parameters > wider.parent.model_summary.parameters


def test_a_fraction_is_no_bar(write):
    path = write("a.toml", PLAIN + "[budget]\naccuracy = 0.994\n")
    assert mistake(path) == "a.toml:7: budget.accuracy: found 0.994; expected percent, such as 99.4"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("recipe.schedule.name=adam", 'recipe.schedule.name: found "adam"'),
        ("recipe.schedule.name=constant", 'recipe.schedule: unknown key "finish"'),
        ("recipe.optimizer.name=adam", 'recipe.optimizer: unknown key "momentum"'),
    ],
)
def test_a_name_given_by_set_is_what_its_table_does_not_fit(override, message):
    with pytest.raises(DrilldownError) as refused:
        load_experiment("under-8k", [override])
    said = str(refused.value).splitlines()[0]
    assert said.startswith(f"--set {override}: {message}")
    table = ".".join(override.split(".")[:2])
    assert said.endswith(f"set all of it: --set '{table}={{ name = \"…\", … }}'")


def test_a_table_given_as_its_name_is_answered_with_a_table():
    with pytest.raises(DrilldownError, match=r'found "cosine"; expected a table, as in .* = \{ name = "cosine", … \}'):
        load_experiment("under-8k", ["recipe.schedule=cosine"])


@pytest.mark.parametrize("extends", ["5", '["a.toml"]', "{}", "true"])
def test_extends_must_be_a_string(write, extends):
    child = write("child.toml", f'title = "B"\nextends = {extends}\n')
    assert re.match(r"child\.toml:2: extends: found .*; expected the name of a file", mistake(child))


def test_a_parents_mistakes_are_told_under_its_own_file_and_line(write):
    write("parent.toml", PLAIN + "epochs = 0\n\n[budget]\nacuracy = 99\n")
    child = write("child.toml", 'title = "B"\nextends = "parent.toml"\n[recipe]\nepochs = 3\n')
    first, second = misclassified(child)
    assert first.startswith("parent.toml:6: recipe.epochs: found 0;")
    assert second.startswith('parent.toml:9: budget: unknown key "acuracy";')


def test_an_inherited_value_that_the_child_makes_wrong_is_told_where_it_stands(write, tmp_path):
    layers = 'layers = [\n  "conv 3x3 4",\n  "conv 9x9 4",\n  "gap",\n  "linear 10",\n]'
    write("parent.toml", f'title = "A"\n[network]\n{layers}\n[recipe]\ndataset = "glyphs"\n')
    _small_dataset(tmp_path / "small", side=8)
    child = write("child.toml", 'title = "B"\nextends = "parent.toml"\n[recipe]\ndataset = "./small"\n')
    assert mistake(child).startswith('parent.toml:5: network.layers[1] "conv 9x9 4": conv 9x9 4 gets 4x6x6;')


def _small_dataset(folder: Path, side: int, ink: int = 9) -> None:
    """Four files, one dark and one light image in each split."""
    folder.mkdir()
    pixels = bytes(side * side) + bytes([ink]) * (side * side)
    for part in ("train", "t10k"):
        header = struct.pack(">HBBIII", 0, 8, 3, 2, side, side)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + pixels)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 2) + bytes([0, 1]))


# ---- --set


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("recipe.epochs=3", {"epochs": 3}),
        (" recipe . epochs = 3 ", {"epochs": 3}),
        ("recipe.batch_size=1_000", {"batch_size": 1000}),
        ("recipe.dataset=kmnist", {"dataset": "kmnist"}),
        ('recipe.dataset="kmnist"', {"dataset": "kmnist"}),
        ("recipe.precision=bf16", {"precision": "bf16"}),
        ("recipe.optimizer.lr=0.5", {"optimizer": {"name": "sgd", "lr": 0.5, "momentum": 0.9}}),
        (
            "recipe.optimizer.nesterov=true",
            {"optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "nesterov": True}},
        ),
        ('recipe.optimizer={name = "adam", lr = 1e-3}', {"optimizer": {"name": "adam", "lr": 0.001}}),
        ("recipe.schedule.warmup=0.1", {"schedule": {"name": "constant", "warmup": 0.1}}),
        ("recipe.schedule.name=onecycle", {"schedule": {"name": "onecycle"}}),
        ("recipe.augment.rotate=5", {"augment": {"rotate": 5}}),
        ("recipe.augment.affine.scale=[0.9, 1.1]", {"augment": {"affine": {"scale": [0.9, 1.1]}}}),
        ("recipe.ema=0.99", {"ema": 0.99}),
    ],
)
def test_set_goes_as_deep_as_needed(write, override, expected):
    """Also where the file has no such table: then what is not set is as it was by default."""
    values = {"title": "A", "network": {"layers": ["gap", "linear 10"]}, "recipe": {"dataset": "glyphs"}}
    changed = read_experiment(write("a.toml", document(values)), [override])
    said = read_experiment(write("b.toml", document(values | {"recipe": {"dataset": "glyphs"} | expected})))
    assert changed.settings() == said.settings()


def test_set_keeps_what_stands_beside_it_in_the_file(write):
    path = write("a.toml", PLAIN + 'optimizer = { name = "adam", lr = 0.1, eps = 0.5 }\naugment = { rotate = 3 }\n')
    changed = read_experiment(
        path, ["recipe.optimizer.lr=0.2", "recipe.augment.affine.shear=4", "budget.hold=2"]
    ).settings()
    assert changed["recipe"]["optimizer"]["eps"] == 0.5
    assert changed["recipe"]["optimizer"]["lr"] == 0.2
    assert changed["recipe"]["augment"]["rotate"] == 3
    assert changed["recipe"]["augment"]["affine"]["shear"] == 4
    assert changed["budget"]["hold"] == 2


def test_of_two_settings_of_one_key_the_last_counts(write):
    assert read_experiment(write("a.toml", PLAIN), ["recipe.epochs=3", "recipe.epochs=4"]).recipe.epochs == 4


def test_set_changes_what_the_file_and_its_parent_say(write):
    write("parent.toml", PLAIN + "batch_size = 10\n")
    child = write("child.toml", 'title = "B"\nextends = "parent.toml"\n[recipe]\nepochs = 3\n')
    changed = read_experiment(child, ["recipe.epochs=4", "recipe.batch_size=20"])
    assert (changed.recipe.epochs, changed.recipe.batch_size) == (4, 20)


def test_set_changes_one_way_of_giving_a_network_for_the_other(write):
    path = write("a.toml", PLAIN)
    assert read_experiment(path, ["network.python=model.py:Net"]).network.layers is None
    write("model.toml", 'title = "A"\n[network]\npython = "model.py:Net"\n')
    assert read_experiment(path.parent / "model.toml", ['network.layers=["gap", "linear 10"]']).network.python is None


def test_set_leaves_the_parent_and_later_readings_alone(write):
    deep = 'optimizer = { name = "sgd", lr = 0.1 }\naugment = { affine = { scale = [0.9, 1.1] } }\n'
    path = write("parent.toml", PLAIN + deep)
    child = write("child.toml", 'title = "B"\nextends = "parent.toml"\n')
    before = read_experiment(path).settings()
    changed = read_experiment(
        child, ["recipe.optimizer.lr=0.5", "recipe.augment.affine.shear=9", "recipe.schedule.warmup=0.5"]
    )
    assert changed.settings() != before
    assert changed.parent.settings() == before == read_experiment(path).settings() == read_experiment(child).settings()


def test_set_leaves_the_defaults_alone(write):
    path = write("a.toml", PLAIN)
    before = read_experiment(path).settings()
    read_experiment(path, ["recipe.optimizer.lr=0.5", "recipe.schedule.warmup=0.5", "recipe.augment.rotate=9"])
    assert read_experiment(path).settings() == before


@pytest.mark.parametrize(
    "override", ["", "recipe", "recipe.epochs", "=3", "recipe=3", "recipe..epochs=3", ".epochs=3", "=", "."]
)
def test_a_malformed_set_is_answered_with_an_example(write, override):
    said = mistake(write("a.toml", PLAIN), override)
    assert said == f'--set {override}: found "{override}"; expected TABLE.KEY=VALUE, such as recipe.epochs=5'


def test_set_of_an_unknown_table_is_answered_with_the_nearest(write):
    said = mistake(write("a.toml", PLAIN), "recpie.epochs=3")
    assert said.startswith(
        '--set recpie.epochs=3: unknown table "recpie"; expected one of "network", "recipe", "budget"'
    )
    assert said.endswith('did you mean "recipe"?')


@pytest.mark.parametrize("override", ["title.x=3", "reported.train=99", "extends.x=1"])
def test_set_reaches_no_other_tables(write, override):
    assert mistake(write("a.toml", PLAIN), override).startswith(f"--set {override}: unknown table ")


@pytest.mark.parametrize(
    ("override", "place"),
    [("recipe.epochs.x=3", "recipe.epochs is 15"), ("recipe.optimizer.lr.x=3", "recipe.optimizer.lr is 0.01")],
)
def test_set_of_a_key_below_a_plain_value_is_refused(write, override, place):
    assert mistake(write("a.toml", PLAIN), override).startswith(f"--set {override}: {place}; expected a table")


def test_set_of_a_key_of_a_table_that_the_file_gives_as_a_number_is_refused(write):
    said = "\n".join(
        misclassified(write("a.toml", f'title = "A"\nrecipe = 3\n[network]\n{LAYERS}\n'), "recipe.epochs=3")
    )
    assert "recipe" in said
    assert "3" in said


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("recipe.epochs=many", 'recipe.epochs: found "many"'),
        ("recipe.epochs=", 'recipe.epochs: found ""'),
        ("recipe.epochs=[", 'recipe.epochs: found "["'),
        ("recipe.epochs=3 4", 'recipe.epochs: found "3 4"'),
        ("recipe.epochs=nan", "recipe.epochs: found nan"),
        ("recipe.dataset=a=b", 'recipe.dataset: unknown dataset "a=b"'),
        ("recipe.optimizer.lr=-1", "recipe.optimizer.lr: found -1"),
        ("recipe.optimiser.lr=1", 'recipe: unknown key "optimiser"'),
        ("recipe.optimizer.mom=1", 'recipe.optimizer: unknown key "mom"'),
        ("recipe.optimizer.name=adma", 'recipe.optimizer.name: found "adma"'),
        ("recipe.optimizer.name=adam", 'recipe.optimizer: unknown key "momentum"'),
        ("recipe.schedule.name=step", "recipe.schedule.every: is missing"),
        ("budget.hold=0", "budget.hold: found 0"),
        ('network.layers=["gap", "liner 10"]', 'network.layers[1] "liner 10": unknown layer'),
        ('network.layers=["linear 10"]', 'network.layers[0] "linear 10": linear 10 gets 1x28x28'),
    ],
)
def test_what_a_set_makes_wrong_is_told_under_its_own_name(write, override, found):
    for said in misclassified(write("a.toml", PLAIN), override):
        assert said.startswith(f"--set {override}: ")
    assert found in misclassified(write("a.toml", PLAIN), override)[0]


@pytest.mark.parametrize(
    "value", ["[" * 5_000, "{a=" * 5_000, "1" + "0" * 5_000, "5\nbatch_size = 3", "\x00", "\ud800", "5 # five\nx = 1"]
)
def test_a_value_that_is_not_toml_is_a_bare_word_however_odd(write, value):
    assert "recipe.epochs: found " in mistake(write("a.toml", PLAIN), f"recipe.epochs={value}")


# ---- misclassified


def test_all_mistakes_of_a_file_are_told_at_once_in_the_order_of_its_lines(write):
    text = """\
title = 5                                # wrong
target = "fine"
titel = "twice"                          # wrong
[network]
layers = [
  "conv 3x3 4, bn",
  "cnov 3x3 4",                          # wrong
  # "conv 3x3"
  "conv 3x3 4, dropout 1.5",             # wrong
  "gap", "linear 10",
]
[recipe]
dataset = "minst"                        # wrong
epochs = -1                              # wrong
# epochs = 5
optimizer = { name = "sgd", lr = 0 }     # wrong
[recipe.augment]
rotate = 400                             # wrong
[recipe.augment.jitter]
contrast = "high"                        # wrong
[budget]
hold = 0                                 # wrong
[reported]
test = 101                               # wrong
[notes]                                  # wrong
"""
    wrong = [number for number, line in enumerate(text.splitlines(), 1) if line.endswith("# wrong")]
    told = [re.match(r"a\.toml:(\d+): ", said) for said in misclassified(write("a.toml", text))]
    assert [int(match[1]) for match in told if match] == wrong


@pytest.mark.parametrize(
    ("text", "unknown", "meant"),
    [
        ('titel = "x"\n' + PLAIN, ":1: unknown key", "title"),
        ('extend = "x"\n' + PLAIN, ":1: unknown key", "extends"),
        (PLAIN.replace("[recipe]", 'pyton = "m.py:A"\n[recipe]'), ":4: network: unknown key", "python"),
        (PLAIN + "epoch = 3\n", ":6: recipe: unknown key", "epochs"),
        (
            PLAIN + 'optimizer = { name = "sgd", lr = 1, momentun = 0 }\n',
            ":6: recipe.optimizer: unknown key",
            "momentum",
        ),
        (PLAIN + 'optimizer = { name = "adam", lr = 1, beta = 0 }\n', ":6: recipe.optimizer: unknown key", "betas"),
        (PLAIN + '[recipe.schedule]\nname = "cosine"\nflor = 0\n', ":8: recipe.schedule: unknown key", "floor"),
        (PLAIN + "augment = { rotat = 3 }\n", ":6: recipe.augment: unknown key", "rotate"),
        (PLAIN + "augment.affine.sheer = 3\n", ":6: recipe.augment.affine: unknown key", "shear"),
        (PLAIN + "[recipe.augment.jitter]\nbrightnes = 3\n", ":7: recipe.augment.jitter: unknown key", "brightness"),
        (PLAIN + "[budget]\nacuracy = 99\n", ":7: budget: unknown key", "accuracy"),
        (PLAIN + "[reported]\ntests = 99\n", ":7: reported: unknown key", "test"),
    ],
)
def test_an_unknown_key_is_refused_on_every_level_with_the_nearest_name(write, text, unknown, meant):
    said = mistake(write("a.toml", text))
    assert said.startswith(f"a.toml{unknown} ")
    assert said.endswith(f'did you mean "{meant}"?')


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('epochs = "3"', "recipe.epochs"),
        ("epochs = 3.0", "recipe.epochs"),
        ("epochs = true", "recipe.epochs"),
        ("epochs = [3]", "recipe.epochs"),
        ("epochs = 2024-01-01", "recipe.epochs"),
        ("batch_size = 1.5", "recipe.batch_size"),
        ('optimizer = "sgd"', "recipe.optimizer"),
        ("optimizer = [1]", "recipe.optimizer"),
        ('optimizer = { name = "sgd", lr = "0.1" }', "recipe.optimizer.lr"),
        ('optimizer = { name = "sgd", lr = true }', "recipe.optimizer.lr"),
        ('optimizer = { name = "sgd", lr = 1, momentum = 0.5, nesterov = 1 }', "recipe.optimizer.nesterov"),
        ('optimizer = { name = "adam", lr = 1, betas = 0.9 }', "recipe.optimizer.betas"),
        ('optimizer = { name = "adam", lr = 1, betas = [0.9, 0.99, 0.999] }', "recipe.optimizer.betas"),
        ('optimizer = { name = "adam", lr = 1, betas = [0.9, "x"] }', "recipe.optimizer.betas[1]"),
        ("optimizer = { name = 5, lr = 1 }", "recipe.optimizer.name"),
        ("optimizer = { lr = 1 }", "recipe.optimizer.name"),
        ('schedule = "cosine"', "recipe.schedule"),
        ('schedule = { name = "step", every = 2.5, gamma = 0.5 }', "recipe.schedule.every"),
        ("augment = true", "recipe.augment"),
        ("augment = { affine = 5 }", "recipe.augment.affine"),
        ("augment = { affine = { scale = 1 } }", "recipe.augment.affine.scale"),
        ("augment = { affine = { scale = [1, 2, 3] } }", "recipe.augment.affine.scale"),
        ('augment = { interpolation = "cubic" }', "recipe.augment.interpolation"),
        ("precision = 32", "recipe.precision"),
        ("holdout = false", "recipe.holdout"),
        ("[budget]\nparameters = 8e3", "budget.parameters"),
        ('[budget]\naccuracy = "99.4"', "budget.accuracy"),
        ("[budget]\nepochs = {}", "budget.epochs"),
        ('[reported]\ntrain = "99 %"', "reported.train"),
        ("[reported]\nnote = 5", "reported.note"),
    ],
)
def test_a_wrong_type_is_told_with_key_and_line_and_without_python(write, line, place):
    said = mistake(write("a.toml", PLAIN + line + "\n"))
    assert said.startswith(f"a.toml:{6 + line.count(chr(10))}: {place}: ")
    assert not re.search(r"dictionary|object|instance|tuple|validation|datetime|Input|True|False|None", said)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("title = 5", "title"),
        ('title = ""', "title"),
        ("network = 5", "network"),
        ("network = []", "network"),
        ("network = {}", "network"),
        ("network.layers = []", "network"),
        ('network.layers = "gap"', "network.layers"),
        ('network.layers = ["gap", 5]', "network.layers[1]"),
        ('network.layers = [["gap"]]', "network.layers[0]"),
        ('network.layers = [""]', 'network.layers[0] ""'),
        ("network.python = 5", "network.python"),
        ('network.python = "model.py"', "network.python"),
        ('network.python = "../model.py:Net"', "network.python"),
        ('network = { layers = ["gap"], python = "a.py:B" }', "network"),
        ("recipe = 5", "recipe"),
        ("budget = []", "budget"),
        ("reported = true", "reported"),
        ("target = []", "target"),
        ('reconstructed = "yes"', "reconstructed"),
    ],
)
def test_a_wrong_type_outside_of_the_recipe_is_told_likewise(write, line, place):
    key = line.split(" ")[0].split(".")[0]
    rest = {"title": 'title = "A"', "network": f"network = {{ {LAYERS} }}"}
    said = mistake(write("a.toml", "\n".join(value for name, value in rest.items() if name != key) + f"\n{line}\n"))
    assert said.startswith(f"a.toml:{3 - (key in rest)}: {place}: ")
    assert not re.search(r"dictionary|object|instance|tuple|validation|characters?\b|Input|True|False|None", said)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("epochs = -1", "recipe.epochs"),
        ("epochs = 0", "recipe.epochs"),
        (f"epochs = {10**40}", "recipe.epochs"),
        ("batch_size = 0", "recipe.batch_size"),
        ("batch_size = -64", "recipe.batch_size"),
        *(
            (f'optimizer = {{ name = "sgd", lr = {lr} }}', "recipe.optimizer.lr")
            for lr in ("nan", "inf", "0", "-0.1", "1e999")
        ),
        ('optimizer = { name = "sgd", lr = 1, momentum = 1 }', "recipe.optimizer.momentum"),
        ('optimizer = { name = "sgd", lr = 1, momentum = -0.1 }', "recipe.optimizer.momentum"),
        ('optimizer = { name = "sgd", lr = 1, weight_decay = -1 }', "recipe.optimizer.weight_decay"),
        ('optimizer = { name = "sgd", lr = 1, nesterov = true }', "recipe.optimizer"),
        ('optimizer = { name = "adamw", lr = 1, betas = [0.9, 1] }', "recipe.optimizer.betas[1]"),
        ('optimizer = { name = "adamw", lr = 1, eps = 0 }', "recipe.optimizer.eps"),
        ('schedule = { name = "step", every = 0, gamma = 0.5 }', "recipe.schedule.every"),
        ('schedule = { name = "step", every = 1, gamma = 1.5 }', "recipe.schedule.gamma"),
        ('schedule = { name = "cosine", warmup = 0.5, finish = 0.5 }', "recipe.schedule"),
        ('schedule = { name = "onecycle", div = 0 }', "recipe.schedule.div"),
        ("augment = { rotate = 181 }", "recipe.augment.rotate"),
        ("augment = { affine = { shear = 90 } }", "recipe.augment.affine.shear"),
        ("augment = { affine = { scale = [0, 1] } }", "recipe.augment.affine.scale[0]"),
        ("label_smoothing = 1", "recipe.label_smoothing"),
        ("ema = 1", "recipe.ema"),
        ("ema = 0", "recipe.ema"),
        ("holdout = 0", "recipe.holdout"),
        ("[budget]\naccuracy = 101", "budget.accuracy"),
        ("[budget]\naccuracy = nan", "budget.accuracy"),
        ("[budget]\nhold = 0", "budget.hold"),
        ("[budget]\nparameters = 0", "budget.parameters"),
        ("[reported]\ntest = -1", "reported.test"),
    ],
)
def test_an_absurd_number_is_refused_with_key_and_line(write, line, place):
    said = mistake(write("a.toml", PLAIN + line + "\n"))
    assert said.startswith(f"a.toml:{6 + line.count(chr(10))}: {place}: ")


def test_a_floor_above_the_peak_is_refused_at_the_table_that_holds_both(write):
    said = mistake(write("a.toml", PLAIN + 'schedule = { name = "cosine", floor = 0.02 }\n'))
    assert said == "a.toml:4: recipe: schedule.floor = 0.02 is above the peak; expected at most lr = 0.01"


def test_a_dropout_that_drops_everything_is_refused(write):
    said = mistake(write("a.toml", PLAIN.replace("relu", "dropout 1.5")))
    assert said.startswith('a.toml:3: network.layers[0] "conv 3x3 4, bn, dropout 1.5": found the probability "1.5";')


def test_a_misspelt_choice_is_answered_with_the_nearest(write):
    for line, meant in [
        ('optimizer = { name = "sdg", lr = 1 }', "sgd"),
        ('schedule = { name = "onecicle" }', "onecycle"),
        ('dataset = "fashion-mnits"', "fashion-mnist"),
        ('precision = "bf61"', "bf16"),
        ('augment = { interpolation = "biliner" }', "bilinear"),
    ]:
        text = PLAIN if "dataset" not in line else PLAIN.replace('dataset = "glyphs"\n', "")
        assert mistake(write("a.toml", f"{text}{line}\n")).endswith(f'did you mean "{meant}"?')


@pytest.mark.parametrize("value", ["two\\nlines", "\\u0000\\u001b[31m", "x" * 100_000])
def test_a_message_stays_one_short_line_whatever_a_value_holds(write, value):
    for key, text in [
        ("dataset", PLAIN.replace("glyphs", value)),
        ("precision", PLAIN + f'precision = "{value}"\n'),
        ("epochs", PLAIN + f'epochs = "{value}"\n'),
        ("layers", PLAIN.replace("gap", value)),
        ("extends", f'extends = "{value}"\n{PLAIN}'),
    ]:
        said = mistake(write("a.toml", text))
        assert said.isprintable(), key
        assert len(said) < 2_000, key


def test_a_file_of_thousands_of_mistakes_is_refused_at_once(write):
    path = write("a.toml", PLAIN + "".join(f"key{number} = {number}\n" for number in range(3_000)))
    begun = time.monotonic()
    assert len(misclassified(path)) == 3_000
    assert time.monotonic() - begun < 10  # a tenth of a second, unless each mistake reads the file anew


# ---- files


@pytest.mark.parametrize(
    "content",
    [PLAIN.encode("utf-8-sig"), PLAIN.replace("\n", "\r\n").encode(), PLAIN.replace("\n", "\r\n").encode("utf-8-sig")],
    ids=["BOM", "CRLF", "both"],
)
def test_what_editors_on_windows_write_is_accepted(write, content):
    assert read_experiment(write("a.toml", content)).settings() == read_experiment(write("b.toml", PLAIN)).settings()


def test_lines_are_counted_alike_with_windows_line_ends(write):
    text = PLAIN.replace("[network]", 'target = """\nfour\nlines\n"""\n[network]') + "epochs = 0\n"
    assert mistake(write("a.toml", text)) == mistake(write("a.toml", text.replace("\n", "\r\n")))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"])
def test_other_encodings_are_refused_in_one_line(write, encoding):
    path = write("a.toml", f'# first line\ntitle = "é"\n{PLAIN}'.encode(encoding))
    assert "\n" not in mistake(path)
    assert mistake(path).startswith("a.toml:")


def test_a_byte_that_is_not_utf_8_is_told_by_line(write):
    said = mistake(write("a.toml", b"# one\n# two\ntitle = 'caf\xe9'\n"))
    assert said.startswith("a.toml:3: byte 0xe9 at position ")
    assert "UTF-8" in said


def test_an_empty_file_lacks_title_and_network(write):
    assert misclassified(write("a.toml", b"")) == ["a.toml: title: is missing", "a.toml: network: is missing"]


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DrilldownError, match=r"cannot be read \(Is a directory\)"):
        read_experiment(tmp_path)


def test_a_missing_file_cannot_be_read(tmp_path):
    with pytest.raises(DrilldownError, match=r"none\.toml: cannot be read \(No such file"):
        read_experiment(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\x7fELF\x02\x01\x01\x00\x00", 1),
        (b"title = 'a'\ntitle = 'b'\n", 2),
        (b"title = \n", 1),
        (b"# fine\n[network\n", 2),
        (b"title = 'a'\n\n}{\n", 3),
    ],
)
def test_what_is_not_toml_is_told_by_line(write, content, line):
    assert mistake(write("a.toml", content)).startswith(f"a.toml:{line}: not TOML: ")


@pytest.mark.parametrize("text", ['title = "', "x = " + "[" * 100_000, "x = " + "{a=" * 100_000, "x = 1" + "0" * 5_000])
def test_what_is_not_toml_to_its_end_is_refused_as_well(write, text):
    assert mistake(write("a.toml", text)).startswith("a.toml")


def test_a_file_of_more_than_a_million_bytes_is_no_experiment(write):
    assert "more than a million bytes" in mistake(write("a.toml", PLAIN + "#" * 1_000_000))
    assert read_experiment(write("b.toml", PLAIN + "#" * (1_000_000 - len(PLAIN)))).title == "A"


def test_a_file_that_no_memory_holds_is_not_read_to_its_end(write):
    path = write("a.toml", PLAIN)
    os.truncate(path, 2**40)  # sparse: a terabyte by name only
    assert "more than a million bytes" in mistake(path)


@pytest.mark.parametrize(
    "dataset", ["./nowhere", "\\u0000/x", "~nobody-of-that-name/x", "./" + "x" * 400, "/dev/null/x"]
)
def test_a_dataset_folder_that_is_none_is_refused(write, dataset):
    said = mistake(write("a.toml", PLAIN.replace("glyphs", dataset)))
    assert said.startswith("a.toml:5: recipe.dataset: ")
    assert "no such folder" in said
    assert said.isprintable()


def test_a_datasets_folder_is_meant_from_the_file_that_names_it(write, tmp_path, monkeypatch):
    (tmp_path / "base").mkdir()
    _small_dataset(tmp_path / "base" / "data", side=5)
    _small_dataset(tmp_path / "data", side=6)
    text = 'title = "A"\n[network]\nlayers = ["conv 3x3 2", "gap"]\n[recipe]\ndataset = "./data"\n'
    write("base/a.toml", text)
    child = write("next/b.toml", 'title = "B"\nextends = "../base/a.toml"\n')
    monkeypatch.chdir(tmp_path)
    assert read_experiment(child).image[0] == (1, 5, 5)
    assert read_experiment(child, ["recipe.dataset=./data"]).image[0] == (1, 6, 6)


# ---- names


@pytest.fixture
def shelf(write, tmp_path, monkeypatch) -> Path:
    """A folder with studies of its own, beside those that come with drilldown."""
    for name in [
        "q5/01-one",
        "q5/02-two",
        "q5/10-ten",
        "q51/01-one",
        "quartz/01-one",
        "quartz/01-one-more",
        "quartz/02-end",
    ]:
        write(f"studies/{name}.toml", PLAIN.replace('"A"', f'"{name}"'))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "title"),
    [
        ("q5", "q5/10-ten"),  # exact, though q51 begins so too; and the last step
        ("q51", "q51/01-one"),
        ("qu", "quartz/02-end"),
        ("q5/02-two", "q5/02-two"),
        ("q5/02", "q5/02-two"),
        ("q5/1", "q5/10-ten"),
        ("quartz/01-one", "quartz/01-one"),  # exact, though another begins so too
        ("qua/01-one-", "quartz/01-one-more"),
        ("studies/q5/01-one.toml", "q5/01-one"),
        ("studies/q5", "q5/10-ten"),
    ],
)
@pytest.mark.usefixtures("shelf")
def test_a_name_finds_its_experiment(reference, title):
    assert load_experiment(reference).title == title
    assert load_experiment(reference).name == title


@pytest.mark.parametrize(
    ("reference", "meant"),
    [("q", ["q5", "q51", "quartz"]), ("q5/0", ["q5/01-one", "q5/02-two"]), ("q/01", ["q5/01-one", "q51/01-one"])],
)
@pytest.mark.usefixtures("shelf")
def test_an_ambiguous_name_is_answered_with_all_that_it_may_mean(reference, meant):
    with pytest.raises(DrilldownError, match="is ambiguous") as caught:
        load_experiment(reference)
    for name in meant:
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "meant"),
    [("quarz", "quartz"), ("q5/02-tow", "q5/02-two"), ("studies/q5/02-tow.toml", "02-two.toml")],
)
@pytest.mark.usefixtures("shelf")
def test_an_unknown_name_is_answered_with_the_nearest(reference, meant):
    with pytest.raises(DrilldownError, match=re.escape(f'did you mean "{meant}"?')):
        load_experiment(reference)


@pytest.mark.parametrize(
    "reference", ["", "/", "nothing-like-it", "x" * 5_000, "q5/" + "x" * 300, "\x00", "q5/\x00", "\ud800"]
)
@pytest.mark.usefixtures("shelf")
def test_a_name_that_is_none_is_refused(reference):
    with pytest.raises(DrilldownError):
        load_experiment(reference)


def test_the_studies_that_come_with_drilldown_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_experiment("s5").name.startswith("s5/")
    assert load_experiment("session6").name.startswith("session6/")
    assert load_experiment("under").name.startswith("under-8k/")


def test_a_study_here_stands_before_one_of_the_same_name_that_comes_with_drilldown(write, tmp_path, monkeypatch):
    write("studies/s5/01-mine.toml", PLAIN.replace('"A"', '"mine"'))
    monkeypatch.chdir(tmp_path)
    assert load_experiment("s5").title == "mine"


def test_a_folder_without_experiments_says_so(tmp_path):
    with pytest.raises(DrilldownError, match="no experiments here"):
        load_experiment(tmp_path)


def test_a_name_that_is_given_replaces_the_one_of_the_path(write):
    path = write("folder/file.toml", PLAIN)
    assert (read_experiment(path).name, read_experiment(path, name="study/step").name) == ("folder/file", "study/step")


# ---- fingerprint


@pytest.mark.parametrize(
    "same",
    [
        PLAIN.replace('"A"', '"Another title"'),
        'target = "t"\nremark = "r"\n' + PLAIN + "[reported]\ntest = 99\n",
        "# a comment\n\n" + PLAIN.replace(" = ", "   =  ").replace("\n", "  # and another\n"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace('"conv 3x3 4, bn, relu", "gap"', '"CONV 3X3 4", "bn,relu , gap"'),
        PLAIN.replace("conv 3x3 4", "conv 3x3 4 stride=1 pad=0"),
        PLAIN + "epochs = 15\nbatch_size = 128\nlabel_smoothing = 0\naugment = {}\n",
        PLAIN + 'optimizer = { momentum = 0.9, nesterov = false, lr = 1e-2, name = "sgd" }\n',
        PLAIN + '[recipe.schedule]\nname = "constant"\nwarmup = 0.0\n',
        PLAIN + "[budget]\nhold = 5\n",
    ],
)
def test_the_fingerprint_is_not_about_how_something_is_said(write, same):
    assert read_experiment(write("b.toml", same)).fingerprint == read_experiment(write("a.toml", PLAIN)).fingerprint


def test_the_fingerprint_is_eight_hex_digits(write):
    assert re.fullmatch("[0-9a-f]{8}", read_experiment(write("a.toml", PLAIN)).fingerprint)


def test_the_fingerprint_does_not_depend_on_what_was_inherited(write):
    write("parent.toml", PLAIN + "epochs = 3\n")
    child = read_experiment(write("child.toml", 'title = "B"\nextends = "parent.toml"\n[recipe]\nbatch_size = 9\n'))
    assert child.fingerprint == read_experiment(write("alone.toml", PLAIN + "epochs = 3\nbatch_size = 9\n")).fingerprint


def test_an_integer_and_the_same_number_with_a_point_are_one_setting(write):
    path = write("a.toml", PLAIN)
    whole, point = (read_experiment(path, [f"budget.accuracy={text}"]) for text in ("99", "99.0"))
    assert whole.fingerprint == point.fingerprint


def test_every_setting_changes_the_fingerprint(write):
    path = write("a.toml", PLAIN.replace('dataset = "glyphs"', ""))
    overrides = [
        f"{table}.{key}={toml(value)}"
        for table, keys in SETTINGS.items()
        for key, both in keys.items()
        for value in both
    ]
    overrides.remove('recipe.precision="fp32"')  # the default
    overrides += [
        f"recipe.optimizer={{ name = {name!r}, lr = 0.1{more} }}"
        for name, extras in {
            "sgd": ["", ", momentum = 0.5", ", momentum = 0.5, nesterov = true", ", weight_decay = 0.1"],
            "adam": ["", ", betas = [0.8, 0.999]", ", betas = [0.9, 0.99]", ", eps = 1e-7", ", weight_decay = 0.1"],
            "adamw": ["", ", weight_decay = 0.1"],
        }.items()
        for more in extras
    ]
    overrides += [
        f"recipe.schedule={{ name = {schedule} }}"
        for schedule in [
            "'constant', warmup = 0.1",
            *(
                f"'step', {rest}"
                for rest in ("every = 1, gamma = 0.5", "every = 2, gamma = 0.5", "every = 1, gamma = 0.6")
            ),
            *("'cosine'", "'cosine', warmup = 0.1", "'cosine', floor = 0.001", "'cosine', finish = 0.5"),
            *("'onecycle'", "'onecycle', warmup = 0.2", "'onecycle', div = 2", "'onecycle', final_div = 2"),
        ]
    ]
    overrides += [
        f"recipe.augment.{setting}"
        for setting in [
            *("rotate=1", "interpolation=nearest", "affine.rotate=1", "affine.translate=0.1", "affine.shear=1"),
            *("affine.scale=[0.9, 1]", "affine.scale=[1, 1.1]", "jitter.brightness=0.1", "jitter.contrast=0.1"),
        ]
    ]
    overrides += [
        f"network.layers={toml(layers)}"
        for layers in [
            ["conv 3x3 4, relu", "gap", "linear 10"],
            ["conv 3x3 5, bn, relu", "gap", "linear 10"],
            ["conv 3x3 4 bias, bn, relu", "gap", "linear 10"],
            ["conv 3x3 4, bn, relu, dropout 0.1", "gap", "linear 10"],
            ["conv 3x3 4, bn, relu, dropout 0.2", "gap", "linear 10"],
        ]
    ]
    assert len(set(overrides)) == len(overrides)
    fingerprints = {read_experiment(path, [override]).fingerprint: override for override in overrides}
    assert len(fingerprints | {read_experiment(path).fingerprint: "none"}) == len(overrides) + 1


def test_the_content_of_a_users_module_is_part_of_the_fingerprint(write):
    path = write("a.toml", 'title = "A"\n[network]\npython = "model.py:Net"\n')
    found = []
    for content in ["a = 1\n", "a = 2\n", "a = 1\n"]:
        write("model.py", content)
        found.append(read_experiment(path).fingerprint)
    assert found[0] == found[2] != found[1]


def test_a_users_module_that_is_missing_has_no_fingerprint(write):
    experiment = read_experiment(write("a.toml", 'title = "A"\n[network]\npython = "model.py:Net"\n'))
    with pytest.raises(DrilldownError, match=r"model\.py: network\.python: no such file"):
        _ = experiment.fingerprint


def test_the_fingerprint_is_about_the_data_and_not_about_their_place(write, tmp_path):
    text = 'title = "A"\n[network]\nlayers = ["conv 3x3 2", "gap"]\n[recipe]\ndataset = "./{}"\n'
    for name, ink in [("one", 9), ("same", 9), ("other", 10)]:
        _small_dataset(tmp_path / name, side=5, ink=ink)
        write(f"{name}.toml", text.format(name))
    one, same, other = (read_experiment(tmp_path / f"{name}.toml").fingerprint for name in ("one", "same", "other"))
    assert one == same != other


# ---- properties

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FRACTION = st.floats(0, 1, exclude_max=True)
ABOVE_ZERO = st.floats(0, 10, exclude_min=True)
LINE = st.sampled_from(["conv 3x3 8", "conv 1x1 4 bias", "conv 3x3 6 pad=1 stride=2", "conv 5x5 8 groups=2 pad=2"])


def table(required: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(required, optional=optional)


def below_the_peak(recipe: dict[str, Any]) -> dict[str, Any]:
    """With a floor that the learning rate can come down to."""
    if "floor" not in recipe.get("schedule", {}):
        return recipe
    peak = recipe.get("optimizer", {"lr": 0.01})["lr"]
    return recipe | {"schedule": recipe["schedule"] | {"floor": recipe["schedule"]["floor"] * peak}}


ADAM = {"betas": st.lists(FRACTION, min_size=2, max_size=2), "eps": ABOVE_ZERO, "weight_decay": st.floats(0, 1)}
VALID = table(
    {
        "title": TEXT.filter(bool),
        "network": st.lists(LINE, max_size=3).map(lambda body: {"layers": ["conv 3x3 8", *body, "gap, linear 10"]}),
    },
    target=TEXT,
    remark=TEXT,
    reconstructed=st.booleans(),
    reported=table({}, train=st.floats(0, 100), test=st.floats(0, 100), note=TEXT),
    budget=table(
        {},
        parameters=st.integers(1, 10**6),
        epochs=st.integers(1, 100),
        accuracy=st.just(0) | st.floats(1, 100, exclude_min=True) | st.integers(2, 100),
        hold=st.integers(1, 9),
    ),
    recipe=table(
        {},
        dataset=st.sampled_from(["mnist", "fashion-mnist", "kmnist", "glyphs"]),
        epochs=st.integers(1, 10_000),
        batch_size=st.integers(1, 1_000_000),
        optimizer=table({"name": st.just("sgd"), "lr": ABOVE_ZERO}, momentum=FRACTION, weight_decay=st.floats(0, 1))
        | table({"name": st.sampled_from(["adam", "adamw"]), "lr": ABOVE_ZERO}, **ADAM),
        schedule=table({"name": st.just("constant")}, warmup=FRACTION)
        | table({"name": st.just("step"), "every": st.integers(1, 9), "gamma": st.floats(0.01, 1)}, warmup=FRACTION)
        | table({"name": st.just("cosine")}, warmup=st.floats(0, 0.4), finish=st.floats(0.5, 1), floor=st.floats(0, 1))
        | table(
            {"name": st.just("onecycle")},
            warmup=st.floats(0.1, 0.4),
            div=st.floats(1, 100),
            final_div=st.floats(1, 1e9),
        ),
        augment=table(
            {},
            rotate=st.floats(0, 180),
            affine=table({}, rotate=st.floats(0, 180), translate=FRACTION, shear=st.floats(0, 89)),
            jitter=table({}, brightness=FRACTION, contrast=FRACTION),
            interpolation=st.sampled_from(["bilinear", "nearest"]),
        ),
        label_smoothing=FRACTION,
        ema=st.floats(0.01, 0.99),
        holdout=st.integers(1, 10**6),
        precision=st.sampled_from(["fp32", "bf16"]),
    ).map(below_the_peak),
)


@settings(max_examples=150, deadline=None)
@given(VALID)
def test_a_resolved_experiment_reads_back_as_itself(scratch, values):
    (scratch / "a.toml").write_text(document(values), encoding="utf-8", newline="")
    experiment = read_experiment(scratch / "a.toml")
    (scratch / "b.toml").write_text(experiment.to_toml(), encoding="utf-8", newline="")
    again = read_experiment(scratch / "b.toml")
    assert again.model_dump() == experiment.model_dump()
    assert again.settings() == experiment.settings()
    assert again.fingerprint == experiment.fingerprint
    assert again.title == values["title"]
    assert again.to_toml() == experiment.to_toml()


def test_a_resolved_experiment_needs_neither_parent_nor_defaults_nor_its_folder(write, tmp_path):
    _small_dataset(tmp_path / "data", side=5)
    text = 'title = "A"\n[network]\nlayers = ["conv 3x3 2", "gap"]\n[recipe]\ndataset = "./data"\n'
    write("parent.toml", text)
    child = read_experiment(write("child.toml", 'title = "B"\nextends = "parent.toml"\n'), ["recipe.epochs=3"])
    again = read_experiment(write("elsewhere/experiment.toml", child.to_toml()))
    assert again.settings() == child.settings()
    assert again.fingerprint == child.fingerprint
    assert "extends" not in tomllib.loads(child.to_toml())


def only_drilldown_errors(path: Path, overrides: tuple[str, ...] = ()) -> None:
    """Reads; anything else that is raised fails the test."""
    try:
        assert isinstance(read_experiment(path, overrides), Experiment)
    except DrilldownError as error:
        for problem in error.problems:
            assert str(problem).isprintable()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | TEXT.map(str.encode))
@example(b"\xef\xbb\xbf")
@example(b"title = 1" + b"0" * 5_000)
@example(b"x = [[[[[[[[[[")
def test_any_bytes_are_read_or_refused(scratch, content):
    (scratch / "bytes.toml").write_bytes(content)
    only_drilldown_errors(scratch / "bytes.toml")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_valid_file_with_some_bytes_changed_is_read_or_refused(scratch, data):
    content = bytearray(document(data.draw(VALID)).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.sampled_from(b"\"'[]{}=.,#\\\n 0-\x00\xff"))
    (scratch / "changed.toml").write_bytes(content)
    only_drilldown_errors(scratch / "changed.toml")


NAMES = st.sampled_from([name for names in KNOWN.values() for name in names])
ANY = st.recursive(
    st.just("mnist")
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | TEXT
    | st.sampled_from(
        ["sgd", "adam", "step", "cosine", "nearest", "glyphs", "./x", "gap", "conv 3x3 4", "m.py:N", "a.toml"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | TEXT, inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(NAMES | TEXT, ANY, max_size=5),
    st.dictionaries(NAMES | TEXT, ANY, max_size=6),
    st.dictionaries(NAMES | TEXT, ANY, max_size=4),
)
def test_any_tables_and_values_are_read_or_refused(scratch, rest, recipe, network):
    text = document({"title": "A", "recipe": recipe, "network": network or {"layers": ["gap", "linear 10"]}} | rest)
    tomllib.loads(text)  # the file is TOML: what is wrong is what it says
    (scratch / "tables.toml").write_text(text, encoding="utf-8", newline="")
    only_drilldown_errors(scratch / "tables.toml")


@settings(max_examples=200, deadline=None)
@given(st.lists(NAMES | TEXT, max_size=4).map(".".join), st.just("=") | TEXT, ANY.map(toml) | TEXT)
@example("recipe.optimizer.lr", "=", "[" * 3_000)
@example("recipe.dataset", "=", "\x00/")
def test_any_set_is_taken_or_refused(scratch, key, equals, value):
    (scratch / "plain.toml").write_text(PLAIN)
    only_drilldown_errors(scratch / "plain.toml", (key + equals + value,))


# ---- lines


def test_a_line_is_found_for_each_way_of_writing_a_key():
    text = """\
title = "a"  # [recipe]
target = \"\"\"
[recipe]
epochs = 1
\"\"\"
remark = '''
x = ["'''

  [ recipe ]
# epochs = 1
epochs = 2
"quoted" = "epochs = 3"
'lite.ral' = 'epochs = 4'
dotted . deep = 5
array = [
  "one", # "not this"
  'two', "three = # ]",
  \"\"\"
  four\"\"\"\"\", 5,
  [6, "x"],
  { y = "z" },
  "last",
]
inline = { a = "]", b = [ "}" ] }
[recipe."sub.table"]
last = 1
"""
    expected = {
        ("title",): 1,
        ("target",): 2,
        ("remark",): 6,
        ("recipe",): 9,
        ("recipe", "epochs"): 11,
        ("recipe", "quoted"): 12,
        ("recipe", "lite.ral"): 13,
        ("recipe", "dotted", "deep"): 14,
        ("recipe", "array"): 15,
        ("recipe", "array", 0): 16,
        ("recipe", "array", 1): 17,
        ("recipe", "array", 2): 17,
        ("recipe", "array", 3): 18,
        ("recipe", "array", 4): 19,
        ("recipe", "array", 5): 20,
        ("recipe", "array", 6): 21,
        ("recipe", "array", 7): 22,
        ("recipe", "inline", "b", 0): 24,
        ("recipe", "sub.table"): 25,
        ("recipe", "sub.table", "last"): 26,
    }
    tomllib.loads(text)
    assert {place: line_of(text, place) for place in expected} == expected


def test_a_key_that_is_not_there_is_looked_for_at_the_nearest_table_above():
    text = "[recipe]\nepochs = 1\n[recipe.augment]\nrotate = 1\n"
    assert line_of(text, ("recipe", "missing")) == 1
    assert line_of(text, ("recipe", "augment", "affine", "shear")) == 3
    assert line_of(text, ("budget", "hold")) is None


QUOTED = st.text(st.sampled_from("ab =[]{}#,.'\"\\\n\tü"), max_size=8)
BARE = st.text(st.sampled_from("abz09_-"), min_size=1, max_size=4)


@st.composite
def strings(draw: st.DrawFn) -> str:
    """A string in one of TOML's four notations."""
    content = draw(QUOTED)
    basic = content.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    literal = content.replace("'", "")
    return draw(
        st.sampled_from(
            [
                '"' + basic.replace("\n", "\\n") + '"',
                '"""\n' + basic + '"""',
                '"""' + basic + '""' + '"""',  # two quotation marks more belong to the content
                "'" + literal.replace("\n", "") + "'",
                "'''\n" + literal + "'''",
            ]
        )
    )


SCALARS = strings() | st.sampled_from(
    ["1", "-2.5e3", "true", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00", "0xff", "inf"]
)
COMMENT = QUOTED.map(lambda text: "#" + text.replace("\n", " "))
GAP = st.lists(st.sampled_from(["", " ", "\t", "\n"]) | COMMENT.map(lambda text: text + "\n"), max_size=2).map("".join)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[tuple[str | int, ...], int]]:
    """A TOML document, and the line of each key and array item in it."""
    text = ""
    lines: dict[tuple[str | int, ...], int] = {}

    def here(place: tuple[str | int, ...]) -> None:
        lines[place] = text.count("\n") + 1

    for number in range(draw(st.integers(1, 4))):
        table: tuple[str, ...] = ()
        if number:
            table = (f"t{number}", *draw(st.lists(BARE | QUOTED, max_size=2)))
            text += draw(st.sampled_from(["", "  "]))
            here(table)
            inside = draw(st.sampled_from([".", " . "])).join(_key(draw, part) for part in table)
            text += draw(st.sampled_from(["[{}]", "[ {} ]", "[{}] # ["])).format(inside) + "\n"
        for index in range(draw(st.integers(0, 4))):
            text += draw(st.sampled_from(["", "\n", "  ", "\t"]) | COMMENT.map(lambda comment: comment + "\n"))
            # A number makes the first part unique, so that no key is given twice.
            key = (f"k{index}{draw(BARE)}", *draw(st.lists(BARE | QUOTED, max_size=1)))
            here((*table, *key))
            text += ".".join(_key(draw, part) for part in key) + draw(st.sampled_from(["=", " = ", "\t= "]))
            kind = draw(st.sampled_from(["scalar", "array", "inline"]))
            if kind == "scalar":
                text += draw(SCALARS)
            elif kind == "array":
                text += "["
                for item in range(draw(st.integers(0, 4))):
                    text += draw(GAP)
                    here((*table, *key, item))
                    text += draw(SCALARS | st.sampled_from(['["x", 1]', "[]", '{ a = "]" }'])) + draw(GAP) + ","
                text += draw(GAP) + "]"
            else:
                here((*table, *key, "a"))
                text += f"{{ a = {draw(st.sampled_from(['1', chr(34) + '}' + chr(34), '[1, 2]']))}, 'b' = '=' }}"
            text += draw(st.sampled_from(["\n", " # a = [\n", "  \n\n"]))
    return text, lines


def _key(draw: st.DrawFn, part: str) -> str:
    """A part of a key, quoted where it must be."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", part) and draw(st.booleans()):
        return part
    return toml(part)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_the_line_of_every_key_and_item_is_found_in_any_document(made):
    text, lines = made
    values: Any = tomllib.loads(text)
    for place, line in lines.items():
        found = values
        for part in place:
            found = found[part]  # the generator knows what it wrote
        assert line_of(text, place) == line, place


@settings(max_examples=200, deadline=None)
@given(
    TEXT | st.text(st.sampled_from("ab=[]{}#,.'\"\\\n "), max_size=60),
    st.lists(st.text(max_size=3) | st.integers(), max_size=3),
)
def test_any_text_has_a_line_or_none(text, place):
    line = line_of(text, tuple(place))
    assert line is None or 1 <= line <= text.count("\n") + 1
