"""Consoles: text from files cannot control the terminal, and layouts keep their width."""

from __future__ import annotations

import contextlib
import io

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from drilldown.terminal.console import as_text, echo, make_console, make_plain_console, make_table, print_rows

HOSTILE = "a\x1b]0;owned\x07\x9b31m\u202eb\udcff\rc\x1b[2J"
SHOWN = r"a\x1b]0;owned\x07\u009b31m\u202eb\udcff\x0dc\x1b[2J"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A console that believes to print on a colour terminal of 80 columns."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    console = make_console(stderr=False)
    console.file = io.StringIO()
    return console


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_strings_texts_tables_and_bars_show_control_characters_as_escapes(terminal: Console) -> None:
    table = make_table(["head"])
    table.add_row(HOSTILE)
    grid = Table.grid()
    grid.add_row(Text(HOSTILE))
    for shown in (HOSTILE, table, grid, Text(HOSTILE, style="bold")):
        before = len(printed(terminal))
        terminal.print(shown)
        output = printed(terminal)[before:]
        assert r"a\x1b]0;owned" in output
        for raw in ("\x1b]", "\x07", "\x9b", "\u202e", "\udcff", "\r", "\x1b[2J"):
            assert raw not in output
    with Progress(TextColumn("{task.description}", markup=False), console=terminal) as bar:
        bar.add_task(HOSTILE)
    assert "\x1b]0" not in printed(terminal)


def test_colours_and_the_cursor_of_the_display_stay(terminal: Console) -> None:
    terminal.print(Text("met", style="bold green"))
    terminal.show_cursor(False)
    assert printed(terminal) == "\x1b[1;32mmet\x1b[0m\n\x1b[?25l"


def test_a_table_with_control_characters_fits_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    table = make_table(["name"], ["figure"])
    for _ in range(3):
        table.add_row(HOSTILE * 5, "1")
    plain = make_plain_console(io.StringIO())
    plain.print(table)
    lines = printed(plain).splitlines()
    assert len(lines) > 4  # the long cells were folded
    assert max(map(len, lines)) <= 80


def test_a_row_stays_one_line_and_its_columns_stay_aligned() -> None:
    lines = as_text(print_rows, ["name", ">size", "path"], [[HOSTILE, "1", "a\nb"], ["b", "22", HOSTILE]]).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith(SHOWN)
    assert lines[1].endswith("   1  a\\nb")
    assert lines[2].endswith(f"  22  {SHOWN}")
    assert lines[1].index("1  a") == lines[2].index("2  a")


@pytest.mark.parametrize("stderr", [False, True])
def test_echo_prints_a_visible_line_to_its_stream(stderr: bool) -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        echo(f"{HOSTILE}\nsecond\tline", stderr=stderr)
    assert (err if stderr else out).getvalue() == f"{SHOWN}\nsecond\tline\n"
    assert (out if stderr else err).getvalue() == ""
