"""Error messages for an experiment file: pydantic's errors in the words of the file, each with its line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from drilldown.errors import InvalidValueError, Problem, did_you_mean
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.hints import choice_called, number_hint, setting_hint, suggest_choice
from drilldown.experiment.origins import Source
from drilldown.experiment.toml_lines import KeyPath
from drilldown.network.layers import NotationError

OTHER_KEYS = ("extends", "search", "space")
"""The keys of a file that are not part of the experiment."""
_EXPECTED = {
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
    "tuple_type": "an array",
    "too_long": "an array of fewer items",
    "too_short": "an array of more items",
    "string_type": "a string",
    "string_too_short": "some text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
}
"""The expected value for pydantic's error types whose own messages are about Python."""


def explain_validation_error(
    error: ValidationError, source: Source, *, table: type[BaseModel] = Experiment, at: KeyPath = ()
) -> Iterator[Problem]:
    """Turns pydantic's errors into problems, each with its file and line.

    *Arguments*: `table`: the table that was read. `at`: the key path of this table in the file.
    """
    for detail in error.errors():
        inner_path, model = _key_path(detail["loc"], table)
        key_path = (*at, *inner_path)
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, NotationError):
            key_path += cause.path
        problem = _problem(detail, key_path, model)
        origin = source.origin(key_path)
        for named in (key_path, key_path[:-1]):
            origin_of_name = source.origins.get((*named, "name"))
            if origin_of_name and origin_of_name is not origin:  # the name was changed, and so the valid keys
                whole = '{ name = "…", … }'
                suggestion = f"set the whole table: --set '{_dotted(named)}={whole}'"
                if origin_of_name.key_path:
                    suggestion = f'choose among whole tables: "{_dotted(named)}" = {{ one_of = [{whole}, …] }}'
                origin = origin_of_name
                problem = dataclasses.replace(problem, suggestion=problem.suggestion or suggestion)
        yield origin.problem(key_path, problem)


def _problem(detail: ErrorDetails, key_path: KeyPath, model: type[BaseModel]) -> Problem:
    key = _dotted(key_path)
    error_type, value = detail["type"], detail["input"]
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, NotationError):
        return dataclasses.replace(cause.problem, place=key if cause.text is None else f'{key} "{cause.text}"')
    if isinstance(cause, InvalidValueError):
        return dataclasses.replace(cause.problem, place=key)
    if error_type == "extra_forbidden":
        fields = [field.alias or name for name, field in model.model_fields.items()]
        known = [*fields, *(OTHER_KEYS if model is Experiment else [])]
        return Problem(
            place=_dotted(key_path[:-1]) or None,
            found=f'unknown key "{key_path[-1]}"',
            expected=f"one of {', '.join(known)}",
            suggestion=setting_hint(key_path) or did_you_mean(str(key_path[-1]), known),
        )
    if error_type == "missing":
        return Problem(place=key, found="is missing")
    if error_type.startswith("union_tag"):
        choices = detail["ctx"].get("expected_tags", "").replace("'", '"') if "ctx" in detail else ""
        name = value.get("name") if isinstance(value, dict) else value
        found = f"found {toml_literal(name)}" if isinstance(value, dict) and "name" in value else "has no name"
        return Problem(
            place=f"{key}.name",
            found=found,
            expected=f"one of {choices}" if choices else f'a "name", as in {key} = {{ name = "…", … }}',
            suggestion=suggest_choice(str(name), choices.replace('"', "").split(", ")) if choices else None,
        )
    if error_type == "model_attributes_type" and key_path[-1] in ("optimizer", "schedule"):
        name = choice_called(value) or value if isinstance(value, str) else "…"
        expected = f'a table, as in {key} = {{ name = "{name}", … }}'
        return Problem(place=key, found=f"found {toml_literal(value)}", expected=expected)
    if error_type in _EXPECTED:
        hint = number_hint(value) if isinstance(value, str) and "number" in _EXPECTED[error_type] else None
        return Problem(place=key, found=f"found {toml_literal(value)}", expected=_EXPECTED[error_type], suggestion=hint)
    message = detail["msg"].removeprefix("Value error, ")
    if message.startswith("Input should be "):
        expected = message.removeprefix("Input should be ")
        suggestion = None
        if error_type == "literal_error" and isinstance(value, str):
            suggestion = did_you_mean(value, [part.strip("' ") for part in expected.replace(" or ", ",").split(",")])
        return Problem(
            place=key,
            found=f"found {toml_literal(value)}",
            expected=expected.replace("'", '"'),
            suggestion=suggestion,
        )
    if error_type == "string_pattern_mismatch":
        return Problem(
            place=key, found=f"found {toml_literal(value)}", expected='"FILE.py:CLASS", a file in the same folder'
        )
    if error_type == "value_error":
        found, _, expected = message.partition(", expected ")
        return Problem(place=key, found=found, expected=expected or None)
    return Problem(place=key, found=f"found {toml_literal(value)}", expected=message[:1].lower() + message[1:])


def locate_problem(problem: Problem, source: Source) -> Problem:
    """Adds file and line to a problem of the layout: with the network's shapes, or with the dataset's files."""
    if problem.file is not None:  # a problem with the dataset's files
        found = str(dataclasses.replace(problem, expected=None, suggestion=None))
        of_dataset = dataclasses.replace(problem, place="recipe.dataset", found=found)
        return source.origin(("recipe", "dataset")).problem(("recipe", "dataset"), of_dataset)
    place = re.match(r"network(\.\w+|\[\d+\])*", problem.place or "")
    parts = re.findall(r"\w+", place[0]) if place else []
    key_path: KeyPath = tuple(int(part) if part.isdigit() else part for part in parts) or ("network", "layers")
    if key_path == ("network",):
        key_path = ("network", "layers")
    return source.origin(key_path).problem(key_path, problem)


def toml_literal(value: object) -> str:
    """Formats a value as TOML.

    >>> toml_literal({"name": "sgd", "nesterov": True})
    '{ name = "sgd", nesterov = true }'
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(toml_literal, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml_literal(item)}' for key, item in value.items())} }}" if value else "{}"
    return str(value)


def _key_path(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[KeyPath, type[BaseModel]]:
    """Returns the key path of an error, without the names of union members, and the table of its last key."""
    key_path: list[str | int] = []
    choices: list[type[BaseModel]] = []
    for part in loc:
        chosen = [table for table in choices if part in _tags(table)]
        if chosen:  # not a key, but the name by which pydantic chose one of several tables
            model, choices = chosen[0], []
            continue
        if len(choices) == 1:
            model, choices = choices[0], []
        key_path.append(part)
        field = model.model_fields.get(str(part))
        choices = tables_of(field.annotation) if field else []
    return tuple(key_path), model


def tables_of(annotation: object) -> list[type[BaseModel]]:
    """Returns the tables that a field can contain."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for part in get_args(annotation) for table in tables_of(part)]


def _tags(table: type[BaseModel]) -> tuple[object, ...]:
    """Returns the names that choose this table among several."""
    field = table.model_fields.get("name")
    return get_args(field.annotation) if field else ()


def _dotted(key_path: KeyPath) -> str:
    """Formats a key path as text.

    >>> _dotted(("network", "layers", 3))
    'network.layers[3]'
    """
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key_path).lstrip(".")
