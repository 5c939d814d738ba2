"""Tables for spreadsheets: a text stays a text, a number a number."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from drilldown.terminal.csv_table import FORMULA, csv_text

TEXTS = st.text() | st.sampled_from(["=1+1", "  =cmd()", "\t@x", "-2", "a,b", 'a "b"', "two\nlines", "+1\r\n=2", "＝1"])
CELLS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@given(st.lists(CELLS, min_size=1, max_size=4))
def test_every_reader_gets_numbers_and_harmless_texts_in_one_line(cells: list[str | int | float | bool | None]) -> None:
    names = [f"column{index}" for index in range(len(cells))]
    text = csv_text(names, [dict(zip(names, cells, strict=True))])
    assert len(text.split("\r\n")) == 3
    _, row = read(text) if len(cells) > 1 or cells[0] not in (None, "") else (None, [""])
    for cell, found in zip(cells, row, strict=True):
        if isinstance(cell, bool) or cell is None:
            assert found == {None: "", True: "true", False: "false"}[cell]
        elif isinstance(cell, int | float):
            assert type(cell)(found) == cell
        else:
            assert not found.lstrip().startswith(FORMULA)
