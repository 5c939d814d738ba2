"""`extends`: which values an experiment inherits, and whose file an error names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from drilldown.experiment.loading import load_experiment, read_experiment
from support.datasets import write_two_images
from support.experiments import KEYS, LAYERS, PLAIN, SETTINGS, document, error_of, errors_of, parent_of


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_a_key_of_the_file_replaces_the_whole_value_of_the_parent(write, table, key):
    parent: dict[str, Any] = {"title": "A", "network": {"layers": ["gap", "linear 10"]}}
    parent |= {name: {k: first for k, (first, _) in keys.items()} for name, keys in SETTINGS.items()}
    ours = SETTINGS[table][key][1]
    write("parent.toml", document(parent))
    child = read_experiment(write("child.toml", document({"title": "B", "extends": "parent.toml", table: {key: ours}})))
    # A file without a parent that has the same settings.
    parent[table] |= {key: ours}
    assert child.settings() == read_experiment(write("alone.toml", document(parent))).settings()


def test_an_empty_augment_removes_the_augmentation_of_the_parent(write):
    write("parent.toml", PLAIN + "augment = { rotate = 6, jitter = { contrast = 0.1 } }\n")
    child = write("child.toml", 'title = "B"\nextends = "parent.toml"\n[recipe]\naugment = {}\n')
    assert read_experiment(child).recipe.augment == read_experiment(write("alone.toml", PLAIN)).recipe.augment


def test_only_network_recipe_and_budget_are_inherited(write):
    prose = 'target = "t"\nremark = "r"\nreconstructed = true\n'
    write("parent.toml", prose + PLAIN + "[budget]\nhold = 2\n[reported]\ntrain = 99\ntest = 98\n")
    child = read_experiment(write("child.toml", 'title = "B"\nextends = "parent.toml"\n'))
    assert (child.title, child.target, child.remark, child.reconstructed, child.reported) == ("B", "", "", False, None)
    assert child.settings() == parent_of(child).settings()
    assert child.budget.hold == 2


def test_the_title_is_not_inherited(write):
    write("parent.toml", PLAIN)
    assert error_of(write("child.toml", 'extends = "parent.toml"\n')) == "child.toml: title: is missing"


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


def test_an_empty_network_table_inherits_the_network(write):
    parent = read_experiment(write("parent.toml", PLAIN))
    assert (
        read_experiment(write("c.toml", 'title = "B"\nextends = "parent.toml"\n[network]\n')).network == parent.network
    )


def test_a_child_inherits_from_its_grandparent(write):
    write("base/a.toml", PLAIN + "epochs = 3\nbatch_size = 30\nlabel_smoothing = 0.3\n")
    write("base/b.toml", 'title = "B"\nextends = "a.toml"\n[recipe]\nepochs = 4\nbatch_size = 40\n')
    child = read_experiment(write("next/c.toml", 'title = "C"\nextends = "../base/b.toml"\n[recipe]\nepochs = 5\n'))
    assert (child.recipe.epochs, child.recipe.batch_size, child.recipe.label_smoothing) == (5, 40, 0.3)
    assert [child.name, parent_of(child).name, parent_of(parent_of(child)).name] == ["next/c", "base/b", "base/a"]
    assert parent_of(parent_of(child)).parent is None


def test_the_parent_is_the_experiment_in_its_file(write):
    parent = read_experiment(write("parent.toml", PLAIN))
    child = read_experiment(write("child.toml", 'title = "B"\nextends = "parent.toml"\n[recipe]\nepochs = 1\n'))
    assert parent_of(child).settings() == parent.settings()
    assert parent_of(child).fingerprint == parent.fingerprint


@pytest.mark.parametrize(
    "names", [["a.toml"], ["a.toml", "b.toml"], ["a.toml", "sub/b.toml", "c.toml"]], ids=["itself", "two", "three"]
)
def test_circular_extends_is_refused_in_the_file_that_closes_the_circle(write, tmp_path, names):
    for index, name in enumerate(names):
        target = tmp_path / names[(index + 1) % len(names)]
        write(name, f'# a comment\ntitle = "A"\nextends = "{target}"\n')
    message = error_of(tmp_path / names[0])
    assert message.startswith(f"{names[-1]}:3: extends: circular `extends`: ")
    assert message.endswith(" → ".join(Path(name).name for name in [*names, names[0]]))


def test_circular_extends_through_a_link_is_refused(write, tmp_path):
    path = write("a.toml", 'title = "A"\nextends = "b.toml"\n')
    (tmp_path / "b.toml").symlink_to(path)
    assert "circular `extends`" in error_of(path)


def test_a_missing_parent_is_refused_with_the_most_similar_name(write):
    write("01-setup.toml", PLAIN)
    child = write("02-next.toml", 'title = "B"\n\nextends = "01-setop.toml"\n')
    message = error_of(child)
    assert message.startswith('02-next.toml:3: extends: there is no "01-setop.toml"; expected a file in ')
    assert message.endswith('did you mean "01-setup.toml"?')


@pytest.mark.parametrize("extends", ["..", "nowhere/a.toml", "", "\\u0000", "x" * 5000, "~"])
def test_a_parent_that_is_no_file_is_refused(write, extends):
    child = write("child.toml", f'title = "B"\nextends = "{extends}"\n')
    assert error_of(child).startswith("child.toml:2: extends: there is no ")


def test_a_step_of_a_study_can_be_extended_from_any_folder(write):
    child = read_experiment(write("mine.toml", 'title = "Mine"\nextends = "eva5-s5/06"\n[recipe]\nepochs = 3\n'))
    assert parent_of(child).fingerprint == load_experiment("eva5-s5/06").fingerprint
    assert (child.network, child.recipe.epochs) == (load_experiment("eva5-s5/06").network, 3)
    write("eva5-s5/06", PLAIN)  # a file of that path comes first
    assert (
        read_experiment(write("mine.toml", 'title = "Mine"\nextends = "eva5-s5/06"\n')).network
        == read_experiment(write("plain.toml", PLAIN)).network
    )


@pytest.mark.parametrize("extends", ["5", '["a.toml"]', "{}", "true"])
def test_extends_must_be_a_string(write, extends):
    child = write("child.toml", f'title = "B"\nextends = {extends}\n')
    assert re.match(r"child\.toml:2: extends: found .*; expected the name of a file", error_of(child))


def test_errors_of_the_parent_are_reported_with_its_file_and_line(write):
    write("parent.toml", PLAIN + "epochs = 0\n\n[budget]\nacuracy = 99\n")
    child = write("child.toml", 'title = "B"\nextends = "parent.toml"\n[recipe]\nepochs = 3\n')
    first, second = errors_of(child)
    assert first.startswith("parent.toml:6: recipe.epochs: found 0;")
    assert second.startswith('parent.toml:9: budget: unknown key "acuracy";')


def test_an_inherited_value_that_does_not_fit_the_child_is_reported_with_its_file_and_line(write, tmp_path):
    layers = 'layers = [\n  "conv 3x3 4",\n  "conv 9x9 4",\n  "gap",\n  "linear 10",\n]'
    write("parent.toml", f'title = "A"\n[network]\n{layers}\n[recipe]\ndataset = "glyphs"\n')
    write_two_images(tmp_path / "small", side=8)
    child = write("child.toml", 'title = "B"\nextends = "parent.toml"\n[recipe]\ndataset = "./small"\n')
    assert error_of(child).startswith('parent.toml:5: network.layers[1] "conv 9x9 4": conv 9x9 4 gets 4x6x6;')
