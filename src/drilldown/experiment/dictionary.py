"""An experiment from a Python dictionary: its values as those of a TOML file, and its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drilldown.errors import DrilldownError, Problem


def plain_values(document: Mapping[Any, Any]) -> dict[str, Any]:
    """Copies a dictionary with the types that TOML has: tuples become lists, numbers of NumPy and PyTorch plain ones.

    Values of other types stay, and are refused with the other errors of the experiment.

    *Raises* DrilldownError where a key is not text, or the dictionary contains itself.

    >>> plain_values({"recipe": {"epochs": torch.tensor(3), "optimizer": {"betas": (0.9, 0.99)}}})
    {'recipe': {'epochs': 3, 'optimizer': {'betas': [0.9, 0.99]}}}
    """
    try:
        return _table(document, "")
    except RecursionError:
        raise DrilldownError("the dictionary is nested too deeply") from None


def _table(table: Mapping[Any, Any], place: str) -> dict[str, Any]:
    for key in table:
        if not isinstance(key, str):
            raise DrilldownError(Problem(place=place or None, found=f"found the key {key!r}", expected="text as a key"))
    return {key: _value(value, f"{place}.{key}".lstrip(".")) for key, value in table.items()}


def _value(value: Any, place: str) -> Any:
    if isinstance(value, Mapping):
        return _table(value, place)
    if isinstance(value, list | tuple):
        return [_value(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a number of NumPy, PyTorch or another library
        return value.item()
    return value


def check_experiment_name(name: str) -> str:
    """Returns a name `study/step`, from which the folders of runs are named.

    *Raises* DrilldownError where it is not such a name.

    >>> check_experiment_name("mine/01-first")
    'mine/01-first'
    """
    parts = name.split("/") if isinstance(name, str) else []
    if len(parts) != 2 or not all(part.strip(". ") and part.isprintable() and "\\" not in part for part in parts):
        raise DrilldownError(
            Problem(place="name", found=f"found {name!r}", expected='"study/step", such as "mine/01-first"')
        )
    return name
