"""The file that `drilldown new` writes: an experiment with a comment on each setting that can be changed."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from drilldown.data.augmentation import Affine, Jitter
from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.budget import Budget
from drilldown.experiment.experiment import Experiment, Recipe
from drilldown.experiment.optimizers import Optimizer
from drilldown.experiment.schedules import Schedule
from drilldown.files import explain_file_errors
from drilldown.network.layers import LAYERS

WIDTH = 100
"""The width of comments in characters."""
_OPTIONAL = {"ema": "0.999", "holdout": "10_000"}
"""Example values for the optional settings of a recipe."""
_TABLES: dict[str, type[BaseModel]] = {"recipe": Recipe, "budget": Budget}


def write_template(source: Experiment, file: Path) -> None:
    """Writes an experiment with the settings of `source`, and a copy of its Python module, if it has one.

    *Raises* DrilldownError where a file exists already or cannot be written.
    """
    if os.path.lexists(file):
        raise _already_exists(file, "choose another name")
    module = source.network.python.partition(":")[0] if source.network.python else None
    source.fingerprint  # noqa: B018 - raises where the module is missing, before anything is written
    text = template_text(source, file)
    with explain_file_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        if module:
            code, beside = (source.folder / module).read_bytes(), file.parent / module
            if beside.exists() and beside.read_bytes() != code:
                raise _already_exists(beside, "choose another folder: the copy of the network's code needs this name")
            beside.write_bytes(code)
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
            "target": f"It starts as {source.name}: write here which result should improve, and by how much.",
            "remark": "",
            "reconstructed": False,
            "reported": None,
        }
    )
    return "\n".join([*_head(file), "", *_commented(copy.to_toml())]) + "\n"


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
        yield 'Or your own module in the same folder: python = "model.py:Net"'
    elif (table, key) == ("recipe", "optimizer"):
        yield from _choices(Optimizer)
    elif (table, key) == ("recipe", "schedule"):
        yield from _choices(Schedule)
    elif (table, key) == ("recipe", "augment"):
        inner = f"affine ({_fields(Affine)}), jitter ({_fields(Jitter)})"
        yield f"One warp per image; keys: rotate, {inner}, interpolation; {{}} for none."
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


def _fields(table: type[BaseModel]) -> str:
    return ", ".join(name for name in table.model_fields if name != "name")
