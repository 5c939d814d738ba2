"""From a TOML file to an Experiment: `extends`, `--set`, and every mistake of a file in one go."""

from __future__ import annotations

import contextlib
import copy
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from drilldown.data.catalogue import is_dataset_folder
from drilldown.errors import DrilldownError, Problem, did_you_mean, quoted
from drilldown.experiment.experiment import Experiment, Recipe
from drilldown.experiment.origins import Origin, Source, one_line
from drilldown.experiment.problems import explain_validation_error, locate_problem, toml_literal
from drilldown.experiment.studies import find_experiment_file

INHERITED = ("network", "recipe", "budget")
"""The tables that `extends` hands down."""
LARGEST_FILE = 1_000_000
"""Bytes beyond which a file is no experiment."""


def load_experiment(reference: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Reads an experiment.

    *Arguments*: `reference`: a path, `study/step`, an unambiguous start of it, or a study's name, which means its
    last step. `overrides`: as of `--set`, such as `recipe.optimizer.lr=0.1`.

    *Raises* DrilldownError with every mistake that the file holds.

    >>> load_experiment("eva5-s5/06", ["recipe.epochs=3"]).recipe.epochs
    3
    """
    return read_experiment(find_experiment_file(str(reference)), overrides)


def read_experiment(path: Path, overrides: Sequence[str] = (), *, name: str | None = None) -> Experiment:
    """The experiment in a file; `name` replaces the `study/step` that its path says."""
    experiment, _ = _read(path, overrides, ())
    return experiment.located(name=name)


def _read(path: Path, overrides: Sequence[str], children: tuple[Path, ...]) -> tuple[Experiment, Source]:
    text = _text(path)
    own = Origin(path, text)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise DrilldownError(_syntax(path, error)) from None
    parent: Experiment | None = None
    source = Source(values, {}, own)
    if "extends" in values:
        extends = values.pop("extends")
        parent_path = _parent_path(own, extends, (*children, path))
        parent, inherited = _read(parent_path, (), (*children, path))
        _inherit(source, inherited)
    for override in overrides:
        _override(source, override)
    _anchor_dataset(source)
    try:
        experiment = Experiment.model_validate(source.values).located(path=path, parent=parent)
    except ValidationError as error:
        raise DrilldownError(
            *sorted(explain_validation_error(error, source), key=lambda problem: problem.line or 0)
        ) from None
    try:
        experiment.layout  # noqa: B018 - the layout checks the shapes
    except DrilldownError as error:
        raise DrilldownError(*(locate_problem(problem, source) for problem in error.problems)) from None
    return experiment, source


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise DrilldownError(Problem(file=path, found=f"cannot be read ({error.strerror})")) from None
    if len(content) > LARGEST_FILE:
        raise DrilldownError(Problem(file=path, found="more than a million bytes", expected="an experiment"))
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DrilldownError(
            Problem(
                file=path,
                line=line,
                found=f"byte 0x{content[error.start]:02x} at position {error.start}",
                expected="text in UTF-8",
                suggestion="save the file as UTF-8",
            )
        ) from None


def _syntax(path: Path, error: Exception) -> Problem:
    message = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    what, _, where = message.partition(" (at ")
    line = where.removeprefix("line ").partition(",")[0]
    return Problem(
        file=path,
        line=int(line) if line.isdigit() else None,
        found=f"not TOML: {what[:1].lower()}{what[1:]}" + ("" if line.isdigit() or not where else f" ({where}"),
    )


def _parent_path(own: Origin, extends: object, family: tuple[Path, ...]) -> Path:
    if not isinstance(extends, str):
        raise DrilldownError(
            own.problem(
                ("extends",),
                Problem(place="extends", found=f"found {extends!r}", expected="the name of a file, or study/step"),
            )
        )
    path = family[-1].parent / extends
    if not os.path.isfile(path) and "/" in extends and not extends.endswith(".toml"):
        with contextlib.suppress(DrilldownError):
            path = find_experiment_file(extends)
    if not os.path.isfile(path):  # Path's own raises where a name is too long
        near = [file.name for file in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        raise DrilldownError(
            own.problem(
                ("extends",),
                Problem(
                    place="extends",
                    found=f'there is no "{extends}"',
                    expected=f"a file in {path.parent}, or study/step",
                    suggestion=did_you_mean(extends, near),
                ),
            )
        )
    if path.resolve() in [member.resolve() for member in family]:
        loop = " → ".join(member.name for member in (*family, path))
        raise DrilldownError(own.problem(("extends",), Problem(place="extends", found=f"circular `extends`: {loop}")))
    return path


def _inherit(source: Source, inherited: Source) -> None:
    """Fills in what the parent says and the file does not, key by key, each value whole."""
    for table in INHERITED:
        given = source.values.get(table, {})
        from_parent = inherited.values.get(table, {})
        if not isinstance(given, dict):
            continue  # refused below, with the other errors
        if table == "network" and given.keys() & {"layers", "python"}:
            from_parent = {}  # two ways to say the same: the file's own stands alone
        for key, value in from_parent.items():
            if key not in given:
                given[key] = value
                source.origins[table, key] = inherited.origin((table, key))
        if given:
            source.values[table] = given


def _override(source: Source, override: str) -> None:
    """Applies one `--set TABLE.KEY=VALUE`."""
    label = f"--set {one_line(override)}"
    dotted, equals, text = override.partition("=")
    keys = tuple(key.strip() for key in dotted.split("."))
    if not equals or len(keys) < 2 or not all(keys):
        raise DrilldownError(
            Problem(
                file=label, found=f'found "{one_line(override)}"', expected="TABLE.KEY=VALUE, such as recipe.epochs=5"
            )
        )
    if keys[0] not in INHERITED:
        raise DrilldownError(
            Problem(
                file=label,
                found=f'unknown table "{one_line(keys[0])}"',
                expected=f"one of {quoted(INHERITED)}",
                suggestion=did_you_mean(keys[0], INHERITED),
            )
        )
    try:
        read = tomllib.loads(f"value = {text}")
        value = read["value"] if len(read) == 1 else text.strip()
    except (ValueError, RecursionError):
        value = text.strip()  # a bare word
    if keys[0] == "network" and len(keys) == 2:
        source.values["network"] = {}
    # A copy: the parent, and an experiment loaded before, may hold the same value.
    table = source.values[keys[0]] = copy.deepcopy(source.values.get(keys[0], {}))
    for depth, key in enumerate(keys[:-1], start=1):
        if depth > 1:
            if key not in table:
                table[key] = _default(key) if keys[0] == "recipe" and depth == 2 else {}
                source.origins[keys[:depth]] = Origin(label)
            table = table[key]
        if not isinstance(table, dict):
            raise DrilldownError(
                Problem(
                    file=label,
                    found=one_line(f"{'.'.join(keys[:depth])} is {toml_literal(table)}"),
                    expected="a table to set a key of",
                )
            )
    table[keys[-1]] = value
    source.origins[keys] = Origin(label)


def _default(key: str) -> Any:
    """What a recipe has where a file says nothing; of a table, the keys that make it what it is."""
    value = getattr(Recipe(), key, None)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    return {} if value is None else value


def _anchor_dataset(source: Source) -> None:
    """A dataset's folder is meant from the file that names it, or from here if a `--set` does."""
    recipe = source.values.get("recipe")
    if not isinstance(recipe, dict):
        return
    dataset = recipe.get("dataset")
    if isinstance(dataset, str) and is_dataset_folder(dataset):
        label = source.origin(("recipe", "dataset")).label
        base = label.parent if isinstance(label, Path) else Path()
        with contextlib.suppress(ValueError, RuntimeError):  # a NUL byte, or a home that there is not
            recipe["dataset"] = str((base / Path(dataset).expanduser()).resolve())
