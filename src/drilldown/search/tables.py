"""The tables of a search file: `[search]`, and the dimensions in `[space]`."""

from __future__ import annotations

import json
import math
from random import Random
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from drilldown.errors import InvalidValueError, Problem
from drilldown.experiment.problems import toml_literal
from drilldown.search import dimensions
from drilldown.table import Positive, Table

WholeNumber = Annotated[int, Field(ge=-(10**9), le=10**9)]
Value = bool | int | float | str | list[Any] | dict[str, Any]
"""The value of a dimension: plain JSON, so that a search can be stored and repeated."""
Number = TypeVar("Number", int, float)
NEARBY = 0.15
"""The usual size of a change to a nearby value, as a fraction of the dimension's range."""


class ConfirmSettings(Table):
    """The confirmation of a winner on fresh seeds."""

    rate: Annotated[float, Field(gt=0.5, lt=1)] = 0.8
    """The share of fresh seeds that must meet the budget."""
    most: Annotated[int, Field(ge=1, le=200)] = 30
    """The largest number of fresh seeds; a candidate without a decision by then is not confirmed."""


class SearchSettings(Table):
    """The aim and the extent of a search."""

    goal: Literal["best", "smallest"] = "best"
    """`best`: the lowest validation loss within `budget.parameters`. `smallest`: the fewest parameters that meet the
    budget."""
    candidates: Annotated[int, Field(ge=1, le=100_000)] = 60
    """The largest number of candidates."""
    hours: Positive | None = None
    """The time after which no new training begins; no limit by default."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The seed of the sampler; the same seed proposes the same candidates."""
    confirm: ConfirmSettings = ConfirmSettings()
    """The confirmation of a winner on fresh seeds."""


class _Bounded(Generic[Number]):
    """The common part of IntDimension and FloatDimension."""

    if TYPE_CHECKING:
        bounds: tuple[Number, Number]
        range: Any

    @property
    def low(self) -> Number:
        """The smallest number."""
        return self.bounds[0]

    @property
    def high(self) -> Number:
        """The largest number."""
        return self.bounds[1]

    @property
    def ends(self) -> tuple[Number, ...]:
        """The numbers that are tried when a file is read: both ends."""
        return self.bounds

    @property
    def changes(self) -> bool:
        """Whether there is more than one number."""
        return self.low < self.high

    def contains(self, value: object) -> bool:
        """Whether the dimension has this value."""
        return value in self.range


class IntDimension(Table, _Bounded[int]):
    """A whole number, `{ int = [LOW, HIGH] }`: LOW, LOW + step, …, HIGH.

    >>> IntDimension(int=(4, 16), step=4).middle
    8
    """

    bounds: tuple[WholeNumber, WholeNumber] = Field(alias="int", strict=False)
    """The smallest and the largest number."""
    step: Annotated[int, Field(ge=1)] = 1
    """The distance between two neighbouring numbers; it divides HIGH − LOW."""
    log: bool = False
    """Whether ratios count, not differences: 10 to 20 is then as likely as 20 to 40."""
    start: int | None = None
    """The number of the first candidate."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        low, high = self.bounds
        _check_range(low, high, log=self.log)
        if self.log and self.step != 1:
            raise ValueError(f"found step = {self.step} with log = true, expected one of the two")
        remainder = (high - low) % self.step
        if remainder:
            smaller, larger = [low, high - remainder], [low, high - remainder + self.step]
            raise ValueError(
                f"step = {self.step} does not divide {high} − {low} = {high - low}, "
                f"expected a range such as {smaller} or {larger}"
            )
        _check_start(self, self.start)
        return self

    @property
    def range(self) -> dimensions.IntRange:
        """The dimension as the sampler sees it."""
        return dimensions.IntRange(self.low, self.high, self.step, self.log)

    @property
    def description(self) -> str:
        """The possible values in words."""
        steps = f" in steps of {self.step}" if self.step > 1 else ""
        return f"a whole number from {self.low} to {self.high}{steps}"

    @property
    def middle(self) -> int:
        """The number in the middle; with `log`, the one with the same ratio to both ends."""
        if self.log:
            return self._nearest(math.sqrt(self.low * self.high))
        return self.low + (self.high - self.low) // self.step // 2 * self.step

    def sample(self, rng: Random) -> int:
        """Draws a number."""
        if self.log:
            return self._nearest(_log_between(self.low, self.high, rng.random()))
        return rng.randrange(self.low, self.high + 1, self.step)

    def nearby(self, value: int, rng: Random) -> int:
        """Draws another number near `value`; the same number where there is no other."""
        if not self.changes:
            return value
        moved = self._nearest(_moved(value, self.low, self.high, rng.gauss(0, NEARBY), log=self.log))
        if moved != value:
            return moved
        others = [near for near in (value - self.step, value + self.step) if self.contains(near)]
        return rng.choice(others)

    def _nearest(self, number: float) -> int:
        steps = math.floor((number - self.low) / self.step + 0.5)
        return min(max(self.low + steps * self.step, self.low), self.high)


class FloatDimension(Table, _Bounded[float]):
    """A number, `{ float = [LOW, HIGH] }`."""

    bounds: tuple[float, float] = Field(alias="float", strict=False)
    """The smallest and the largest number."""
    log: bool = False
    """Whether ratios count, not differences: 0.01 to 0.02 is then as likely as 0.02 to 0.04."""
    start: float | None = None
    """The number of the first candidate."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_range(*self.bounds, log=self.log)
        _check_start(self, self.start)
        return self

    @property
    def range(self) -> dimensions.FloatRange:
        """The dimension as the sampler sees it."""
        return dimensions.FloatRange(self.low, self.high, self.log)

    @property
    def description(self) -> str:
        """The possible values in words."""
        return f"a number from {self.low} to {self.high}"

    @property
    def middle(self) -> float:
        """The number in the middle; with `log`, the one with the same ratio to both ends."""
        return self._between(0.5)

    def sample(self, rng: Random) -> float:
        """Draws a number."""
        return self._between(rng.random())

    def nearby(self, value: float, rng: Random) -> float:
        """Draws another number near `value`; the same number where there is no other."""
        if not self.changes:
            return value
        for _ in range(20):  # at an end of the range, half of the draws move nothing
            moved = _moved(value, self.low, self.high, rng.gauss(0, NEARBY), log=self.log)
            if moved != value:
                return moved
        return self.high if value == self.low else self.low  # the range is as narrow as the precision of numbers

    def _between(self, fraction: float) -> float:
        if self.log:
            number = _log_between(self.low, self.high, fraction)
        else:
            number = self.low * (1 - fraction) + self.high * fraction
        return min(max(number, self.low), self.high)


class Choice(Table):
    """One value of several, `{ one_of = [VALUE, …] }`.

    In a layer, a value is text or a number, and text can contain names itself. For a setting of the recipe, it can be
    anything that the setting can be, also a whole table. The first value of a choice in a layer is the one of the first
    candidate.
    """

    values: tuple[Any, ...] = Field(alias="one_of", min_length=1, max_length=1000, strict=False)
    """The values."""

    @field_validator("values")
    @classmethod
    def _plain_and_different(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        keys = set()
        for value in values:
            try:
                key = _identity(value)
            except (TypeError, ValueError):  # a date, or a number that is not finite
                expected = "strings, finite numbers, true, false, arrays or tables"
                raise InvalidValueError(Problem(found=f"found {toml_literal(value)}", expected=expected)) from None
            if key in keys:
                found = f"{toml_literal(value)} is given twice"
                raise InvalidValueError(Problem(found=found, expected="different values"))
            keys.add(key)
        return values

    @property
    def range(self) -> dimensions.Choice:
        """The dimension as the sampler sees it."""
        return dimensions.Choice(self.values)

    @property
    def description(self) -> str:
        """The possible values in words."""
        return f"one of {', '.join(map(toml_literal, self.values))}"

    @property
    def start(self) -> None:
        """None: the first value, or the recipe's own, is the one of the first candidate."""

    @property
    def middle(self) -> Value:
        """The first value."""
        return self.values[0]  # type: ignore[no-any-return]

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values that are tried when a file is read: all."""
        return self.values

    @property
    def changes(self) -> bool:
        """Whether there is more than one value."""
        return len(self.values) > 1

    def contains(self, value: object) -> bool:
        """Whether the dimension has this value; 1, 1.0 and true are different."""
        return value in self.range

    def sample(self, rng: Random) -> Value:
        """Draws a value."""
        return rng.choice(self.values)  # type: ignore[no-any-return]

    def nearby(self, value: Value, rng: Random) -> Value:
        """Draws another value; of numbers, the next smaller or larger one. The same value where there is no other."""
        if not self.changes:
            return value
        others = [other for other in self.values if _identity(other) != _identity(value)]
        if all(isinstance(each, int | float) and not isinstance(each, bool) for each in self.values):
            smaller, larger = [o for o in others if o <= value], [o for o in others if o > value]
            others = [*([max(smaller)] if smaller else []), *([min(larger)] if larger else [])]
        return rng.choice(others)  # type: ignore[no-any-return]


Dimension = IntDimension | FloatDimension | Choice
"""One thing that a search varies."""
KINDS: dict[str, type[IntDimension] | type[FloatDimension] | type[Choice]] = {
    "int": IntDimension, "float": FloatDimension, "one_of": Choice
}  # fmt: skip
"""The kinds of dimensions by the key that chooses them."""


def _check_range(low: float, high: float, *, log: bool) -> None:
    if low > high:
        raise ValueError(f"found [{low}, {high}], expected the smallest number first")
    if log and low <= 0:
        raise ValueError(f"found [{low}, {high}] with log = true, expected numbers above 0")


def _check_start(dimension: IntDimension | FloatDimension, start: float | None) -> None:
    if start is not None and not dimension.contains(start):
        raise ValueError(f"start = {start} is not in the range, expected one of its numbers")


def _log_between(low: float, high: float, fraction: float) -> float:
    return math.exp(math.log(low) * (1 - fraction) + math.log(high) * fraction)


def _moved(value: float, low: float, high: float, distance: float, *, log: bool) -> float:
    """Returns a number at a distance from `value`; the unit is the range, with `log` of the logarithms."""
    if log:
        low_log, high_log = math.log(low), math.log(high)
        moved = math.exp(min(max(math.log(value) + distance * (high_log - low_log), low_log), high_log))
    else:
        moved = value + distance * (high - low)
    return min(max(moved, low), high)


def _identity(value: object) -> str:
    """Returns text that is the same for equal values, and differs between 1, 1.0 and true."""
    return json.dumps(value, sort_keys=True, allow_nan=False)
