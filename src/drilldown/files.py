"""Atomic writes, JSON, and messages for errors of the operating system."""

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
    """Writes a file whole or not at all; after the call it survives a power cut."""
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
    if os.name == "posix":  # saves the rename itself; Windows offers no call for it
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def json_bytes(document: dict[str, Any]) -> bytes:
    """A document as the bytes of a JSON file, indented for human readers."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def read_json(file: Path) -> dict[str, Any]:
    """Reads a JSON object; empty where there is no file; raises DrilldownError where the file is damaged."""
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
    """Turns errors while writing into a run's folder into one message."""
    try:
        yield
    except OSError as error:
        raise unwritable_run(folder, error) from None


def unwritable_run(folder: Path, error: OSError) -> DrilldownError:
    """The error for a run's folder that cannot be written to."""
    suggestion = "name another folder with --runs"
    if isinstance(error, FileNotFoundError):
        found = "the run's folder was deleted or moved during training"
        suggestion = "start the run again"
    elif error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        found = f"there is no space left to save the run ({error.strerror})"
        suggestion = "everything saved before is intact: free some space, then repeat the command to resume"
    else:
        found = f"the run cannot be written here ({error.strerror})"
    return DrilldownError(Problem(file=folder, found=found, suggestion=suggestion))


def damaged_file(file: Path, error: Exception | str) -> DrilldownError:
    """The error for a run's file that cannot be read."""
    reason = isinstance(error, OSError) and error.strerror
    return DrilldownError(
        Problem(
            file=file,
            found=f"cannot be read ({reason or error})",
            suggestion="retrain the run with drilldown run … --again",
        )
    )


@contextlib.contextmanager
def explain_file_errors(file: Path) -> Iterator[None]:
    """Turns errors while writing a file that the user named into one message."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DrilldownError(Problem(file=file, found=f"cannot be written ({reason})")) from None
