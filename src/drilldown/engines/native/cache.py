"""The folder of compiled libraries, and whether they can be trusted: a library is a program that this process runs.

A folder or a file that another user owns or can write to is refused. The name of a library contains the SHA-256 of its
content, because a library that is cut short kills the process that loads it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import platformdirs

from drilldown.files import file_digest, write_atomically

DIGITS = 32
"""The hex digits of the SHA-256 in a name."""
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def cache_folder() -> Path:
    """The folder of this user's compiled libraries."""
    return platformdirs.user_cache_path("drilldown") / "native"


def why_unusable(folder: Path) -> str | None:
    """Creates the folder, for this user alone; returns the reason why nothing in it can be used, or None."""
    try:
        for missing in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
        if not folder.is_dir():
            return f"{folder} is not a folder"
        return _why_untrusted(folder)
    except OSError as error:
        return f"{folder} cannot be used ({error.strerror})"


def trusted_libraries(folder: Path, key: str) -> list[Path]:
    """The whole libraries with this key; deletes damaged ones."""
    whole = []
    for file in folder.glob(f"{key}-*.so"):
        with contextlib.suppress(OSError):
            if not stat.S_ISREG(file.lstat().st_mode) or _is_foreign(file.lstat()):
                continue
            if file.stem == f"{key}-{file_digest(file.read_bytes())[:DIGITS]}":
                whole.append(file)
            else:
                file.unlink()
    return whole


def store_library(folder: Path, key: str, content: bytes) -> Path | None:
    """Keeps a library; returns None where the folder cannot be written."""
    file = folder / f"{key}-{file_digest(content)[:DIGITS]}.so"
    try:
        write_atomically(file, content)
        file.chmod(0o600)
    except OSError:
        return None
    return file


def _why_untrusted(folder: Path) -> str | None:
    """The reason why others could exchange files in a folder; None where only this user and root can."""
    if os.name != "posix":
        return None
    place = folder.resolve()
    if _is_foreign(place.stat()):
        return f"{folder} belongs to another user, or others can write to it"
    for parent in place.parents:
        status = parent.stat()
        mine = status.st_uid in (0, os.geteuid())
        if not mine or (status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX):
            return f"others can exchange {parent}, which contains the cache"
    return None


def _is_foreign(status: os.stat_result) -> bool:
    """Whether a folder or file belongs to another user, or others can write to it."""
    return os.name == "posix" and (status.st_uid != os.geteuid() or bool(status.st_mode & WRITABLE_BY_OTHERS))
