"""From a TOML file to an Experiment: `extends`, `--set`, and every mistake of a file in one go."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from drilldown import data, studies
from drilldown.errors import DrilldownError, InvalidValue, Problem, did_you_mean, quoted
from drilldown.experiment import Experiment, Recipe
from drilldown.layers import NotationError
from drilldown.toml_lines import line_of

INHERITED = ("network", "recipe", "budget")
"""The tables that `extends` hands down."""
LARGEST_FILE = 1_000_000
"""Bytes beyond which a file is no experiment."""

LONGEST_PART = 300
"""Characters of each part of a message."""

Place = tuple[str | int, ...]

_KINDS = {
    "model_type": "a table",
    "model_attributes_type": "a table",
    "tuple_type": "an array",
    "too_long": "an array of fewer items",
    "string_type": "a string",
    "string_too_short": "some text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
}
"""Pydantic's kinds of mistake whose own words are about Python."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """Who gave a value: a file, or a `--set`."""

    label: Path | str
    text: str = ""

    def problem(self, place: Place, problem: Problem) -> Problem:
        """The problem with file and line filled in."""
        line = line_of(self.text, place) if self.text else None
        # What a message quotes may hold anything; it stays one line all the same.
        return dataclasses.replace(
            problem,
            file=self.label,
            line=line,
            place=problem.place and _one_line(problem.place),
            found=_one_line(problem.found),
            expected=problem.expected and _one_line(problem.expected),
            suggestion=problem.suggestion and _one_line(problem.suggestion),
        )


@dataclass(frozen=True, slots=True)
class _Source:
    """What a file says, inheritance and overrides applied, and who said which part."""

    values: dict[str, Any]
    origins: dict[Place, _Origin]
    own: _Origin

    def origin(self, place: Place) -> _Origin:
        """Who gave the value at a place: the deepest entry that covers it."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.origins:
                return self.origins[place[:length]]
        return self.own


def _one_line(text: str) -> str:
    """Without line breaks and other control characters, and without the middle of what is long.

    >>> _one_line("two" + chr(10) + "lines")
    'two\\\\nlines'
    """
    if len(text) > LONGEST_PART:
        text = f"{text[: LONGEST_PART // 2]} … {text[-LONGEST_PART // 2 :]}"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def load(reference: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Reads an experiment.

    *Arguments*: `reference`: a path, `study/step`, an unambiguous start of it, or a study's name, which means its
    last step. `overrides`: as of `--set`, such as `recipe.optimizer.lr=0.1`.

    *Raises* DrilldownError with every mistake that the file holds.

    >>> load("eva5-s5/06", ["recipe.epochs=3"]).recipe.epochs
    3
    """
    return read(studies.find(str(reference)), overrides)


def read(path: Path, overrides: Sequence[str] = (), *, name: str | None = None) -> Experiment:
    """The experiment in a file; `name` replaces the `study/step` that its path says."""
    experiment, _ = _read(path, overrides, ())
    experiment._name = name
    return experiment


def _read(path: Path, overrides: Sequence[str], children: tuple[Path, ...]) -> tuple[Experiment, _Source]:
    text = _text(path)
    own = _Origin(path, text)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise DrilldownError(_syntax(path, error)) from None
    parent: Experiment | None = None
    source = _Source(values, {}, own)
    if "extends" in values:
        extends = values.pop("extends")
        parent_path = _parent_path(own, extends, (*children, path))
        parent, inherited = _read(parent_path, (), (*children, path))
        _inherit(source, inherited)
    for override in overrides:
        _override(source, override)
    _anchor_dataset(source)
    try:
        experiment = Experiment.model_validate(source.values)
    except ValidationError as error:
        raise DrilldownError(*sorted(_problems(error, source), key=lambda problem: problem.line or 0)) from None
    experiment._path, experiment._parent = path, parent
    try:
        if experiment.network.layers is not None:
            experiment.anatomy  # noqa: B018 - shapes are checked by being laid out
    except DrilldownError as error:
        raise DrilldownError(*(_located(problem, source) for problem in error.problems)) from None
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


def _parent_path(own: _Origin, extends: object, family: tuple[Path, ...]) -> Path:
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
            path = studies.find(extends)
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
        raise DrilldownError(
            own.problem(("extends",), Problem(place="extends", found=f"goes round in a circle: {loop}"))
        )
    return path


def _inherit(source: _Source, inherited: _Source) -> None:
    """Fills in what the parent says and the file does not, key by key, each value whole."""
    for table in INHERITED:
        given = source.values.get(table, {})
        from_parent = inherited.values.get(table, {})
        if not isinstance(given, dict):
            continue  # refused below, with the other mistakes
        if table == "network" and given.keys() & {"layers", "python"}:
            from_parent = {}  # two ways to say the same: the file's own stands alone
        for key, value in from_parent.items():
            if key not in given:
                given[key] = value
                source.origins[table, key] = inherited.origin((table, key))
        if given:
            source.values[table] = given


def _override(source: _Source, override: str) -> None:
    """Applies one `--set TABLE.KEY=VALUE`."""
    label = f"--set {_one_line(override)}"
    dotted, equals, text = override.partition("=")
    keys = tuple(key.strip() for key in dotted.split("."))
    if not equals or len(keys) < 2 or not all(keys):
        raise DrilldownError(
            Problem(
                file=label, found=f'found "{_one_line(override)}"', expected="TABLE.KEY=VALUE, such as recipe.epochs=5"
            )
        )
    if keys[0] not in INHERITED:
        raise DrilldownError(
            Problem(
                file=label,
                found=f'unknown table "{_one_line(keys[0])}"',
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
                source.origins[keys[:depth]] = _Origin(label)
            table = table[key]
        if not isinstance(table, dict):
            raise DrilldownError(
                Problem(
                    file=label,
                    found=_one_line(f"{'.'.join(keys[:depth])} is {_literal(table)}"),
                    expected="a table to set a key of",
                )
            )
    table[keys[-1]] = value
    source.origins[keys] = _Origin(label)


def _default(key: str) -> Any:
    """What a recipe has where a file says nothing; of a table, the keys that make it what it is."""
    value = getattr(Recipe(), key, None)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    return {} if value is None else value


def _anchor_dataset(source: _Source) -> None:
    """A dataset's folder is meant from the file that names it, or from here if a `--set` does."""
    recipe = source.values.get("recipe")
    if not isinstance(recipe, dict):
        return
    dataset = recipe.get("dataset")
    if isinstance(dataset, str) and data.is_folder(dataset):
        label = source.origin(("recipe", "dataset")).label
        base = label.parent if isinstance(label, Path) else Path()
        with contextlib.suppress(ValueError, RuntimeError):  # a NUL byte, or a home that there is not
            recipe["dataset"] = str((base / Path(dataset).expanduser()).resolve())


def _located(problem: Problem, source: _Source) -> Problem:
    """A problem of a network's shapes or of the dataset that they come from, with file and line."""
    if problem.file is not None:  # what is wrong is the dataset
        found = str(dataclasses.replace(problem, expected=None, suggestion=None))
        said = dataclasses.replace(problem, place="recipe.dataset", found=found)
        return source.origin(("recipe", "dataset")).problem(("recipe", "dataset"), said)
    place = problem.place or ""
    index = place.partition("[")[2].partition("]")[0]
    where: Place = ("network", "layers", int(index)) if index.isdigit() else ("network", "layers")
    return source.origin(where).problem(where, problem)


def _problems(error: ValidationError, source: _Source) -> Iterator[Problem]:
    """Pydantic's findings in our words, each with the file and line that it comes from."""
    for detail in error.errors():
        place, model = _walk(detail["loc"])
        problem = _problem(detail, place, model)
        origin = source.origin(place)
        for table in (place, place[:-1]):
            named = source.origins.get((*table, "name"))
            if named and named is not origin:  # by a `--set`, and with the name it has other keys than the file says
                whole = f"set all of it: --set '{_spell(table)}={{ name = \"…\", … }}'"
                origin = named
                problem = dataclasses.replace(problem, suggestion=problem.suggestion or whole)
        yield origin.problem(place, problem)


def _problem(detail: ErrorDetails, place: Place, model: type[BaseModel]) -> Problem:
    said = _spell(place)
    kind, value = detail["type"], detail["input"]
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, NotationError):
        return dataclasses.replace(cause.problem, place=f'{said} "{value}"')
    if isinstance(cause, InvalidValue):
        return dataclasses.replace(cause.problem, place=said)
    if kind == "extra_forbidden":
        known = [*model.model_fields, *(["extends"] if model is Experiment else [])]
        return Problem(
            place=_spell(place[:-1]) or None,
            found=f'unknown key "{place[-1]}"',
            expected=f"one of {', '.join(known)}",
            suggestion=did_you_mean(str(place[-1]), known),
        )
    if kind == "missing":
        return Problem(place=said, found="is missing")
    if kind.startswith("union_tag"):
        choices = detail["ctx"].get("expected_tags", "").replace("'", '"') if "ctx" in detail else ""
        name = value.get("name") if isinstance(value, dict) else value
        found = f"found {_literal(name)}" if isinstance(value, dict) and "name" in value else "has no name"
        return Problem(
            place=f"{said}.name",
            found=found,
            expected=f"one of {choices}" if choices else f'a "name", as in {said} = {{ name = "…", … }}',
            suggestion=did_you_mean(str(name), choices.replace('"', "").split(", ")) if choices else None,
        )
    if kind == "model_attributes_type" and place[-1] in ("optimizer", "schedule"):
        name = value if isinstance(value, str) else "…"
        expected = f'a table, as in {said} = {{ name = "{name}", … }}'
        return Problem(place=said, found=f"found {_literal(value)}", expected=expected)
    if kind in _KINDS:
        return Problem(place=said, found=f"found {_literal(value)}", expected=_KINDS[kind])
    message = detail["msg"].removeprefix("Value error, ")
    if message.startswith("Input should be "):
        expected = message.removeprefix("Input should be ")
        suggestion = None
        if kind == "literal_error" and isinstance(value, str):
            suggestion = did_you_mean(value, [part.strip("' ") for part in expected.replace(" or ", ",").split(",")])
        return Problem(
            place=said,
            found=f"found {_literal(value)}",
            expected=expected.replace("'", '"'),
            suggestion=suggestion,
        )
    if kind == "string_pattern_mismatch":
        return Problem(place=said, found=f"found {_literal(value)}", expected='"FILE.py:CLASS", a file beside this one')
    if kind == "value_error":
        found, _, expected = message.partition(", expected ")
        return Problem(place=said, found=found, expected=expected or None)
    return Problem(place=said, found=f"found {_literal(value)}", expected=message[:1].lower() + message[1:])


def _literal(value: object) -> str:
    """A value as TOML would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_literal(item)}' for key, item in value.items())} }}" if value else "{}"
    return str(value)


def _walk(loc: tuple[int | str, ...]) -> tuple[Place, type[BaseModel]]:
    """A finding's place without the names of union members, and the table whose key it is about."""
    model: type[BaseModel] = Experiment
    place: list[str | int] = []
    choices: list[type[BaseModel]] = []
    for part in loc:
        chosen = [table for table in choices if part in _tags(table)]
        if chosen:  # not a key but the tag by which pydantic chose among tables
            model, choices = chosen[0], []
            continue
        if len(choices) == 1:
            model, choices = choices[0], []
        place.append(part)
        field = model.model_fields.get(str(part))
        choices = _tables(field.annotation) if field else []
    return tuple(place), model


def _tables(annotation: object) -> list[type[BaseModel]]:
    """The tables that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for part in get_args(annotation) for table in _tables(part)]


def _tags(table: type[BaseModel]) -> tuple[object, ...]:
    """The names by which one table is chosen among several."""
    field = table.model_fields.get("name")
    return get_args(field.annotation) if field else ()


def _spell(place: Place) -> str:
    """A place as one writes it.

    >>> _spell(("network", "layers", 3))
    'network.layers[3]'
    """
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
