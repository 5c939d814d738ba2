"""The lock of a run's folder: one process trains a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from drilldown.drives import holder_file
from drilldown.errors import DrilldownError
from drilldown.files import LOCK, busy_folder, lock_folder, unwritable_run

LOCK_PATIENCE_SECONDS = 1.0
"""Longer than another process takes to see whether a lock is held."""


class RunBusyError(DrilldownError):
    """Another process is training this run."""


@contextlib.contextmanager
def lock_run(path: Path) -> Iterator[None]:
    """Creates a run's folder and keeps other processes out of it; raises RunBusyError where one holds the lock."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock_folder(path, LOCK_PATIENCE_SECONDS))
        except filelock.Timeout:
            busy = "another process is training this run"
            raise RunBusyError(busy_folder(path, busy, "wait for it, or train another seed with --seed")) from None
        except OSError as error:
            raise unwritable_run(path, error) from None
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # a run that never began leaves nothing behind
                locks = (path / LOCK, holder_file(path / LOCK))
                if set(path.iterdir()) <= set(locks):
                    for file in locks:
                        file.unlink(missing_ok=True)
                    for folder in made:
                        folder.rmdir()
