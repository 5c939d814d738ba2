"""Consoles, tables and marks, which all terminal output shares."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from drilldown.wording import visible_text

PLAIN: dict[str, Any] = {"highlight": False, "soft_wrap": True, "markup": False, "emoji": False}


class _SafeConsole(Console):
    """A console that prints no control character from a text; rich's own colours and cursor movements stay."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Makes a string visible before its width is measured, so that tables keep their layout."""
        return super().render_str(visible_text(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Makes every text visible that is printed, whichever object it came from."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible_text(segment.text), segment.style)


def make_console(*, stderr: bool) -> Console:
    """Makes a console without rich's highlighting of numbers, paths, tags and emoji."""
    return _SafeConsole(stderr=stderr, **PLAIN)


def make_plain_console(file: IO[str]) -> Console:
    """Makes a console that prints lines without colours into a stream, even where this is a terminal or a notebook."""
    return _SafeConsole(file=file, force_terminal=False, force_jupyter=False, **PLAIN)


def echo(text: object, *, stderr: bool = False, end: str = "\n") -> None:
    """Prints a text without control characters to standard output or standard error, at once."""
    print(visible_text(str(text)), file=sys.stderr if stderr else sys.stdout, flush=True, end=end)


def as_text(show: Callable[..., None], *arguments: Any) -> str:
    """Returns the output of a print function as text, for `print` in Python.

    >>> as_text(print_rows, ["name", ">size"], [["a", "1"]]).split()
    ['name', 'size', 'a', '1']
    """
    sink = io.StringIO()
    show(make_plain_console(sink), *arguments)
    return sink.getvalue().strip("\n")


def mark(target: Console, met: bool) -> str:
    """Returns a sign for met or not met, in the terminal's encoding; the meaning never depends on colour alone."""
    if target.encoding.lower().startswith("utf"):
        return "✓" if met else "✗"
    return "+" if met else "x"


def make_table(left: Sequence[str], right: Sequence[str] = ()) -> Table:
    """Makes a table without lines; the columns named in `right` are aligned to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right")
    return table


def print_rows(target: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table whose last column is never cut or folded: it can be copied at any width.

    *Arguments*: `heads`: column heads; a `>` aligns a column to the right.
    """
    names = [head.removeprefix(">") for head in heads]
    rows = [[visible_text(cell).replace("\n", "\\n") for cell in row] for row in rows]  # a row stays one line
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    widths[-1] = 0

    def line(cells: Sequence[str]) -> str:
        aligned = zip(cells, heads, widths, strict=True)
        return "  ".join(c.rjust(width) if head[0] == ">" else c.ljust(width) for c, head, width in aligned)

    target.print(Text(line(names), style="bold"))
    for row in rows:
        target.print(line(row))
