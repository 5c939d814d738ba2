"""Reports how many files of a dataset are read, to the part of the program that shows progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

OnReading = Callable[[str, int, int], None]
"""A function of a description, the number of items that are read, and their total number."""
Item = TypeVar("Item")

_display: OnReading | None = None


def show_reading(display: OnReading | None) -> None:
    """Says who shows that a dataset is read; None: nobody. A dataset can be read at many places of a command."""
    global _display
    _display = display


def reading(items: Sequence[Item], description: str) -> Iterator[Item]:
    """Yields items and tells the display how many were read.

    >>> show_reading(lambda what, done, total: print(what, done, "of", total))
    >>> list(reading("ab", "letters"))
    letters 0 of 2
    letters 1 of 2
    letters 2 of 2
    ['a', 'b']
    >>> show_reading(None)
    """
    for number, item in enumerate(items):
        if _display:
            _display(description, number, len(items))
        yield item
    if _display:
        _display(description, len(items), len(items))
