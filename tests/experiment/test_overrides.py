"""`--set`: which values it changes, and how its errors are reported."""

from __future__ import annotations

import pytest

from drilldown.errors import DrilldownError
from drilldown.experiment.loading import load_experiment, read_experiment
from support.experiments import LAYERS, PLAIN, document, error_of, errors_of, parent_of


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("recipe.epochs=3", {"epochs": 3}),
        (" recipe . epochs = 3 ", {"epochs": 3}),
        ("recipe.batch_size=1_000", {"batch_size": 1000}),
        ("recipe.dataset=kmnist", {"dataset": "kmnist"}),
        ('recipe.dataset="kmnist"', {"dataset": "kmnist"}),
        ("recipe.precision=bf16", {"precision": "bf16"}),
        ("recipe.precision=int4", {"precision": "int4"}),
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
def test_set_changes_a_key_in_any_table(write, override, expected):
    """Where the file does not have the table, its other keys have their defaults."""
    values = {"title": "A", "network": {"layers": ["gap", "linear 10"]}, "recipe": {"dataset": "glyphs"}}
    changed = read_experiment(write("a.toml", document(values)), [override])
    expected_experiment = read_experiment(
        write("b.toml", document(values | {"recipe": {"dataset": "glyphs"} | expected}))
    )
    assert changed.settings() == expected_experiment.settings()


def test_set_keeps_the_other_keys_of_the_file(write):
    path = write("a.toml", PLAIN + 'optimizer = { name = "adam", lr = 0.1, eps = 0.5 }\naugment = { rotate = 3 }\n')
    changed = read_experiment(
        path, ["recipe.optimizer.lr=0.2", "recipe.augment.affine.shear=4", "budget.hold=2"]
    ).settings()
    assert changed["recipe"]["optimizer"]["eps"] == 0.5
    assert changed["recipe"]["optimizer"]["lr"] == 0.2
    assert changed["recipe"]["augment"]["rotate"] == 3
    assert changed["recipe"]["augment"]["affine"]["shear"] == 4
    assert changed["budget"]["hold"] == 2


def test_the_last_of_two_settings_of_one_key_is_used(write):
    assert read_experiment(write("a.toml", PLAIN), ["recipe.epochs=3", "recipe.epochs=4"]).recipe.epochs == 4


def test_set_changes_own_and_inherited_values(write):
    write("parent.toml", PLAIN + "batch_size = 10\n")
    child = write("child.toml", 'title = "B"\nextends = "parent.toml"\n[recipe]\nepochs = 3\n')
    changed = read_experiment(child, ["recipe.epochs=4", "recipe.batch_size=20"])
    assert (changed.recipe.epochs, changed.recipe.batch_size) == (4, 20)


def test_set_replaces_layers_by_a_module_and_a_module_by_layers(write):
    path = write("a.toml", PLAIN)
    assert read_experiment(path, ["network.python=model.py:Net"]).network.layers is None
    write("model.toml", 'title = "A"\n[network]\npython = "model.py:Net"\n')
    assert read_experiment(path.parent / "model.toml", ['network.layers=["gap", "linear 10"]']).network.python is None


def test_set_changes_neither_the_parent_nor_later_readings(write):
    deep = 'optimizer = { name = "sgd", lr = 0.1 }\naugment = { affine = { scale = [0.9, 1.1] } }\n'
    path = write("parent.toml", PLAIN + deep)
    child = write("child.toml", 'title = "B"\nextends = "parent.toml"\n')
    before = read_experiment(path).settings()
    changed = read_experiment(
        child, ["recipe.optimizer.lr=0.5", "recipe.augment.affine.shear=9", "recipe.schedule.warmup=0.5"]
    )
    assert changed.settings() != before
    assert (
        parent_of(changed).settings() == before == read_experiment(path).settings() == read_experiment(child).settings()
    )


def test_set_does_not_change_the_defaults(write):
    path = write("a.toml", PLAIN)
    before = read_experiment(path).settings()
    read_experiment(path, ["recipe.optimizer.lr=0.5", "recipe.schedule.warmup=0.5", "recipe.augment.rotate=9"])
    assert read_experiment(path).settings() == before


@pytest.mark.parametrize(
    "override", ["", "recipe", "recipe.epochs", "=3", "recipe=3", "recipe..epochs=3", ".epochs=3", "=", "."]
)
def test_a_malformed_set_is_refused_with_an_example(write, override):
    message = error_of(write("a.toml", PLAIN), override)
    assert message.startswith(
        f'--set {override}: found "{override}"; expected TABLE.KEY=VALUE, such as recipe.epochs=5'
    )


def test_set_of_an_unknown_table_is_refused_with_the_most_similar_name(write):
    message = error_of(write("a.toml", PLAIN), "recpie.epochs=3")
    assert message.startswith(
        '--set recpie.epochs=3: unknown table "recpie"; expected one of "network", "recipe", "budget"'
    )
    assert message.endswith('did you mean "recipe"?')


@pytest.mark.parametrize("override", ["title.x=3", "reported.train=99", "extends.x=1"])
def test_set_of_another_table_is_refused(write, override):
    assert error_of(write("a.toml", PLAIN), override).startswith(f"--set {override}: unknown table ")


@pytest.mark.parametrize(
    ("override", "found"),
    [("recipe.epochs.x=3", "recipe.epochs is 15"), ("recipe.optimizer.lr.x=3", "recipe.optimizer.lr is 0.01")],
)
def test_set_of_a_key_inside_a_plain_value_is_refused(write, override, found):
    assert error_of(write("a.toml", PLAIN), override).startswith(f"--set {override}: {found}; expected a table")


def test_set_of_a_key_is_refused_if_the_table_is_a_number(write):
    message = "\n".join(
        errors_of(write("a.toml", f'title = "A"\nrecipe = 3\n[network]\n{LAYERS}\n'), "recipe.epochs=3")
    )
    assert "recipe" in message
    assert "3" in message


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
def test_a_wrong_value_is_reported_with_its_set(write, override, found):
    for message in errors_of(write("a.toml", PLAIN), override):
        assert message.startswith(f"--set {override}: ")
    assert found in errors_of(write("a.toml", PLAIN), override)[0]


@pytest.mark.parametrize(
    "value", ["[" * 5_000, "{a=" * 5_000, "1" + "0" * 5_000, "5\nbatch_size = 3", "\x00", "\ud800", "5 # five\nx = 1"]
)
def test_a_value_that_is_not_toml_is_a_string(write, value):
    assert "recipe.epochs: found " in error_of(write("a.toml", PLAIN), f"recipe.epochs={value}")


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("recipe.schedule.name=adam", 'recipe.schedule.name: found "adam"'),
        ("recipe.schedule.name=constant", 'recipe.schedule: unknown key "finish"'),
        ("recipe.optimizer.name=adam", 'recipe.optimizer: unknown key "momentum"'),
    ],
)
def test_an_error_after_a_set_of_a_name_suggests_to_set_the_whole_table(override, found):
    with pytest.raises(DrilldownError) as caught:
        load_experiment("under-8k", [override])
    message = str(caught.value).splitlines()[0]
    assert message.startswith(f"--set {override}: {found}")
    table = ".".join(override.split(".")[:2])
    assert message.endswith(f"set the whole table: --set '{table}={{ name = \"…\", … }}'")


def test_a_name_in_place_of_a_table_is_refused_with_an_example():
    with pytest.raises(DrilldownError, match=r'found "cosine"; expected a table, as in .* = \{ name = "cosine", … \}'):
        load_experiment("under-8k", ["recipe.schedule=cosine"])
