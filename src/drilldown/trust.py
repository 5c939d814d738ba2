"""Which Python files of run folders may be executed.

A run folder contains a copy of the user's own module. People share run folders, and a module is a program: it can do
everything that its user can do. So a run folder's module is executed only if this user has trained with the same file
on this machine, or says so with `--trust`.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import platformdirs

from drilldown.errors import DrilldownError, Problem
from drilldown.files import file_digest

_trusted: set[str] = set()
"""The SHA-256 of files that this process may execute, beside those that are stored."""
_trusts_all = False


def trust_all() -> None:
    """Allows this process to execute the modules of all run folders.

    >>> drilldown.trust_all()
    """
    global _trusts_all
    _trusts_all = True


def trusts_all() -> bool:
    """Whether `trust_all` was called: worker processes are told."""
    return _trusts_all


def trust_file(file: Path) -> None:
    """Remembers the content of a Python file: this user trains with it on this machine."""
    digest = file_digest(file.read_bytes())
    _trusted.add(digest)
    with contextlib.suppress(OSError):  # without a home folder, the file is trusted until the process ends
        _store().mkdir(mode=0o700, parents=True, exist_ok=True)
        (_store() / digest).touch(mode=0o600)


def check_trust(file: Path) -> None:
    """Raises DrilldownError where a Python file lies in a run folder, and was never trained with on this machine.

    Every folder with an `experiment.toml` counts: its sender may have left out whatever else a run folder has. So does
    the folder of a search, with its journal.
    """
    if _trusts_all or not any(os.path.lexists(file.parent / name) for name in ("experiment.toml", "search.jsonl")):
        return
    digest = file_digest(file.read_bytes())
    if digest in _trusted or os.path.isfile(_store() / digest):
        return
    raise DrilldownError(
        Problem(
            file=file,
            found="this program belongs to a run that was not trained on this machine, and can do all that you can",
            suggestion="read the file; if you trust it, repeat the command with --trust",
        )
    )


def _store() -> Path:
    return Path(platformdirs.user_data_dir("drilldown", appauthor=False)) / "trusted"
