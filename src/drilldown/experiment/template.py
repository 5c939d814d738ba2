"""The files that `drilldown new` writes: an experiment with comments, or the next step of a study."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from drilldown.data.transforms import Augmentation, Transform
from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.budget import Budget
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.optimizers import Optimizer
from drilldown.experiment.recipe import Recipe
from drilldown.experiment.schedules import Schedule
from drilldown.experiment.studies import Study
from drilldown.experiment.toml_text import dump_toml
from drilldown.files import explain_file_errors
from drilldown.network.layers import LAYERS

WIDTH = 100
"""The width of comments in characters."""
ANALYSIS = '# analysis = "What the result shows, in your own words (Markdown); write it after the training."'
"""A setting that is written after the training, as a comment."""
_OPTIONAL = {
    "image": '{ size = 28, fit = "pad" }', "orientation": '"transposed"', "polarity": '"dark-on-light"',
    "framing": '"whole"', "teacher": '"./teacher.npz"', "ema": "0.999",
    "holdout": "10_000",
}  # fmt: skip
"""Example values for the optional settings of a recipe."""
FIRST: dict[str, Any] = {
    "title": "A first network",
    "network": {
        "layers": [
            "conv 3x3 8, relu", "maxpool 2", "conv 3x3 12, relu", "maxpool 2", "conv 3x3 16, relu", "gap", "linear 10"
        ]
    },
    "recipe": {
        "dataset": "mnist", "epochs": 15, "batch_size": 64,
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
    },
    "budget": {"parameters": 10_000, "epochs": 15, "accuracy": 99.4, "hold": 5},
}  # fmt: skip
"""The experiment that a new file starts with: it trains well, and it is far from its budget."""
_TABLES: dict[str, type[BaseModel]] = {"recipe": Recipe, "budget": Budget}


def write_template(source: Experiment, file: Path) -> None:
    """Writes an experiment with the settings of `source`, and copies of the Python files of its network.

    *Raises* DrilldownError where a file exists already or cannot be written.
    """
    _write(file, template_text(source, file), source.code_files)


def first_experiment() -> Experiment:
    """A small network without any of the tricks of the later steps: the beginning of a climb."""
    return Experiment.model_validate(FIRST).located(name="new/first")


def write_next_step(parent: Experiment, file: Path) -> None:
    """Writes an experiment that extends another one; all settings of the parent are in it as comments.

    *Raises* DrilldownError where the file exists already or cannot be written.
    """
    _write(file, next_step_text(parent, file), parent.code_files)  # a network in Python is read beside the file


def next_step_text(parent: Experiment, file: Path) -> str:
    """Returns the text of an experiment that extends another one, without any change yet.

    >>> print(next_step_text(drilldown.load("eva5-s5/05"), Path("06-mine.toml")).splitlines()[3])
    title = "Mine"
    """
    settings = parent.to_toml().partition("\n[network]")[2].partition("\n[reported]")[0].rstrip()
    described = {
        "title": _title(file),
        "extends": _reference(parent, file),
        "target": f"The weakness of {parent.name} that this step should remove, and by how much.",
    }
    lines = [
        *_head(file), "", *dump_toml(described).splitlines(), ANALYSIS, "",
        "# Write below only the settings that change; a value that you write replaces the whole value.",
        f"# These are the settings of {parent.name}:", "#",
        *(f"# {line}".rstrip() for line in f"[network]{settings}".splitlines()),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _reference(parent: Experiment, file: Path) -> str:
    """The value of `extends`: a path relative to the new file, or `study/step` of a study that is part of drilldown."""
    assert parent.path, "an experiment that is extended has a file"
    if Study(parent.path.parent).is_shipped:
        return parent.name
    relative = os.path.relpath(parent.path.resolve(), file.resolve().parent)
    return Path(relative).with_suffix("").as_posix()


def _write(file: Path, text: str, code_files: Mapping[str, bytes]) -> None:
    """Writes a new file, and the Python files of its network beside it."""
    if os.path.lexists(file):
        raise _already_exists(file, "choose another name")
    with explain_file_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        for name, code in code_files.items():
            beside = file.parent / name
            if beside.exists() and beside.read_bytes() != code:
                raise _already_exists(beside, "choose another folder: the copy of the network's code needs this name")
        for name, code in code_files.items():
            (file.parent / name).parent.mkdir(parents=True, exist_ok=True)
            (file.parent / name).write_bytes(code)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)


def _already_exists(file: Path, suggestion: str) -> DrilldownError:
    return DrilldownError(Problem(file=file, found="already exists", suggestion=suggestion))


def template_text(source: Experiment, file: Path) -> str:
    """Returns the text of an experiment with the settings of `source` and comments.

    *Arguments*: `file`: the name of the new file, which gives the title.

    >>> lines = template_text(drilldown.load("under-8k"), Path("02-wider.toml")).splitlines()
    >>> lines[0], lines[3]
    ('# drilldown summary 02-wider.toml   shapes and parameters, without training', 'title = "Wider"')
    """
    copy = source.model_copy(
        update={
            "title": _title(file),
            "target": _target(source),
            "analysis": "",
            "remark": "",
            "reconstructed": False,
            "reported": None,
        }
    )
    described, brackets, tables = copy.to_toml().partition("\n[")
    return "\n".join([*_head(file), "", described, ANALYSIS, *_commented(brackets + tables)]) + "\n"


def _target(source: Experiment) -> str:
    if source.name == first_experiment().name:
        return "A network that trains. Later steps, with drilldown new NEXT --extends, change one thing at a time."
    return f"It starts as {source.name}: write here which result should improve, and by how much."


def _title(file: Path) -> str:
    """Turns a file's name into words, without the number of the step.

    >>> _title(Path("study/07-even_wider.toml"))
    'Even wider'
    """
    words = re.sub(r"^\d+\W*", "", file.stem).replace("-", " ").replace("_", " ").strip() or file.stem
    return words[0].upper() + words[1:]


def _head(file: Path) -> list[str]:
    commands = {
        f"drilldown summary {shlex.quote(str(file))}": "shapes and parameters, without training",
        f"drilldown run {shlex.quote(str(file))}": "trains it and checks the budget",
    }
    width = max(map(len, commands))
    return [f"# {command:<{width}}   {effect}" for command, effect in commands.items()]


def _commented(toml: str) -> Iterator[str]:
    table = ""
    for line in toml.rstrip().splitlines():
        if line.startswith("["):
            if table == "recipe":
                yield from _optional_settings(toml)
                yield ""
            table = line.strip("[]")
        key = line.partition(" = ")[0]
        if " = " in line and not line.startswith(" "):
            for comment in _comments(table, key):
                yield from _comment_lines(comment)
        if line or table != "recipe":  # the blank line after the recipe follows its optional settings
            yield line


def _optional_settings(toml: str) -> Iterator[str]:
    """Yields the optional settings that the document does not have, as comments."""
    for key, example in _OPTIONAL.items():
        if f"\n{key} = " not in toml:
            for comment in _comments("recipe", key):
                yield from _comment_lines(comment)
            yield f"# {key} = {example}"


def _comment_lines(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="#   ")


def _comments(table: str, key: str) -> Iterator[str]:
    if (table, key) == ("network", "layers"):
        yield "Layers from image to logits, one block per line:"
        yield from (f"  {kind.usage}" for kind in LAYERS.values())
        yield "A block can be a table: { skip = [blocks] }, { repeat = N, shared = true, layers = [blocks] }"
        yield 'Or your own module in the same folder: python = "model.py:Net"'
    elif (table, key) == ("recipe", "optimizer"):
        yield from _choices(Optimizer)
    elif (table, key) == ("recipe", "schedule"):
        yield from _choices(Schedule)
    elif (table, key) == ("recipe", "augment"):
        yield "One warp per image; {} for none. Each transform can also have p and fade. Keys:"
        for name, field in Augmentation.model_fields.items():
            tables = [table for table in (field.annotation, *get_args(field.annotation)) if _is_transform(table)]
            yield from (f"  {name} ({_fields(table)})" for table in tables)
        yield "  interpolation (bilinear, nearest)"
    elif (table, key) == ("recipe", "holdout"):
        yield Recipe.model_fields[key].description or ""
        yield 'By writer, for mnist: holdout = { images = 10_000, by = "writer" }'
    elif table in _TABLES:
        described = _TABLES[table].model_fields[key].description
        if described:
            yield described


def _choices(union: object) -> Iterator[str]:
    """Yields the tables of a union, each with its name and keys."""
    yield "One of"
    for table in get_args(get_args(union)[0]):
        (name,) = get_args(table.model_fields["name"].annotation)
        yield f"  {name} ({_fields(table)})"


def _is_transform(table: Any) -> bool:
    return isinstance(table, type) and issubclass(table, Transform)


def _fields(table: type[BaseModel]) -> str:
    return ", ".join(name for name in table.model_fields if name not in ("name", "p", "fade"))
