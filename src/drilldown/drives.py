"""Drives that lack a part of what file systems usually offer: they are used, with one notice for each missing part.

Network drives, mounted cloud drives and shared folders of virtual machines often cannot save a folder (`fsync`), or
have no locks (`flock`). An error that says "this drive cannot do that" is passed over. An error that says "this failed"
still counts.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import filelock

NO_FSYNC_OF_FOLDERS = frozenset(
    (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EISDIR, errno.EPERM, errno.EACCES)
)
"""The errors of drives that cannot save a folder; EIO, ENOSPC and EDQUOT are failures."""
NO_LOCKS = frozenset((errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL))
"""The errors of drives without locks."""
HOLDER = ".holder"
"""The ending of the file that takes the place of a lock; it names the process and its host."""

_FSYNC_NOTICE = "this drive cannot save a folder (fsync): after a power cut, the last written file may be missing"
_LOCK_NOTICE = f"this drive has no locks; a file *{HOLDER} takes their place: train each run on one machine only"
_notices: dict[str, bool] = {}
"""The notices of this process, and whether each was given out."""


def new_notices() -> list[str]:
    """The notices that were not given out before; each is given out once in a process.

    >>> new_notices()
    []
    """
    new = [notice for notice, given_out in _notices.items() if not given_out]
    _notices.update(dict.fromkeys(new, True))
    return new


def mark_as_given_out(notice: str) -> None:
    """Notes that the user has read a notice already, for instance from a worker."""
    _notices[notice] = True


def save_folder(folder: Path) -> None:
    """Saves the names in a folder, so that a new or renamed file survives a power cut.

    *Raises* OSError where this fails; not where the drive cannot do it.
    """
    if os.name != "posix":  # Windows offers no call for it
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in NO_FSYNC_OF_FOLDERS:
            raise
        _notices.setdefault(_FSYNC_NOTICE, False)


@contextlib.contextmanager
def lock_file(file: Path, patience: float) -> Iterator[None]:
    """Holds the lock of a file, which is made if it is missing.

    On a drive without locks, a file beside it takes the lock's place. If its process was killed, the next process of
    the same machine removes it.

    *Arguments*: `patience`: seconds to wait for another process; -1 waits without end.

    *Raises* filelock.Timeout where another process holds the lock for longer; OSError where the file cannot be written.
    """
    lock: filelock.BaseFileLock = filelock.FileLock(file, timeout=patience, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:  # a Timeout is one, without a number
        if error.errno not in NO_LOCKS:
            raise
        lock = filelock.SoftFileLock(holder_file(file), timeout=patience)
        lock.acquire()
        _notices.setdefault(_LOCK_NOTICE, False)
    try:
        yield
    finally:
        lock.release()


def is_locked(file: Path) -> bool:
    """Whether a process holds the lock of a file; false in a folder that cannot be written to."""
    try:
        with filelock.FileLock(file, timeout=0, fallback_to_soft=False):
            return False
    except filelock.Timeout:
        return True
    except OSError as error:
        return error.errno in NO_LOCKS and _is_held(holder_file(file))


def holder_file(file: Path) -> Path:
    """The file that takes the place of a file's lock."""
    return file.with_name(file.name + HOLDER)


def holder_text(file: Path) -> str:
    """The process that holds the lock of a file, and its host; empty where the drive has locks."""
    try:
        process, host, *_ = holder_file(file).read_text("utf-8", "replace").splitlines()
    except (OSError, ValueError):
        return ""
    return f"process {process} on {host.partition('?')[0]}"


def _is_held(holder: Path) -> bool:
    if not os.path.lexists(holder):
        return False
    for _attempt in range(2):  # the first removes the file of a killed process
        with contextlib.suppress(OSError), filelock.SoftFileLock(holder, timeout=0):
            return False
    return True
