"""Consoles, marks and rows: what all terminal output shares."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

PLAIN: dict[str, Any] = {"highlight": False, "soft_wrap": True, "markup": False, "emoji": False}


def console(*, stderr: bool) -> Console:
    """A console without rich's guesses at what in a text is a number, a path, a tag or an emoji."""
    return Console(stderr=stderr, **PLAIN)


def as_text(show: Callable[..., None], *what: Any) -> str:
    """What one of the functions below would print, as text: for `print` in Python.

    >>> print(as_text(print_verdict, Verdict((), "test")))
    No budget is set, so there is nothing to judge.
    """
    sink = io.StringIO()
    show(Console(file=sink, force_terminal=False, force_jupyter=False, **PLAIN), *what)
    return sink.getvalue().strip("\n")


def mark(target: Console, met: bool) -> str:
    """A sign for met or missed that the terminal's encoding has; never colour alone."""
    if target.encoding.lower().startswith("utf"):
        return "✓" if met else "✗"
    return "+" if met else "x"


def print_rows(target: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table whose last column, names of any length, is never cut nor folded: it can be copied at any width.

    *Arguments*: `heads`: with a `>` before those whose column stands right.
    """
    names = [head.removeprefix(">") for head in heads]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    widths[-1] = 0

    def line(cells: Sequence[str]) -> str:
        aligned = zip(cells, heads, widths, strict=True)
        return "  ".join(c.rjust(width) if head[0] == ">" else c.ljust(width) for c, head, width in aligned)

    target.print(Text(line(names), style="bold"))
    for row in rows:
        target.print(line(row))
