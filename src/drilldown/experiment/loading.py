"""Reading an experiment from a TOML file, with `extends`, `--set`, and all errors of the file at once."""

from __future__ import annotations

import contextlib
import copy
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from drilldown.data.catalogue import is_dataset_path
from drilldown.errors import DrilldownError, Problem, did_you_mean, quoted
from drilldown.experiment.dictionary import check_experiment_name, plain_values
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.hints import setting_called, syntax_hint
from drilldown.experiment.origins import Origin, Source, one_line
from drilldown.experiment.problems import explain_validation_error, locate_problem, toml_literal
from drilldown.experiment.recipe import Recipe
from drilldown.experiment.studies import find_experiment_file
from drilldown.experiment.toml_lines import KeyPath
from drilldown.network.blocks import texts_in

INHERITED = ("network", "recipe", "budget")
"""The tables that `extends` inherits."""
SEARCH_TABLES = ("search", "space")
"""The tables that make a file a search; they are not inherited."""
OTHER_NETWORK = {("network", "layers"): ("python", "arguments"), ("network", "python"): ("layers",)}
"""The keys of a network that a new value of another key removes."""
NAME_IN_LAYER = re.compile(r"\{\s*([^{}]*?)\s*\}")
"""A name in a layer of a search file: `{w1}`."""
Parent = Experiment | None
"""The experiment that a file extends, or None."""
LARGEST_FILE = 1_000_000
"""The largest experiment file in bytes."""


def load_experiment(
    reference: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, name: str | None = None
) -> Experiment:
    """Reads an experiment.

    *Arguments*: `reference`: a path, `study/step`, an unambiguous start of it, or a study's name for its last step; or
    a dictionary with the tables of an experiment file. `overrides`: settings as in `--set`, such as
    `recipe.optimizer.lr=0.1`. `name`: `study/step` in place of the name that the file gives; a dictionary without it is
    `unnamed/experiment`.

    *Raises* DrilldownError with all errors of the file or the dictionary.

    >>> load_experiment("eva5-s5/06", ["recipe.epochs=3"]).recipe.epochs
    3
    >>> load_experiment({"title": "Short", "extends": "under-8k/01-flagship", "recipe": {"epochs": 3}}, name="my/short")
    <Experiment my/short: 'Short', 3 epochs of mnist>
    """
    overrides = [overrides] if isinstance(overrides, str) else [str(override) for override in overrides]
    name = None if name is None else check_experiment_name(name)
    if isinstance(reference, Mapping):
        return _read_dictionary(reference, overrides).located(name=name)
    if not isinstance(reference, str | Path):
        found = f"found an object of the class {type(reference).__name__}"
        raise DrilldownError(Problem(found=found, expected="a path, study/step, or a dictionary"))
    return read_experiment(find_experiment_file(str(reference)), overrides, name=name)


def read_experiment(path: Path, overrides: Sequence[str] = (), *, name: str | None = None) -> Experiment:
    """Reads the experiment in a file.

    *Arguments*: `overrides`: settings as in `--set`. `name`: `study/step` in place of the name that the path gives.

    *Raises* DrilldownError with all errors of the file.
    """
    experiment, _ = _read(path, overrides, ())
    return experiment.located(name=name)


def read_source(path: Path, overrides: Sequence[str] = (), tables: Sequence[str] = INHERITED) -> tuple[Source, Parent]:
    """Reads the values of a file with `extends` and `--set`, and its parent; the values are not checked yet.

    *Arguments*: `overrides`: settings as in `--set`. `tables`: the tables that they may change.

    *Raises* DrilldownError where the file is not TOML, or its parent or a `--set` is wrong.
    """
    return _read_source(path, overrides, tables, ())


def check_experiment(source: Source, path: Path | None, parent: Parent) -> Experiment:
    """Makes the experiment from the values of a file or a dictionary; raises DrilldownError with all errors."""
    anchor_paths(source)
    try:
        experiment = Experiment.model_validate(source.values).located(path=path, parent=parent)
    except ValidationError as error:
        raise DrilldownError(*in_order_of_lines(explain_validation_error(error, source))) from None
    try:
        experiment.layout  # noqa: B018 - computing the layout checks the shapes
    except DrilldownError as error:
        raise DrilldownError(*(locate_problem(problem, source) for problem in error.problems)) from None
    return experiment


def in_order_of_lines(problems: Iterable[Problem]) -> list[Problem]:
    """Sorts problems by their lines; those without a line come first."""
    return sorted(problems, key=lambda problem: problem.line or 0)


def _read(path: Path, overrides: Sequence[str], children: tuple[Path, ...]) -> tuple[Experiment, Source]:
    source, parent = _read_source(path, overrides, INHERITED, children)
    _refuse_search_file(source, path, extended=bool(children))
    return check_experiment(source, path, parent), source


def _read_dictionary(document: Mapping[str, Any], overrides: Sequence[str]) -> Experiment:
    source, parent = _resolve(Source(plain_values(document), {}, Origin(None)), overrides, INHERITED, ())
    _refuse_search_file(source, None, extended=False)
    return check_experiment(source, None, parent)


def _read_source(
    path: Path, overrides: Sequence[str], tables: Sequence[str], children: tuple[Path, ...]
) -> tuple[Source, Parent]:
    text = _text(path)
    own = Origin(path, text)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also for a number with thousands of digits
        raise DrilldownError(_syntax_problem(path, text, error)) from None
    return _resolve(Source(values, {}, own), overrides, tables, (*children, path))


def _resolve(
    source: Source, overrides: Sequence[str], tables: Sequence[str], family: tuple[Path, ...]
) -> tuple[Source, Parent]:
    """Applies `extends` and `--set` to the values of a file or a dictionary.

    *Arguments*: `family`: the file, after those that extend it; empty for a dictionary.
    """
    parent: Parent = None
    if "extends" in source.values:
        parent_path = _parent_path(source.own, source.values.pop("extends"), family)
        parent, inherited = _read(parent_path, (), family)
        _inherit(source, inherited)
    for override in overrides:
        _override(source, override, tables)
    anchor_paths(source)
    return source, parent


def _refuse_search_file(source: Source, path: Path | None, *, extended: bool) -> None:
    """Raises DrilldownError where the file describes a search: it is not one experiment, but many."""
    key_path: KeyPath | None = next(((table,) for table in SEARCH_TABLES if table in source.values), None)
    network = source.values.get("network")
    layers = network.get("layers") if isinstance(network, dict) else None
    for at, text in texts_in(layers if isinstance(layers, list) else [], ("network", "layers")):
        if NAME_IN_LAYER.search(text):
            key_path = key_path or at
    if key_path is None:
        return
    suggestion = "a search cannot be extended" if extended else f"use drilldown search {path or 'FILE'}"
    found = f"this is a search file, because of {'a name in braces' if len(key_path) > 1 else f'[{key_path[0]}]'}"
    problem = Problem(found=found, expected="an experiment", suggestion=suggestion)
    raise DrilldownError(source.origin(key_path).problem(key_path, problem))


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


def _syntax_problem(path: Path, text: str, error: Exception) -> Problem:
    message = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    reason, _, position = message.partition(" (at ")
    line = position.removeprefix("line ").partition(",")[0]
    found = f"not TOML: {reason[:1].lower()}{reason[1:]}" + ("" if line.isdigit() or not position else f" ({position}")
    if not line.isdigit():
        return Problem(file=path, found=found)
    better, suggestion = syntax_hint(text, int(line), reason)
    return Problem(
        file=path,
        line=int(line),
        found=one_line(better or found),
        suggestion=one_line(suggestion) if suggestion else None,
    )


def _parent_path(own: Origin, extends: object, family: tuple[Path, ...]) -> Path:
    if not isinstance(extends, str):
        raise DrilldownError(
            own.problem(
                ("extends",),
                Problem(place="extends", found=f"found {extends!r}", expected="the name of a file, or study/step"),
            )
        )
    path = (family[-1].parent if family else Path()) / extends
    if not os.path.isfile(path) and not extends.endswith(".toml"):
        if os.path.isfile(f"{path}.toml"):
            path = Path(f"{path}.toml")
        elif "/" in extends:
            with contextlib.suppress(DrilldownError):
                path = find_experiment_file(extends)
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        names = [file.name for file in path.parent.glob("*.toml")] if os.path.isdir(path.parent) else []
        raise DrilldownError(
            own.problem(
                ("extends",),
                Problem(
                    place="extends",
                    found=f'there is no "{extends}"',
                    expected=f"a file in {path.parent}, or study/step",
                    suggestion=did_you_mean(extends, names),
                ),
            )
        )
    if path.resolve() in [member.resolve() for member in family]:
        loop = " → ".join(member.name for member in (*family, path))
        raise DrilldownError(own.problem(("extends",), Problem(place="extends", found=f"circular `extends`: {loop}")))
    return path


def _inherit(source: Source, inherited: Source) -> None:
    """Copies the keys of each inherited table that the file does not set; a value is never merged."""
    for table in INHERITED:
        own = source.values.get(table, {})
        from_parent = inherited.values.get(table, {})
        if not isinstance(own, dict):
            continue  # reported later, with the other errors
        if table == "network" and own.keys() & {"layers", "python"}:
            from_parent = {}  # a network has either layers or a module
        for key, value in from_parent.items():
            if key not in own:
                own[key] = value
                source.origins[table, key] = inherited.origin((table, key))
        if own:
            source.values[table] = own


def _override(source: Source, override: str, tables: Sequence[str]) -> None:
    """Applies one `--set TABLE.KEY=VALUE`."""
    label = f"--set {one_line(override)}"
    dotted, equals, text = override.partition("=")
    keys = tuple(key.strip() for key in dotted.split("."))
    if not equals or len(keys) < 2 or not all(keys):
        raise DrilldownError(
            Problem(
                file=label,
                found=f'found "{one_line(override)}"',
                expected="TABLE.KEY=VALUE, such as recipe.epochs=5",
                suggestion=_override_hint(keys[-1], text) if equals else None,
            )
        )
    if keys[0] not in tables:
        raise DrilldownError(
            Problem(
                file=label,
                found=f'unknown table "{one_line(keys[0])}"',
                expected=f"one of {quoted(tables)}",
                suggestion=did_you_mean(keys[0], tables) or _override_hint(keys[-1], text),
            )
        )
    try:
        document = tomllib.loads(f"value = {text}")
        value = document["value"] if len(document) == 1 else text.strip()
    except (ValueError, RecursionError):
        value = text.strip()  # a word without quotation marks
    if keys in OTHER_NETWORK:
        network = source.values.get("network")
        own = network.items() if isinstance(network, dict) else ()
        source.values["network"] = {key: item for key, item in own if key not in OTHER_NETWORK[keys]}
    set_value(source, keys, value, Origin(label))


def _override_hint(key: str, value: str) -> str | None:
    place = setting_called(key)
    return f"did you mean --set {place}={one_line(value)}?" if place else None


def set_value(source: Source, keys: tuple[str, ...], value: object, origin: Origin) -> None:
    """Sets one value, and its origin; raises DrilldownError where a key above it is not a table.

    A table that the file does not have is made, with the default's keys.
    """
    # A copy, because the parent may use the same value.
    table = source.values[keys[0]] = copy.deepcopy(source.values.get(keys[0], {}))
    for depth, key in enumerate(keys[:-1], start=1):
        if depth > 1:
            if key not in table:
                table[key] = _default(key) if keys[0] == "recipe" and depth == 2 else {}
                source.origins[keys[:depth]] = origin
            elif keys[:depth] == ("recipe", "holdout") and type(table[key]) is int:
                table[key] = {"images": table[key]}  # the number is short for this table
            table = table[key]
        if not isinstance(table, dict):
            found = f"{'.'.join(keys[:depth])} is {toml_literal(table)}"
            raise DrilldownError(origin.problem(keys, Problem(found=one_line(found), expected="a table")))
    table[keys[-1]] = value
    source.origins[keys] = origin


def _default(key: str) -> Any:
    """Returns the default of a recipe's key; for a table, only the keys that the default sets."""
    value = getattr(Recipe(), key, None)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    return {} if value is None else value


def anchor_paths(source: Source) -> None:
    """Makes the paths of a dataset and of a teacher absolute.

    In a file, the path is relative to the folder of the file; in a `--set`, to the working directory.
    """
    recipe = source.values.get("recipe")
    if not isinstance(recipe, dict):
        return
    for key in ("dataset", "teacher"):
        path = recipe.get(key)
        if isinstance(path, str) and (key == "teacher" or is_dataset_path(path)):
            label = source.origin(("recipe", key)).label
            base = label.parent if isinstance(label, Path) else Path()
            with contextlib.suppress(ValueError, RuntimeError):  # a NUL byte, or a home folder that does not exist
                recipe[key] = str((base / Path(path).expanduser()).resolve())
