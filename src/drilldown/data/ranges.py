"""Ranges of random numbers: the largest change alone, or the lowest and the highest value as PyTorch writes them.

A wrong value is one message with the value and what is expected.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator

from drilldown.errors import InvalidValueError, Problem

Number = float | tuple[float, float]
"""The largest change; or two numbers, whose meaning depends on the setting."""


def spread(value: Number, middle: float = 0.0) -> tuple[float, float]:
    """The lowest and the highest value of a range that is written as the largest change, or as both values.

    >>> spread(7.0), spread((-5.0, 10.0)), spread(0.5, middle=1.0)
    ((-7.0, 7.0), (-5.0, 10.0), (0.5, 1.5))
    """
    return value if isinstance(value, tuple) else (middle - value, middle + value)


def fraction_of(length: float, side: int) -> float:
    """A length as a fraction of an image's side: below 1 it is a fraction already, from 1 on it is in pixels.

    >>> fraction_of(0.1, 28), fraction_of(7.0, 28)
    (0.1, 0.25)
    """
    return length if length < 1 else length / side


def _checks(check: Callable[[Any], Number | None], expected: str) -> BeforeValidator:
    """A validator; `check` returns the value as it is stored, or None where it is wrong."""

    def validate(value: object) -> Number:
        checked = check(value) if _is_number(value) or _is_pair(value) else None
        if checked is None:
            found = f"found {json.dumps(value, default=str, ensure_ascii=False)}"
            raise InvalidValueError(Problem(found=found, expected=expected))
        return checked

    return BeforeValidator(validate)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))


def _check_angles(below: float, *, inclusive: bool = False) -> Callable[[Any], Number | None]:
    def is_angle(angle: float) -> bool:
        return abs(angle) < below or (inclusive and abs(angle) == below)

    def check(value: Any) -> Number | None:
        if not _is_pair(value):
            return float(value) if value >= 0 and is_angle(value) else None
        low, high = map(float, value)
        if not (low <= high and is_angle(low) and is_angle(high)):
            return None
        return high if low == -high else (low, high)  # one spelling of a range has one fingerprint

    return check


def _check_change(value: Any) -> Number | None:
    if not _is_pair(value):
        return float(value) if 0 <= value < 1 else None
    low, high = map(float, value)
    return (low, high) if 0 <= low <= high else None


def _check_length(value: Any) -> float | None:
    is_length = 0 <= value < 1 or (value >= 1 and float(value).is_integer())
    return float(value) if is_length else None


def _check_lengths(value: Any) -> Number | None:
    if not _is_pair(value):
        return _check_length(value)
    across, down = map(_check_length, value)
    if across is None or down is None:
        return None
    return across if across == down else (across, down)


def _check_area(value: Any) -> Number | None:
    low, high = value if _is_pair(value) else (value, value)
    return (float(low), float(high)) if 0 <= low <= high < 1 else None


Degrees = Annotated[Number, _checks(_check_angles(180, inclusive=True), "a number from 0 to 180, or [lowest, highest]")]
Shear = Annotated[Number, _checks(_check_angles(90), "a number from 0 to below 90, or [lowest, highest]")]
Change = Annotated[
    Number, _checks(_check_change, "a number from 0 to below 1, or [lowest, highest] factor, as in [0.8, 1.2]")
]
Translate = Annotated[
    Number,
    _checks(
        _check_lengths,
        "the largest shift: a fraction below 1 or whole pixels, or two of them for width and height, as in [0.1, 0.1]",
    ),
]
Size = Annotated[
    float,
    _checks(
        lambda value: None if _is_pair(value) or value in (0, 1) else _check_length(value),
        "a fraction above 0 and below 1, or at least 2 whole pixels",
    ),
]
Area = Annotated[
    tuple[float, float], _checks(_check_area, "a fraction of the image, or [smallest, largest], as in [0.02, 0.33]")
]


def times(value: Number, factor: float, most: float) -> Number:
    """A largest change, or both ends of a range around 0, multiplied by a factor."""
    if isinstance(value, tuple):
        low, high = (round(max(-most, min(end * factor, most)), 6) for end in value)
        return low, high
    return round(min(value * factor, most), 6)


def times_around_one(ends: tuple[float, float], factor: float, least: float, most: float) -> tuple[float, float]:
    """Both ends of a range around 1: their distances from 1 multiplied by a factor."""
    low, high = (round(min(max(1 + (end - 1) * factor, least), most), 6) for end in ends)
    return low, high
