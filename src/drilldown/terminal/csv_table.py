"""Tables as CSV (RFC 4180), for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Mapping, Sequence

from drilldown.runs.row import Cell
from drilldown.wording import visible_text

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""A spreadsheet may compute a cell that begins with one of these, also after blanks."""


def print_csv(columns: Sequence[str], rows: Sequence[Mapping[str, Cell]]) -> None:
    """Prints a table to standard output; see `csv_text`."""
    text = csv_text(columns, rows)
    sys.stdout.write(text.replace("\r\n", "\n") if os.linesep == "\r\n" else text)  # Windows adds the \r itself
    sys.stdout.flush()


def csv_text(columns: Sequence[str], rows: Sequence[Mapping[str, Cell]]) -> str:
    """A table with one line for the names of the columns and one for each row.

    >>> print(csv_text(["title", "n", "met"], [{"title": "=1+1", "n": -1234.5, "met": True}, {"title": "a, b"}]))
    title,n,met
    '=1+1,-1234.5,true
    "a, b",,
    """
    sink = io.StringIO()
    table = csv.writer(sink)  # its default is RFC 4180
    table.writerow(columns)
    table.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return sink.getvalue()


def _cell(value: Cell) -> str:
    """Writes a number without separators; a text stays a text, in one line, also where it begins like a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = visible_text(value).replace("\n", "\\n").replace("\t", "\\t")
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text
