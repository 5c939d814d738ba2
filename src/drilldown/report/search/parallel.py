"""Parallel coordinates: one axis for each dimension of a search, one line for each candidate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from drilldown.report.search.evidence import SearchEvidence, value_text
from drilldown.search.dimensions import Choice, Dimension, FloatRange, IntRange
from drilldown.search.tables import Value
from drilldown.wording import count_text

SHADES = 5
"""The number of colours: one for each fifth of the ranks."""
MOST_LINES = 200
"""The candidates with the worst ranks are left out above this number: nobody can follow more lines."""
MOST_TICKS = 12
"""A choice of more values has no ticks: their texts would overlap."""
TEXT_LENGTH = 15
"""A longer text of a tick is cut."""
STEP, TOP, BOTTOM, LEFT, HEIGHT = 104, 44, 16, 10, 360
"""The distance between two axes, the margins, and the height of the drawing, in SVG units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelAxis:
    """One axis, from 0 at the bottom to 1 at the top."""

    name: str
    """The short name."""
    full_name: str
    ticks: tuple[tuple[float, str], ...]
    """Position and text of each tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelLine:
    """One candidate."""

    number: int
    places: tuple[float | None, ...]
    """Its position on each axis; None where the dimension has no effect on this candidate."""
    shade: int
    """The fifth of its rank: 0 for the best fifth of the candidates."""
    is_winner: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """The candidates of a search on one axis for each dimension; the last axis is the loss, the lowest at the top."""

    description: str
    axes: tuple[ParallelAxis, ...]
    lines: tuple[ParallelLine, ...]
    """The worst first, so that the best are drawn above them."""
    left_out: int
    """The number of candidates with results that are not drawn."""

    @property
    def width(self) -> int:
        """The width of the drawing, in SVG units."""
        return 2 * LEFT + STEP * len(self.axes)

    @property
    def height(self) -> int:
        """The height of the drawing, in SVG units."""
        return HEIGHT

    @property
    def frame(self) -> tuple[int, int]:
        """The upper and the lower end of all axes."""
        return TOP, HEIGHT - BOTTOM

    def x(self, index: int) -> int:
        """The horizontal position of an axis."""
        return LEFT + STEP * index

    def y(self, place: float) -> float:
        """The vertical position of a place on an axis."""
        top, bottom = self.frame
        return round(bottom - place * (bottom - top), 1)

    def points(self, line: ParallelLine) -> list[tuple[int, float]]:
        """The points of a line; it passes axes that have no effect on it without a point."""
        return [(self.x(index), self.y(place)) for index, place in enumerate(line.places) if place is not None]


def parallel_coordinates(evidence: SearchEvidence) -> Parallel | None:
    """The parallel coordinates of a search; None without a candidate with a finite loss."""
    space = evidence.search.space
    changing = {name: dimension.range for name, dimension in space.dimensions.items() if dimension.changes}
    losses = {one.number: one.loss for one in evidence.told if one.loss is not None and math.isfinite(one.loss)}
    if not losses or not changing:
        return None
    ranked = sorted(losses, key=lambda number: (-evidence.ranks[number], -number))
    drawn = ranked[-MOST_LINES:]
    shown = {number: losses[number] for number in drawn}
    low, high = min(shown.values()), max(shown.values())
    winner = evidence.answer.candidate.number if evidence.answer else None
    lines = []
    for number in drawn:
        values = evidence.state.candidates[number].values
        used = space.used(values)
        places = [place_of(range_, values[name]) if name in used else None for name, range_ in changing.items()]
        text = ", ".join(f"{name} {value_text(values[name])}" for name in changing if name in used)
        lines.append(
            ParallelLine(
                number=number,
                places=(*places, 1 - _log_share(losses[number], low, high)),
                shade=min(int(SHADES * evidence.ranks[number]), SHADES - 1),
                is_winner=number == winner,
                text=f"candidate {number}: loss {losses[number]:.4f}; {text}",
            )
        )
    lines.sort(key=lambda line: line.is_winner)  # stable: the winner comes last, above all others
    names = _short_names([*changing])
    loss_name = f"mean {evidence.split} loss, log scale, the lowest at the top"
    ends = tuple((1 - _log_share(loss, low, high), f"{loss:.4f}") for loss in dict.fromkeys((high, low)))
    return Parallel(
        description=(
            f"{count_text(len(lines), 'candidate')} as lines over {count_text(len(changing), 'dimension')} and the "
            f"loss, which is {low:.4f} to {high:.4f}. The table of candidates has the values."
        ),
        axes=(
            *(ParallelAxis(name=names[name], full_name=name, ticks=ticks_of(one)) for name, one in changing.items()),
            ParallelAxis(name="loss", full_name=loss_name, ticks=ends),
        ),
        lines=tuple(lines),
        left_out=len(ranked) - len(drawn),
    )  # fmt: skip


def place_of(dimension: Dimension, value: Value) -> float:
    """The position of a value on the axis of its dimension, from 0 to 1.

    >>> place_of(IntRange(4, 16), 7), place_of(FloatRange(0.01, 1.0, log=True), 0.1), place_of(Choice(("a", "b")), "b")
    (0.25, 0.5, 1.0)
    """
    if isinstance(dimension, Choice):
        return dimension.index(value) / max(1, dimension.size - 1)
    assert isinstance(value, int | float)
    if dimension.log:
        return _log_share(value, dimension.low, dimension.high)
    return round((value - dimension.low) / (dimension.high - dimension.low), 9)


def ticks_of(dimension: Dimension) -> tuple[tuple[float, str], ...]:
    """The ticks of a dimension's axis: both ends of a range and a value between them, or the values of a choice.

    >>> ticks_of(IntRange(4, 16)), ticks_of(Choice(("gap, linear 10", "")))
    (((0.0, '4'), (0.5, '10'), (1.0, '16')), ((0.0, 'gap, linear 10'), (1.0, 'nothing')))
    """
    match dimension:
        case Choice(values):
            shown: Sequence[Value] = values if len(values) <= MOST_TICKS else ()
        case IntRange(low, high) if dimension.log or dimension.size < 3:
            shown = (low, high)
        case IntRange(low, high):
            shown = (low, dimension.at((dimension.size - 1) // 2), high)
        case FloatRange(low, high):
            shown = (low, math.sqrt(low * high) if dimension.log else (low + high) / 2, high)
    return tuple((place_of(dimension, value), _cut(value_text(value))) for value in shown)


def _log_share(value: float, low: float, high: float) -> float:
    if high <= low or low <= 0:  # a loss of 0 is on no logarithmic axis
        return (value - low) / (high - low) if high > low else 0.0
    return round(math.log(value / low) / math.log(high / low), 9)


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """The last part of each name, or the whole name where two would be the same."""
    last = [name.rpartition(".")[2] for name in names]
    return {name: part if last.count(part) == 1 else name for name, part in zip(names, last, strict=True)}


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LENGTH else f"{text[: TEXT_LENGTH - 1]}…"
