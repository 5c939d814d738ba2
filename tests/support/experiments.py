"""Experiment files for tests: texts, error messages, and strategies for random files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import read_experiment

LAYERS = 'layers = ["conv 3x3 4, bn, relu", "gap", "linear 10"]'
PLAIN = f'title = "A"\n[network]\n{LAYERS}\n[recipe]\ndataset = "glyphs"\n'
# Every key of recipe and budget with two values; the first is not the default.
SETTINGS: dict[str, dict[str, tuple[object, object]]] = {
    "recipe": {
        "dataset": ("glyphs", "kmnist"),
        "polarity": ("dark-on-light", "light-on-dark"),
        "framing": ("whole", "box"),
        "epochs": (7, 8),
        "batch_size": (32, 33),
        "optimizer": (
            {"name": "sgd", "lr": 0.2, "momentum": 0.8, "nesterov": True, "weight_decay": 0.001},
            {"name": "sgd", "lr": 0.3},
        ),
        "schedule": ({"name": "cosine", "warmup": 0.25, "floor": 0.001}, {"name": "cosine", "finish": 0.75}),
        "augment": ({"rotate": 6, "affine": {"shear": 5}, "interpolation": "nearest"}, {"jitter": {"contrast": 0.5}}),
        "label_smoothing": (0.1, 0.2),
        "l1": (0.001, 0.002),
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


def errors_of(path: Path, *overrides: str) -> list[str]:
    """The error messages of reading a file, without the name of its folder."""
    with pytest.raises(DrilldownError) as caught:
        read_experiment(path, overrides)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


def error_of(path: Path, *overrides: str) -> str:
    """The single error message of reading a file."""
    (only,) = errors_of(path, *overrides)
    return only


def parent_of(experiment: Experiment) -> Experiment:
    """The experiment that another one extends."""
    assert experiment.parent is not None
    return experiment.parent


def toml(value: object) -> str:
    """A value as TOML, written without the code under test."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value) if not isinstance(value, float) else repr(value)


def document(values: dict[str, Any]) -> str:
    """A document as TOML with one line per key, and with tables at the end."""
    lines = [f"{toml(key)} = {toml(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for name, table in values.items():
        if isinstance(table, dict):
            lines += [f"[{toml(name)}]", *(f"{toml(key)} = {toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FRACTION = st.floats(0, 1, exclude_max=True)
ABOVE_ZERO = st.floats(0, 10, exclude_min=True)
LINE = st.sampled_from(["conv 3x3 8", "conv 1x1 4 bias", "conv 3x3 6 pad=1 stride=2", "conv 5x5 8 groups=2 pad=2"])


def table(required: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(required, optional=optional)


def below_the_peak(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe with a schedule's floor that is below the learning rate."""
    if "floor" not in recipe.get("schedule", {}):
        return recipe
    peak = recipe.get("optimizer", {"lr": 0.01})["lr"]
    return recipe | {"schedule": recipe["schedule"] | {"floor": recipe["schedule"]["floor"] * peak}}


def with_known_writers(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe with a dataset whose writers are known, if its validation split needs them."""
    holdout = recipe.get("holdout")
    return recipe | {"dataset": "mnist"} if isinstance(holdout, dict) and holdout.get("by") == "writer" else recipe


def pairs(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[list[float]]:
    """A lower and an upper end."""
    return st.lists(numbers, min_size=2, max_size=2).map(sorted)


WHEN = {"p": st.floats(0, 1), "fade": st.floats(0, 1)}
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
        l1=st.floats(0, 1),
        optimizer=table({"name": st.just("sgd"), "lr": ABOVE_ZERO}, momentum=FRACTION, weight_decay=st.floats(0, 1))
        | table({"name": st.sampled_from(["adam", "adamw", "nadam"]), "lr": ABOVE_ZERO}, **ADAM)
        | table({"name": st.just("rmsprop"), "lr": ABOVE_ZERO}, alpha=FRACTION, centered=st.booleans()),
        schedule=table({"name": st.just("constant")}, warmup=FRACTION)
        | table({"name": st.just("step"), "every": st.integers(1, 9), "gamma": st.floats(0.01, 1)}, warmup=FRACTION)
        | table({"name": st.just("cosine")}, warmup=st.floats(0, 0.4), finish=st.floats(0.5, 1), floor=st.floats(0, 1))
        | table(
            {"name": st.just("multistep"), "at": st.sets(st.integers(1, 99), min_size=1).map(sorted)}, warmup=FRACTION
        )
        | table({"name": st.just("exponential"), "gamma": st.floats(0.01, 1)}, warmup=FRACTION)
        | table({"name": st.just("plateau")}, patience=st.integers(0, 9), threshold=FRACTION, floor=st.floats(0, 1))
        | table({"name": st.just("restarts"), "period": st.integers(1, 9)}, multiplier=st.integers(1, 3))
        | table(
            {"name": st.just("onecycle")},
            warmup=st.floats(0.1, 0.4),
            div=st.floats(1, 100),
            final_div=st.floats(1, 1e9),
        ),
        augment=table(
            {},
            rotate=st.floats(0, 180) | pairs(st.floats(-180, 180)) | table({}, degrees=st.floats(0, 180), **WHEN),
            affine=table(
                {},
                rotate=st.floats(0, 180),
                translate=FRACTION | st.integers(1, 9) | st.lists(FRACTION, min_size=2, max_size=2),
                shear=st.floats(0, 89),
                **WHEN,
            ),
            jitter=table({}, brightness=FRACTION | pairs(st.floats(0, 3)), contrast=FRACTION, **WHEN),
            crop=st.integers(2, 28) | st.floats(0.1, 0.9) | table({"size": st.integers(2, 28)}, **WHEN),
            flip=st.sampled_from(["horizontal", "vertical", "both"]) | table({}, **WHEN),
            perspective=st.floats(0, 0.6) | table({}, **WHEN),
            elastic=st.floats(0, 99) | table({}, sigma=st.floats(1, 9), **WHEN),
            erase=pairs(st.floats(0, 0.9)) | table({}, ratio=pairs(st.floats(0.1, 9)), **WHEN),
            interpolation=st.sampled_from(["bilinear", "nearest"]),
        ),
        label_smoothing=FRACTION,
        ema=st.floats(0.01, 0.99),
        holdout=st.integers(1, 10**6)
        | table({"images": st.integers(1, 10**6)}, by=st.sampled_from(["class", "writer"])),
        precision=st.sampled_from(["fp32", "bf16", "int4"]),
    )
    .map(below_the_peak)
    .map(with_known_writers),
)
