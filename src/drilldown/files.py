"""Files that are there whole or not at all, and what is said where the operating system will not have it so."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drilldown.errors import DrilldownError, Problem


def write_atomically(file: Path, content: bytes) -> None:
    """Writes a file whole or not at all, and so that it is still there after a power cut."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        with partial.open("wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(partial, file)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the rename itself; Windows has no way to ask for it
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def json_bytes(document: dict[str, Any]) -> bytes:
    """A document as a file has it, to be read by people too."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def read_json(file: Path) -> dict[str, Any]:
    """What a file says, empty where there is none; raises DrilldownError where it is no document."""
    if not file.is_file():
        return {}
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise damaged_file(file, error) from None
    if not isinstance(document, dict):
        raise damaged_file(file, "not a table")
    return document


@contextlib.contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """Turns what the operating system says about writing into a run's folder into a message."""
    try:
        yield
    except OSError as error:
        raise unwritable_run(folder, error) from None


def unwritable_run(folder: Path, error: OSError) -> DrilldownError:
    """What to say where a run's folder cannot be written to."""
    suggestion = "name another folder with --runs"
    if isinstance(error, FileNotFoundError):
        found = "the run's folder has been deleted or moved under way"
        suggestion = "start the run again"
    elif error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        found = f"there is no room left to save the run ({error.strerror})"
        suggestion = "what was saved before is intact: make room, then repeat the command to go on"
    else:
        found = f"the run cannot be written here ({error.strerror})"
    return DrilldownError(Problem(file=folder, found=found, suggestion=suggestion))


def damaged_file(file: Path, error: Exception | str) -> DrilldownError:
    """What to say of a run's file that cannot be read."""
    reason = isinstance(error, OSError) and error.strerror
    return DrilldownError(
        Problem(
            file=file,
            found=f"cannot be read ({reason or error})",
            suggestion="train the run anew with drilldown run … --again",
        )
    )


@contextlib.contextmanager
def explain_file_errors(file: Path) -> Iterator[None]:
    """Turns what the operating system says about writing a file that a user named into a message."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DrilldownError(Problem(file=file, found=f"cannot be written ({reason})")) from None
