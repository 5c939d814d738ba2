"""The fingerprint: which changes of an experiment give another one."""

from __future__ import annotations

import re

import pytest

from drilldown.data.travel import place_dataset
from drilldown.errors import DrilldownError
from drilldown.experiment.loading import read_experiment
from support.datasets import write_two_images
from support.experiments import PLAIN, SETTINGS, toml
from support.teachers import random_shares, write_teacher


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
def test_the_fingerprint_does_not_depend_on_the_spelling(write, same):
    assert read_experiment(write("b.toml", same)).fingerprint == read_experiment(write("a.toml", PLAIN)).fingerprint


def test_the_fingerprint_is_eight_hex_digits(write):
    assert re.fullmatch("[0-9a-f]{8}", read_experiment(write("a.toml", PLAIN)).fingerprint)


def test_inherited_values_give_the_same_fingerprint(write):
    write("parent.toml", PLAIN + "epochs = 3\n")
    child = read_experiment(write("child.toml", 'title = "B"\nextends = "parent.toml"\n[recipe]\nbatch_size = 9\n'))
    assert child.fingerprint == read_experiment(write("alone.toml", PLAIN + "epochs = 3\nbatch_size = 9\n")).fingerprint


def test_99_and_99_point_0_are_the_same_setting(write):
    path = write("a.toml", PLAIN)
    whole, point = (read_experiment(path, [f"budget.accuracy={text}"]) for text in ("99", "99.0"))
    assert whole.earlier_fingerprint == point.earlier_fingerprint


def test_the_budget_changes_only_the_fingerprint_of_version_0_1(write):
    path = write("a.toml", PLAIN)
    plain = read_experiment(path)
    budgets = [f"budget.{key}={toml(value)}" for key, both in SETTINGS["budget"].items() for value in both]
    changed = [read_experiment(path, [budget]) for budget in budgets]
    assert {experiment.fingerprint for experiment in changed} == {plain.fingerprint}
    assert len({experiment.earlier_fingerprint for experiment in (plain, *changed)}) == len(changed) + 1


def test_every_setting_changes_the_fingerprint(write):
    path = write("a.toml", PLAIN.replace('dataset = "glyphs"', ""))
    overrides = [
        f"{table}.{key}={toml(value)}"
        for table, keys in SETTINGS.items()
        if table != "budget"
        for key, both in keys.items()
        for value in both
    ]
    overrides.remove('recipe.precision="fp32"')  # the default
    overrides += ['recipe.holdout={images = 500, by = "writer"}']
    overrides += [
        f"recipe.optimizer={{ name = {name!r}, lr = 0.1{more} }}"
        for name, extras in {
            "sgd": ["", ", momentum = 0.5", ", momentum = 0.5, nesterov = true", ", weight_decay = 0.1"],
            "adam": ["", ", betas = [0.8, 0.999]", ", betas = [0.9, 0.99]", ", eps = 1e-7", ", weight_decay = 0.1"],
            "adamw": ["", ", weight_decay = 0.1"],
            "nadam": ["", ", betas = [0.8, 0.999]", ", eps = 1e-7", ", weight_decay = 0.1", ", momentum_decay = 0.1"],
            "rmsprop": [
                "",
                ", alpha = 0.9",
                ", eps = 1e-7",
                ", momentum = 0.5",
                ", centered = true",
                ", weight_decay = 0.1",
            ],
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
            *("'multistep', at = [5]", "'multistep', at = [0.5]", "'multistep', at = [5], gamma = 0.5"),
            *("'exponential', gamma = 0.5", "'exponential', gamma = 0.6", "'exponential', gamma = 0.5, warmup = 0.1"),
            *("'plateau'", "'plateau', patience = 2", "'plateau', factor = 0.5", "'plateau', threshold = 0.1"),
            *("'plateau', floor = 0.001", "'restarts', period = 2", "'restarts', period = 3"),
            *("'restarts', period = 2, multiplier = 2", "'restarts', period = 2, floor = 0.001"),
            *("'onecycle'", "'onecycle', warmup = 0.2", "'onecycle', div = 2", "'onecycle', final_div = 2"),
        ]
    ]
    overrides += [
        f"recipe.augment.{setting}"
        for setting in [
            *("rotate=1", "interpolation=nearest", "affine.rotate=1", "affine.translate=0.1", "affine.shear=1"),
            *("rotate=[0, 1]", "rotate={degrees = 1, p = 0.5}", "rotate={degrees = 1, fade = 0.5}"),
            *("affine={rotate = 1, p = 0.5}", "affine.translate=[0.1, 0.2]", "affine.translate=1"),
            *("crop=20", "crop=0.5", "crop={size = 20, p = 0.5}", "flip=horizontal", "flip=vertical", "flip=both"),
            *("flip={p = 0.2}", "perspective=0.5", "perspective=0.2", "elastic=34", "elastic={sigma = 5}", "erase={}"),
            *("erase=0.1", "erase={ratio = [1, 1]}", "jitter.brightness=[0.9, 1.2]"),
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
    fingerprints = []
    for content in ["a = 1\n", "a = 2\n", "# a comment\na = 1  # one\n"]:
        write("model.py", content)
        fingerprints.append(read_experiment(path).fingerprint)
    assert fingerprints[0] == fingerprints[2] != fingerprints[1]
    write("model.py", "from parts import a\n")
    for content in ["a = 1\n", "a = 2\n"]:
        write("parts.py", content)
        fingerprints.append(read_experiment(path).fingerprint)
    assert len(set(fingerprints)) == 4


def test_a_missing_module_has_no_fingerprint(write):
    experiment = read_experiment(write("a.toml", 'title = "A"\n[network]\npython = "model.py:Net"\n'))
    with pytest.raises(DrilldownError, match=r"model\.py: network\.python: no such file"):
        _ = experiment.fingerprint


def test_the_fingerprint_depends_on_the_data_and_not_on_their_folder(write, tmp_path):
    text = 'title = "A"\n[network]\nlayers = ["conv 3x3 2", "gap"]\n[recipe]\ndataset = "./{}"\n'
    for name, ink in [("one", 9), ("same", 9), ("other", 10)]:
        write_two_images(tmp_path / name, side=5, ink=ink)
        write(f"{name}.toml", text.format(name))
    first, same, other = (read_experiment(tmp_path / f"{name}.toml").fingerprint for name in ("one", "same", "other"))
    assert first == same != other


def test_the_fingerprint_depends_on_what_a_teacher_teaches_and_not_on_its_file(write, tmp_path):
    shares = random_shares(6)
    write_teacher(tmp_path / "one.npz", p_train=shares)
    write_teacher(tmp_path / "same.npz", p_train=shares, teacher="described")
    write_teacher(tmp_path / "other.npz", p_train=random_shares(6, seed=1))
    plain = read_experiment(write("a.toml", PLAIN)).fingerprint
    paths = (write(f"{name}.toml", PLAIN + f'teacher = "{name}.npz"\n') for name in ("one", "same", "other"))
    first, same, other = (read_experiment(path).fingerprint for path in paths)
    assert first == same
    assert len({plain, first, other}) == 3


def test_a_teacher_that_came_from_another_machine_is_read_where_it_was_placed(write, tmp_path):
    write_teacher(tmp_path / "one.npz", p_train=random_shares(6))
    here = read_experiment(write("a.toml", PLAIN + 'teacher = "one.npz"\n'))
    there = read_experiment(write("b.toml", PLAIN + 'teacher = "/home/ada/big.npz"\n'))
    place_dataset("/home/ada/big.npz", tmp_path / "one.npz")
    assert there.fingerprint == here.fingerprint


def test_the_file_of_a_teacher_lies_beside_the_experiment_or_in_the_working_directory(write, tmp_path, monkeypatch):
    path = write("deep/a.toml", PLAIN + 'teacher = "../big.npz"\n')
    monkeypatch.chdir(tmp_path / "deep")
    assert read_experiment(path).recipe.teacher == str(tmp_path / "big.npz")
    assert read_experiment(path, ["recipe.teacher=big.npz"]).recipe.teacher == str(tmp_path / "deep" / "big.npz")
    written = write("b.toml", read_experiment(path).to_toml())
    assert read_experiment(written).recipe == read_experiment(path).recipe
    with pytest.raises(DrilldownError, match=r"big\.npz: no such file; expected the file of a teacher"):
        _ = read_experiment(path).fingerprint
