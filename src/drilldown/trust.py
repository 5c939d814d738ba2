"""Which Python files of run folders may be executed.

A run folder contains copies of the user's own module and of the files that it imports. People share run folders, and a
module is a program: it can do everything that its user can do. So these files are executed only if this user has
trained with the same files on this machine, or says so with `--trust`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

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


def trust_files(contents: Iterable[bytes]) -> None:
    """Remembers the contents of Python files: this user trains with them on this machine."""
    for content in contents:
        digest = file_digest(content)
        _trusted.add(digest)
        with contextlib.suppress(OSError):  # without a home folder, the file is trusted until the process ends
            _store().mkdir(mode=0o700, parents=True, exist_ok=True)
            (_store() / digest).touch(mode=0o600)


def check_trust(folder: Path, files: Mapping[str, bytes]) -> None:
    """Raises DrilldownError where a Python file lies in a run folder, and was never trained with on this machine.

    Every folder with an `experiment.toml` counts: its sender may have left out whatever else a run folder has. So does
    the folder of a search, with its journal.

    *Arguments*: `folder`: the folder of the experiment. `files`: its Python files, by their names relative to it.
    """
    if _trusts_all:
        return
    foreign = [name for name, content in files.items() if _in_run_folder(folder, name) and not _is_trusted(content)]
    if foreign:
        read = "the file" if len(foreign) == 1 else ", ".join(foreign)
        raise DrilldownError(
            Problem(
                file=folder / foreign[0],
                found="this program belongs to a run that was not trained on this machine, and can do all that you can",
                suggestion=f"read {read}; if you trust it, repeat the command with --trust",
            )
        )


def _in_run_folder(folder: Path, name: str) -> bool:
    """Whether the folder, or one between it and the file, is that of a run or of a search."""
    between = [folder / path for path in PurePosixPath(name).parents]  # the last one is the folder itself
    return any(os.path.lexists(place / marker) for place in between for marker in ("experiment.toml", "search.jsonl"))


def _is_trusted(content: bytes) -> bool:
    digest = file_digest(content)
    return digest in _trusted or os.path.isfile(_store() / digest)


def _store() -> Path:
    return Path(platformdirs.user_data_dir("drilldown", appauthor=False)) / "trusted"
