"""What is wrong with an experiment, said in the words of its file: each mistake with the line that it comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from drilldown.errors import InvalidValueError, Problem, did_you_mean
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.origins import KeyPath, Source
from drilldown.network.layers import NotationError

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


def explain_validation_error(error: ValidationError, source: Source) -> Iterator[Problem]:
    """Pydantic's findings in our words, each with the file and line that it comes from."""
    for detail in error.errors():
        place, model = _key_path(detail["loc"])
        problem = _problem(detail, place, model)
        origin = source.origin(place)
        for table in (place, place[:-1]):
            named = source.origins.get((*table, "name"))
            if named and named is not origin:  # by a `--set`, and with the name it has other keys than the file says
                whole = f"set all of it: --set '{_dotted(table)}={{ name = \"…\", … }}'"
                origin = named
                problem = dataclasses.replace(problem, suggestion=problem.suggestion or whole)
        yield origin.problem(place, problem)


def _problem(detail: ErrorDetails, place: KeyPath, model: type[BaseModel]) -> Problem:
    said = _dotted(place)
    kind, value = detail["type"], detail["input"]
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, NotationError):
        return dataclasses.replace(cause.problem, place=f'{said} "{value}"')
    if isinstance(cause, InvalidValueError):
        return dataclasses.replace(cause.problem, place=said)
    if kind == "extra_forbidden":
        known = [*model.model_fields, *(["extends"] if model is Experiment else [])]
        return Problem(
            place=_dotted(place[:-1]) or None,
            found=f'unknown key "{place[-1]}"',
            expected=f"one of {', '.join(known)}",
            suggestion=did_you_mean(str(place[-1]), known),
        )
    if kind == "missing":
        return Problem(place=said, found="is missing")
    if kind.startswith("union_tag"):
        choices = detail["ctx"].get("expected_tags", "").replace("'", '"') if "ctx" in detail else ""
        name = value.get("name") if isinstance(value, dict) else value
        found = f"found {toml_literal(name)}" if isinstance(value, dict) and "name" in value else "has no name"
        return Problem(
            place=f"{said}.name",
            found=found,
            expected=f"one of {choices}" if choices else f'a "name", as in {said} = {{ name = "…", … }}',
            suggestion=did_you_mean(str(name), choices.replace('"', "").split(", ")) if choices else None,
        )
    if kind == "model_attributes_type" and place[-1] in ("optimizer", "schedule"):
        name = value if isinstance(value, str) else "…"
        expected = f'a table, as in {said} = {{ name = "{name}", … }}'
        return Problem(place=said, found=f"found {toml_literal(value)}", expected=expected)
    if kind in _KINDS:
        return Problem(place=said, found=f"found {toml_literal(value)}", expected=_KINDS[kind])
    message = detail["msg"].removeprefix("Value error, ")
    if message.startswith("Input should be "):
        expected = message.removeprefix("Input should be ")
        suggestion = None
        if kind == "literal_error" and isinstance(value, str):
            suggestion = did_you_mean(value, [part.strip("' ") for part in expected.replace(" or ", ",").split(",")])
        return Problem(
            place=said,
            found=f"found {toml_literal(value)}",
            expected=expected.replace("'", '"'),
            suggestion=suggestion,
        )
    if kind == "string_pattern_mismatch":
        return Problem(
            place=said, found=f"found {toml_literal(value)}", expected='"FILE.py:CLASS", a file beside this one'
        )
    if kind == "value_error":
        found, _, expected = message.partition(", expected ")
        return Problem(place=said, found=found, expected=expected or None)
    return Problem(place=said, found=f"found {toml_literal(value)}", expected=message[:1].lower() + message[1:])


def locate_problem(problem: Problem, source: Source) -> Problem:
    """A problem of a network's shapes or of the dataset that they come from, with file and line."""
    if problem.file is not None:  # what is wrong is the dataset
        found = str(dataclasses.replace(problem, expected=None, suggestion=None))
        said = dataclasses.replace(problem, place="recipe.dataset", found=found)
        return source.origin(("recipe", "dataset")).problem(("recipe", "dataset"), said)
    place = problem.place or ""
    index = place.partition("[")[2].partition("]")[0]
    where: KeyPath = ("network", "layers", int(index)) if index.isdigit() else ("network", "layers")
    return source.origin(where).problem(where, problem)


def toml_literal(value: object) -> str:
    """A value as TOML would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(toml_literal, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml_literal(item)}' for key, item in value.items())} }}" if value else "{}"
    return str(value)


def _key_path(loc: tuple[int | str, ...]) -> tuple[KeyPath, type[BaseModel]]:
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


def _dotted(place: KeyPath) -> str:
    """A place as one writes it.

    >>> _dotted(("network", "layers", 3))
    'network.layers[3]'
    """
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
