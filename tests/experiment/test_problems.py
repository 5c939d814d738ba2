"""Messages about wrong experiment files."""

from __future__ import annotations

import re
import time

import pytest

from support.experiments import LAYERS, PLAIN, error_of, errors_of


def test_all_errors_of_a_file_are_reported_at_once_in_the_order_of_lines(write):
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
    matches = [re.match(r"a\.toml:(\d+): ", message) for message in errors_of(write("a.toml", text))]
    assert [int(match[1]) for match in matches if match] == wrong


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
def test_an_unknown_key_in_any_table_is_refused_with_the_most_similar_name(write, text, unknown, meant):
    message = error_of(write("a.toml", text))
    assert message.startswith(f"a.toml{unknown} ")
    assert message.endswith(f'did you mean "{meant}"?')


@pytest.mark.parametrize(
    ("line", "key"),
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
def test_a_wrong_type_is_reported_with_key_and_line_and_without_words_of_python(write, line, key):
    message = error_of(write("a.toml", PLAIN + line + "\n"))
    assert message.startswith(f"a.toml:{6 + line.count(chr(10))}: {key}: ")
    assert not re.search(r"dictionary|object|instance|tuple|validation|datetime|Input|True|False|None", message)


@pytest.mark.parametrize(
    ("line", "key"),
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
def test_a_wrong_type_outside_the_recipe_is_reported_in_the_same_way(write, line, key):
    table = line.split(" ")[0].split(".")[0]
    rest = {"title": 'title = "A"', "network": f"network = {{ {LAYERS} }}"}
    message = error_of(
        write("a.toml", "\n".join(value for name, value in rest.items() if name != table) + f"\n{line}\n")
    )
    assert message.startswith(f"a.toml:{3 - (table in rest)}: {key}: ")
    assert not re.search(r"dictionary|object|instance|tuple|validation|characters?\b|Input|True|False|None", message)


@pytest.mark.parametrize(
    ("line", "key"),
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
def test_a_number_out_of_range_is_refused_with_key_and_line(write, line, key):
    message = error_of(write("a.toml", PLAIN + line + "\n"))
    assert message.startswith(f"a.toml:{6 + line.count(chr(10))}: {key}: ")


def test_a_floor_above_the_peak_is_refused_with_the_table_of_both(write):
    message = error_of(write("a.toml", PLAIN + 'schedule = { name = "cosine", floor = 0.02 }\n'))
    assert message == "a.toml:4: recipe: schedule.floor = 0.02 is above the peak; expected at most lr = 0.01"


def test_a_dropout_probability_above_one_is_refused(write):
    message = error_of(write("a.toml", PLAIN.replace("relu", "dropout 1.5")))
    assert message.startswith('a.toml:3: network.layers[0] "conv 3x3 4, bn, dropout 1.5": found the probability "1.5";')


def test_a_misspelt_choice_is_refused_with_the_most_similar_choice(write):
    for line, meant in [
        ('optimizer = { name = "sdg", lr = 1 }', "sgd"),
        ('schedule = { name = "onecicle" }', "onecycle"),
        ('dataset = "fashion-mnits"', "fashion-mnist"),
        ('precision = "bf61"', "bf16"),
        ('augment = { interpolation = "biliner" }', "bilinear"),
    ]:
        text = PLAIN if "dataset" not in line else PLAIN.replace('dataset = "glyphs"\n', "")
        assert error_of(write("a.toml", f"{text}{line}\n")).endswith(f'did you mean "{meant}"?')


@pytest.mark.parametrize("value", ["two\\nlines", "\\u0000\\u001b[31m", "x" * 100_000])
def test_a_message_is_one_short_line_for_any_value(write, value):
    for key, text in [
        ("dataset", PLAIN.replace("glyphs", value)),
        ("precision", PLAIN + f'precision = "{value}"\n'),
        ("epochs", PLAIN + f'epochs = "{value}"\n'),
        ("layers", PLAIN.replace("gap", value)),
        ("extends", f'extends = "{value}"\n{PLAIN}'),
    ]:
        message = error_of(write("a.toml", text))
        assert message.isprintable(), key
        assert len(message) < 2_000, key


def test_a_file_with_thousands_of_errors_is_refused_quickly(write):
    path = write("a.toml", PLAIN + "".join(f"key{number} = {number}\n" for number in range(3_000)))
    started = time.monotonic()
    assert len(errors_of(path)) == 3_000
    assert time.monotonic() - started < 10  # it takes 0.1 s, unless the file is read for each error


def test_an_accuracy_as_a_fraction_is_refused(write):
    path = write("a.toml", PLAIN + "[budget]\naccuracy = 0.994\n")
    assert error_of(path) == "a.toml:7: budget.accuracy: found 0.994; expected percent, such as 99.4"
