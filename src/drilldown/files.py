"""Atomic writes, locks, JSON, and messages for errors of the operating system."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from drilldown.drives import holder_file, holder_text, lock_file, save_folder
from drilldown.errors import DrilldownError, Problem

LOCK = ".lock"
"""The file that all writers of a folder lock."""
REPORT_PATIENCE_SECONDS = 120.0
"""Longer than another process takes to write a report."""
CHECKSUM = "sha256"
"""The key of a JSON document with the checksum of all its other keys."""
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_PARTIAL = re.compile(r"\.[0-9a-f]{16}\.partial")


def write_atomically(file: Path, content: bytes) -> None:
    """Writes a file whole or not at all; after the call it survives a power cut.

    The temporary name is random, and the file is made exclusively: a link that somebody planted is never followed,
    and two writers never share a temporary file.
    """
    partial = file.with_name(f".{secrets.token_hex(8)}.partial")  # without the name, which can be as long as possible
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(descriptor, "wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(partial, file)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    save_folder(file.parent)


def write_below(folder: Path, name: str, content: bytes) -> None:
    """Writes a file of a folder atomically, and makes the folders that its name contains, as in `parts/block.py`.

    A link that somebody planted in place of such a folder is removed, not followed.
    """
    for parent in reversed(PurePosixPath(name).parents[:-1]):
        if (folder / parent).is_symlink():
            (folder / parent).unlink()
        (folder / parent).mkdir(exist_ok=True)
    write_atomically(folder / name, content)


def append(file: Path, content: bytes, size: int, *, durable: bool = True) -> None:
    """Appends to a file of `size` bytes.

    *Arguments*: `durable`: after the call the addition survives a power cut.

    *Raises* OSError where the file is a link, has another size, or cannot be written; then nothing is appended.
    """
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | _NO_FOLLOW | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "ab", buffering=0) as sink:  # a buffer would be written again on closing
        found = os.fstat(sink.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size != size:
            raise OSError(errno.ESTALE, "another program has changed the file", str(file))
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[sink.write(rest) :]
            if durable:
                os.fsync(sink.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(sink.fileno(), size)
            raise


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of killed writers; the caller holds the folder's lock."""
    for entry in folder.iterdir():
        if _PARTIAL.fullmatch(entry.name) and not entry.is_dir():
            entry.unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Removes a folder with its files, where there is one; of a link, the link alone."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


@contextlib.contextmanager
def lock_folder(folder: Path, patience: float = REPORT_PATIENCE_SECONDS) -> Iterator[None]:
    """Holds the lock that all writers of a folder share; creates the folder.

    *Arguments*: `patience`: seconds to wait for another process; -1 waits without end.

    *Raises* filelock.Timeout where another process holds the lock for longer; OSError where the folder cannot be
    written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with lock_file(folder / LOCK, patience):
        remove_leftovers(folder)
        yield


def busy_folder(folder: Path, found: str, suggestion: str) -> Problem:
    """The problem of a folder whose lock another process holds; on a drive without locks, it names that process."""
    holder = holder_text(folder / LOCK)
    if holder:
        found += f" ({holder})"
        suggestion += f"; if that process has ended, delete {holder_file(folder / LOCK)}"
    return Problem(file=folder, found=found, suggestion=suggestion)


def is_utf8(name: str) -> bool:
    r"""Whether a name can be written to a text file; Python keeps other bytes of file names as lone surrogates.

    >>> is_utf8("löwe"), is_utf8("\udcff")
    (True, False)
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def file_digest(content: bytes) -> str:
    """The SHA-256 of a file's content: 64 hex digits.

    >>> file_digest(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()


def json_bytes(document: dict[str, Any]) -> bytes:
    """A document as the bytes of a JSON file, indented for human readers."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def with_checksum(document: dict[str, Any]) -> dict[str, Any]:
    """The document with a checksum of its values, which `read_json` verifies.

    >>> with_checksum({"seed": 3})["sha256"][:8]
    '4d687b64'
    """
    return {**document, CHECKSUM: _checksum(document)}


def read_json(file: Path) -> dict[str, Any]:
    """Reads a JSON object, and verifies its checksum if it has one; empty where there is no file.

    *Raises* DrilldownError where the file is damaged.
    """
    try:
        if not file.is_file():
            return {}
        content = file.read_bytes()
    except OSError as error:
        raise damaged_file(file, error) from None
    return parse_json(content, file)


def parse_json(content: bytes, file: Path) -> dict[str, Any]:
    """Reads a JSON object from the content of a file; see `read_json`."""
    try:
        document = json.loads(content.decode("utf-8"))
        if not isinstance(document, dict):
            raise damaged_file(file, "not a table")
        values = {key: value for key, value in document.items() if key != CHECKSUM}
        json.dumps(document, ensure_ascii=False).encode()  # fails for half a character, which no report could hold
        if CHECKSUM in document and document[CHECKSUM] != _checksum(values):
            raise damaged_file(file, "its checksum is wrong")
    except RecursionError:
        raise damaged_file(file, "its values are nested too deeply") from None
    except ValueError as error:
        raise damaged_file(file, error) from None
    return document


def _checksum(document: dict[str, Any]) -> str:
    return file_digest(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


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
