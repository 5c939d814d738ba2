"""What `drilldown new` writes: an experiment to be changed, with a comment on everything that can be."""

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
_SWITCHED_OFF = {"ema": "0.999", "holdout": "10_000"}
"""What a recipe may have and most have not, as one would write it."""
_TABLES: dict[str, type[BaseModel]] = {"recipe": Recipe, "budget": Budget}


def write_template(source: Experiment, file: Path) -> None:
    """Writes an experiment that trains what `source` does, and the module of its network beside it.

    *Raises* DrilldownError where a file is there already, or cannot be written.
    """
    if os.path.lexists(file):
        raise _there_already(file, "choose another name")
    module = source.network.python.partition(":")[0] if source.network.python else None
    source.fingerprint  # noqa: B018 - says so where that module is missing, before anything is written
    with explain_file_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        if module:
            code, beside = (source.folder / module).read_bytes(), file.parent / module
            if beside.exists() and beside.read_bytes() != code:
                raise _there_already(beside, "choose another folder: the network's code would go here")
            beside.write_bytes(code)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(template_text(source, file))


def _there_already(file: Path, suggestion: str) -> DrilldownError:
    return DrilldownError(Problem(file=file, found="is there already", suggestion=suggestion))


def template_text(source: Experiment, file: Path) -> str:
    """An experiment that trains what `source` does, as a file that explains itself.

    >>> lines = template_text(drilldown.load("under-8k"), Path("02-wider.toml")).splitlines()
    >>> lines[0], lines[3]
    ('# drilldown summary 02-wider.toml   shapes and parameters, before any training', 'title = "Wider"')
    """
    copy = source.model_copy(
        update={
            "title": _title(file),
            "target": f"It starts as {source.name}: say here what should become better, and by how much.",
            "remark": "",
            "reconstructed": False,
            "reported": None,
        }
    )
    return "\n".join([*_head(file), "", *_commented(copy.to_toml())]) + "\n"


def _title(file: Path) -> str:
    """The file's name as words, without the number of the step.

    >>> _title(Path("study/07-even_wider.toml"))
    'Even wider'
    """
    words = re.sub(r"^\d+\W*", "", file.stem).replace("-", " ").replace("_", " ").strip() or file.stem
    return words[0].upper() + words[1:]


def _head(file: Path) -> list[str]:
    commands = {
        f"drilldown summary {shlex.quote(str(file))}": "shapes and parameters, before any training",
        f"drilldown run {shlex.quote(str(file))}": "trains it, and says whether the budget is met",
    }
    width = max(map(len, commands))
    return [f"# {command:<{width}}   {does}" for command, does in commands.items()]


def _commented(toml: str) -> Iterator[str]:
    table = ""
    for line in toml.rstrip().splitlines():
        if line.startswith("["):
            if table == "recipe":
                yield from _switched_off(toml)
                yield ""
            table = line.strip("[]")
        key = line.partition(" = ")[0]
        if " = " in line and not line.startswith(" "):
            for comment in _comments(table, key):
                yield from textwrap.wrap(comment, WIDTH, initial_indent="# ", subsequent_indent="#   ")
        if line or table != "recipe":  # the blank line after the recipe comes after what is switched off
            yield line


def _switched_off(toml: str) -> Iterator[str]:
    """The settings that are not there, as comments."""
    for key, example in _SWITCHED_OFF.items():
        if f"\n{key} = " not in toml:
            yield f"# {Recipe.model_fields[key].description}"
            yield f"# {key} = {example}"


def _comments(table: str, key: str) -> Iterator[str]:
    if (table, key) == ("network", "layers"):
        yield "From image to logits, a block of layers a line:"
        yield from (f"  {kind.usage}" for kind in LAYERS.values())
        yield 'Or a module of your own beside this file: python = "model.py:Net"'
    elif (table, key) == ("recipe", "optimizer"):
        yield from _choices(Optimizer)
    elif (table, key) == ("recipe", "schedule"):
        yield from _choices(Schedule)
    elif (table, key) == ("recipe", "augment"):
        inner = f"affine ({_fields(Affine)}), jitter ({_fields(Jitter)})"
        yield f"One warp an image, of: rotate, {inner}, interpolation; {{}} for none."
    elif table in _TABLES:
        described = _TABLES[table].model_fields[key].description
        if described:
            yield described


def _choices(union: object) -> Iterator[str]:
    """The tables of which one is chosen by its name, with their keys."""
    yield "One of"
    for table in get_args(get_args(union)[0]):
        (name,) = get_args(table.model_fields["name"].annotation)
        yield f"  {name} ({_fields(table)})"


def _fields(table: type[BaseModel]) -> str:
    return ", ".join(name for name in table.model_fields if name != "name")
