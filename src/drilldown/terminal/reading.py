"""Shows that the files of a dataset are read: a bar in a terminal, one line elsewhere."""

from __future__ import annotations

from drilldown.terminal.console import make_console
from drilldown.terminal.live import TerminalBar

MANY = 1_000
"""Fewer files are read in a moment, without a word."""
_bars: list[TerminalBar] = []


def show(what: str, done: int, total: int) -> None:
    """Shows the number of files that are read. *Arguments*: as of `drilldown.data.progress.OnReading`."""
    if total < MANY:
        return
    console = make_console(stderr=True)
    if not console.is_terminal:
        if done == 0:
            console.print(f"reading {total:,} {what}; later commands find them in the cache")
        return
    if done == 0:
        _bars.append(TerminalBar(console, what, total))
    if _bars and (done % 100 == 0 or done == total):
        _bars[-1].update(done, total, f"{done:,} of {total:,}")
    if _bars and done == total:
        _bars.pop().stop()
