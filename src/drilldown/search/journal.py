"""`search.jsonl`: what happened in a search, line by line; enough to continue it after any end.

A line holds a decision of the search or a result that it learned, in the order in which it learned them. So a candidate
was proposed from the lines above its own, and the same lines give the same next candidate. The trainings themselves are
ordinary runs in folders of their own.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from drilldown.errors import DrilldownError, Problem
from drilldown.files import (
    append,
    busy_folder,
    damaged_file,
    explain_write_errors,
    file_digest,
    lock_folder,
    unwritable_run,
)

JOURNAL = "search.jsonl"
CHECK = "check"
"""The key with the start of the SHA-256 of a line's other values."""
LOCK_SECONDS = 1.0

Event = Mapping[str, Any]
"""One line: plain JSON values, and `kind`."""


class SearchBusyError(DrilldownError):
    """Another process works on this search."""


class Journal:
    """The journal of one search; its owner holds the folder's lock, see `open_journal`."""

    def __init__(self, folder: Path) -> None:
        """Reads the journal, which is made if it is missing; a part of a last line is removed."""
        self.file = folder / JOURNAL
        content = self.file.read_bytes() if self.file.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]  # a killed process may have left a part of a line
        self.events: list[Event] = list(read_lines(whole, self.file))
        """The events so far."""
        self._size = len(whole)
        if not self.file.exists() or len(whole) < len(content):
            with self.file.open("r+b" if content else "wb") as opened:
                opened.truncate(len(whole))

    def write(self, event: Event) -> None:
        """Appends an event; raises DrilldownError where the file cannot be written."""
        line = line_of(event)
        with explain_write_errors(self.file.parent):
            append(self.file, line, self._size)
        self._size += len(line)
        self.events.append(event)


@contextlib.contextmanager
def open_journal(folder: Path) -> Iterator[Journal]:
    """Opens the journal in a folder, which is made if it is missing, and keeps other processes out.

    *Raises* SearchBusyError where another process works on this search; DrilldownError where the journal is damaged or
    cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock_folder(folder, LOCK_SECONDS))
            journal = Journal(folder)
        except filelock.Timeout:
            raise SearchBusyError(
                busy_folder(
                    folder,
                    "another process works on this search",
                    "wait for it; it can train on more machines with --on",
                )
            ) from None
        except OSError as error:
            raise unwritable_run(folder, error) from None
        yield journal


def read_journal(folder: Path) -> list[Event]:
    """Reads the events of a search, also while it runs; empty where there is none.

    *Raises* DrilldownError where a line is damaged.
    """
    file = folder / JOURNAL
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise damaged_file(file, error) from None
    return list(read_lines(content[: content.rfind(b"\n") + 1], file))


def read_lines(content: bytes, file: Path) -> Iterator[Event]:
    """Reads whole lines; raises DrilldownError at the first damaged one."""
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            event = json.loads(line)
            check = event.pop(CHECK)
            if check != _check(event) or not isinstance(event["kind"], str):
                raise ValueError("its checksum is wrong")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DrilldownError(
                Problem(
                    file=file,
                    line=number,
                    found=f"the line is damaged ({str(error) or type(error).__name__})",
                    suggestion="delete this line and those after it: what they say is then done again from the runs",
                )
            ) from None
        yield event


def line_of(event: Event) -> bytes:
    """Returns the line of an event.

    >>> line_of({"kind": "limit", "limit": 8000})
    b'{"kind": "limit", "limit": 8000, "check": "fd7fb3a6"}\\n'
    """
    return (json.dumps({**event, CHECK: _check(event)}, ensure_ascii=False) + "\n").encode()


def _check(event: Event) -> str:
    return file_digest(json.dumps(event, sort_keys=True).encode())[:8]
