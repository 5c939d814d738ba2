"""The keyword arguments of a user's network: `arguments = { norm = "gn" }`."""

from __future__ import annotations

import contextlib
import inspect
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from drilldown.errors import DrilldownError, InvalidValueError, Problem, did_you_mean

ARGUMENTS = "network.arguments"
"""The key of an experiment file that has the arguments."""


def check_values(arguments: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a file; raises InvalidValueError where a value is a date, a time or not finite."""
    for name, value in arguments.items():
        _check_value(name, value)
    return arguments


def _check_value(name: str, value: object) -> None:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        _check_value(f"{name}[{key}]" if isinstance(value, list) else f"{name}.{key}", item)
    finite = not isinstance(value, float) or abs(value) < float("inf")  # false also for nan
    if not isinstance(value, str | bool | int | float | list | dict) or not finite:
        raise InvalidValueError(
            Problem(found=f"{name} is {value}", expected="a text, a number, true, false, an array or a table")
        )


def check_arguments(factory: Any, name: str, arguments: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Compares arguments with the signature of a class or function.

    *Returns* the arguments in the types of their annotations: an array becomes a tuple where the signature says so.

    *Raises* DrilldownError with all wrong, unknown and missing arguments, and with the signature, in one message.
    """
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # not callable, which the call reports; or written in C
        return dict(arguments)
    kinds = {parameter.kind for parameter in parameters.values()}
    by_name = {
        key: parameter
        for key, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    missing = [
        key
        for key, parameter in parameters.items()
        if key not in arguments
        and parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    unknown = [key for key in arguments if key not in by_name] if inspect.Parameter.VAR_KEYWORD not in kinds else []
    annotations = _annotations(factory)
    checked, wrong = {}, []
    for key, value in arguments.items():
        try:
            checked[key] = _convert(value, annotations.get(key, Any) if key in by_name else Any)
        except pydantic.ValidationError as error:
            wrong.append(_wrong_type(key, value, error.errors()[0]["msg"]))
    if not (missing or unknown or wrong):
        return checked
    found = [f'unknown argument "{key}"' for key in unknown] + wrong
    if missing:
        found.append(f"{name}() needs {' and '.join(missing)}")
    suggestion = next((hint for key in unknown if (hint := did_you_mean(key, by_name))), None)
    if suggestion is None and missing:
        suggestion = f"write arguments = {{ {', '.join(f'{key} = …' for key in missing)} }} in [network]"
    raise DrilldownError(
        Problem(
            file=file,
            place=ARGUMENTS,
            found=", ".join(found),
            expected=signature_text(factory, name),
            suggestion=suggestion,
        )
    )


def signature_text(factory: Any, name: str) -> str | None:
    """The call of a class or function, such as `Net(width, norm='bn')`; None where it cannot be known."""
    for resolve in (True, False):  # an annotation that cannot be resolved is shown as it is written
        with contextlib.suppress(Exception):
            signature = inspect.signature(factory, eval_str=resolve)
            return f"{name}{signature.replace(return_annotation=signature.empty)}"
    return None


def _wrong_type(key: str, value: object, reason: str) -> str:
    found = f"{key} is {json.dumps(value, ensure_ascii=False)}"
    expected = reason.removeprefix("Input should be ")
    return f"{found}, not {expected}" if expected != reason else f"{found} ({reason[:1].lower()}{reason[1:]})"


def _annotations(factory: Any) -> dict[str, Any]:
    """The types of the arguments by name; empty where an annotation cannot be resolved."""
    try:
        return typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except Exception:  # noqa: BLE001 - an annotation can be any expression; without it, the constructor decides
        return {}


def _convert(value: object, annotation: Any) -> Any:
    """The value in the type of its annotation; raises pydantic.ValidationError where it has another one.

    It is read like JSON: a number is never taken from a text, and an array can become a tuple.
    """
    try:
        adapter = pydantic.TypeAdapter(annotation)
    except pydantic.PydanticUserError:  # a type that only Python code can make
        return value
    return adapter.validate_json(json.dumps(value), strict=True)
