"""The dimensions of a search's space as the sampler sees them: whole numbers, real numbers, and choices."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class IntRange:
    """Whole numbers from `low` to `high`, `step` apart; raises ValueError where that is no range.

    >>> IntRange(4, 16, step=4).size, 8 in IntRange(4, 16, step=4), 9 in IntRange(4, 16, step=4)
    (4, True, False)
    """

    low: int
    high: int
    """It is in the range: `high - low` is a multiple of `step`."""
    step: int = 1
    log: bool = False
    """Whether each doubling has the same probability; then `low` is 1 or more."""

    def __post_init__(self) -> None:
        if self.step < 1 or self.low > self.high or (self.high - self.low) % self.step:
            raise ValueError(f"found {self}, expected low ≤ high with a whole number of steps between them")
        if self.log and self.low < 1:
            raise ValueError(f"found {self}, expected low ≥ 1 for a logarithmic range")

    def __contains__(self, value: object) -> bool:
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
            and (value - self.low) % self.step == 0
        )

    @property
    def size(self) -> int:
        """The number of values."""
        return (self.high - self.low) // self.step + 1

    def at(self, index: int) -> int:
        """The value at an index from 0 to `size` - 1, in ascending order."""
        return self.low + index * self.step


@dataclass(frozen=True, slots=True)
class FloatRange:
    """Real numbers from `low` to `high`; raises ValueError where that is no range.

    >>> 0.1 in FloatRange(0.05, 0.5, log=True), FloatRange(0.05, 0.5).size
    (True, None)
    """

    low: float
    high: float
    log: bool = False
    """Whether each doubling has the same probability; then `low` is above 0."""

    def __post_init__(self) -> None:
        if not -math.inf < self.low <= self.high < math.inf:
            raise ValueError(f"found {self}, expected finite numbers, low ≤ high")
        if self.log and self.low <= 0:
            raise ValueError(f"found {self}, expected low > 0 for a logarithmic range")

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    @property
    def size(self) -> int | None:
        """The number of values; None where they cannot be counted."""
        return 1 if self.low == self.high else None

    def at(self, index: int) -> float:
        """The value at index 0 of a range whose ends are equal."""
        return (float(self.low),)[index]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several JSON values, in no order: texts, numbers, booleans, lists or tables.

    Values are the same where their JSON is: 1, 1.0 and true differ. Raises ValueError for no value, or a value twice.

    >>> True in Choice((0, 1)), {"a": 1, "b": 2} in Choice(("none", {"b": 2, "a": 1}))
    (False, True)
    """

    values: tuple[Any, ...]
    _indices: dict[str, int] = field(init=False, repr=False, compare=False)
    """The index of each value by its JSON, which is computed once: a long search looks up thousands of values."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_indices", {json_text(value): index for index, value in enumerate(self.values)})
        if not self.values or len(self._indices) < len(self.values):
            raise ValueError(f"found {self}, expected one value or more, each once")

    def __contains__(self, value: object) -> bool:
        return json_text(value) in self._indices

    @property
    def size(self) -> int:
        """The number of values."""
        return len(self.values)

    def at(self, index: int) -> Any:
        """The value at an index from 0 to `size` - 1."""
        return self.values[index]

    def index(self, value: object) -> int:
        """The index of a value; raises KeyError where it is not among the values."""
        return self._indices[json_text(value)]


Dimension = IntRange | FloatRange | Choice


def space_size(dimensions: Mapping[str, Dimension]) -> int | None:
    """The number of combinations; None where they cannot be counted.

    >>> space_size({"width": IntRange(4, 16, step=4), "head": Choice(("gap", "flatten"))})
    8
    """
    sizes = [dimension.size for dimension in dimensions.values()]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def json_text(value: object) -> str:
    """The JSON of a value, the same for the same value: keys are sorted."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
