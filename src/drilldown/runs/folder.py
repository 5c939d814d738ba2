"""A run's folder as far as PyTorch is not needed: status, seed, epochs, summary, lock.

Status is never stored but derived, so that a killed run cannot claim to be running.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import filelock
import safetensors

from drilldown.drives import holder_file, is_locked
from drilldown.errors import DrilldownError, Problem
from drilldown.evaluation.records import EpochRecord
from drilldown.files import (
    LOCK,
    busy_folder,
    damaged_file,
    explain_write_errors,
    file_digest,
    lock_folder,
    read_json,
    remove_tree,
    unwritable_run,
)
from drilldown.runs.summary import RunSummary, read_summary
from drilldown.settings import RUNS_DIR

FINISHED: Literal["finished"] = "finished"
RUNNING: Literal["running"] = "running"
INTERRUPTED: Literal["interrupted"] = "interrupted"
DIVERGED: Literal["diverged"] = "diverged"
DAMAGED = "damaged"
"""What a list of runs shows for one whose files cannot be read; not a status."""
EXPERIMENT, PARENT = "experiment.toml", "parent.toml"
STATE, RECORDS, LOG = "state.safetensors", "epochs.jsonl", "train.log"
WEIGHTS, PREDICTIONS = "weights.safetensors", "predictions.safetensors"
SUMMARY, DIVERGENCE, AUDIT = "summary.json", "diverged.json", "audit.json"
EXPORT, EXPORT_DOCUMENT = "export", "export.json"
"""The folder with the exported files, and the file in it that says how they were judged."""
ADDED_LATER = AUDIT, f"{EXPORT}/{EXPORT_DOCUMENT}"
"""What commands add to a finished run, and its report shows."""
OnUnreadable = Callable[[DrilldownError], None]
"""Called with the error of a folder that cannot be read."""
OWNER_KEY = "drilldown"
"""The key of the metadata in a tensor file; the value is JSON."""


REPORT_FILES = ("report.html", "report.md")
TRAINED_FILES = (SUMMARY, AUDIT, DIVERGENCE, STATE, WEIGHTS, PREDICTIONS, RECORDS, LOG)
"""The files that a repeated training removes: first the one without which the others do not count."""
LOCK_PATIENCE_SECONDS = 1.0
"""Longer than another process takes to see whether a lock is held."""


class RunBusyError(DrilldownError):
    """Another process is training this run."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     RunFolder(Path(folder) / "study" / "01-first-0a1b2c3d" / "seed-4").seed
    4
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))  # in a notebook people write strings

    @property
    def name(self) -> str:
        """`study/step`."""
        step = self.path.resolve().parent  # `.` has no name
        return f"{step.parent.name}/{step.name.rpartition('-')[0]}"

    @property
    def status(self) -> str:  # no Literal: jedi, which completes names in notebooks, fails on one
        """finished, running, diverged or interrupted."""
        if self.has(SUMMARY):
            return FINISHED
        if self._is_locked():
            return RUNNING
        return DIVERGED if self.has(DIVERGENCE) else INTERRUPTED

    @property
    def summary(self) -> RunSummary | None:
        """The figures of the finished run; None before it is finished.

        *Raises* DrilldownError where the file is damaged, or belongs to another run.
        """
        if not self.has(SUMMARY):
            return None
        summary = read_summary(self.path / SUMMARY)
        self.check_owner(SUMMARY, summary.fingerprint, summary.seed)
        return summary

    @property
    def summary_digest(self) -> str:
        """The SHA-256 of the summary's file; it changes when any file of the finished run does."""
        return file_digest(read_bytes(self.path / SUMMARY))

    @property
    def seed(self) -> int:
        """The seed: from the summary, else from the folder's name, else from the state."""
        summary = self.summary
        if summary is not None:
            return summary.seed
        named = self._named_seed
        return int(self.state_metadata().get("seed", 0)) if named is None else named

    @property
    def epochs(self) -> tuple[EpochRecord, ...]:
        """The records of the finished epochs; raises DrilldownError where they are damaged."""
        content = self.records()
        try:
            epochs = tuple(EpochRecord.from_json(json.loads(line)) for line in content.decode().splitlines())
        except (ValueError, RecursionError) as error:
            raise damaged_file(self.path / RECORDS, str(error).splitlines()[0]) from None
        if [epoch.epoch for epoch in epochs] != list(range(1, len(epochs) + 1)):
            raise damaged_file(self.path / RECORDS, "epochs are missing")
        return epochs

    def records(self) -> bytes:
        """The records as JSON lines.

        Of a finished run, these are all lines of the file. Before, they are the lines that the state vouches for: a
        killed writer may have left a line of an epoch without a state, or a part of a line.

        *Raises* DrilldownError where lines are missing or damaged.
        """
        file = self.path / RECORDS
        if self.has(SUMMARY):
            return self.verified(RECORDS)
        saved = self.state_metadata().get("records")
        if not saved:
            return b""
        content = read_bytes(file)[: saved["bytes"]]
        if file_digest(content) != saved["sha256"]:
            raise damaged_file(file, f"the records of the {saved['count']} finished epochs are not whole")
        return content

    @property
    def divergence(self) -> str:
        """Why the run diverged."""
        document = read_json(self.path / DIVERGENCE)
        self.check_owner(DIVERGENCE, document.get("fingerprint"), document.get("seed"))
        return str(document.get("reason", "the loss stopped being finite"))

    @property
    def has_model(self) -> bool:
        """Whether a finished run still has its weights and predictions: users may delete them to save space."""
        return self.has(WEIGHTS) and self.has(PREDICTIONS)

    @property
    def modified(self) -> float:
        """When it was last written to, in seconds since 1970; reports and locks do not count."""
        times = [0.0]
        for name in (SUMMARY, DIVERGENCE, STATE, EXPERIMENT):
            with contextlib.suppress(OSError):
                times.append((self.path / name).stat().st_mtime)
        return max(times)

    def has(self, name: str) -> bool:
        """Whether the folder contains a file; raises DrilldownError where the folder cannot be read."""
        try:
            return (self.path / name).is_file()
        except OSError as error:
            raise damaged_file(self.path / name, error) from None

    def verified(self, name: str) -> bytes:
        """The content of one of the run's files, compared with the checksum that summary or state keep of it.

        *Raises* DrilldownError where the file is missing, or has changed since it was written.
        """
        content = read_bytes(self.path / name)
        wanted = self.checksums().get(name)
        if wanted is not None and file_digest(content) != wanted:
            raise damaged_file(self.path / name, "it has changed since the run wrote it")
        return content

    def checksums(self) -> dict[str, str]:
        """The SHA-256 of the run's files, by name; empty for runs of version 0.1, and before the first epoch."""
        summary = self.summary
        if summary is not None:
            return summary.files
        files = self.state_metadata().get("files", {})
        return files if isinstance(files, dict) else {}

    @property
    def weights_digest(self) -> str:
        """The SHA-256 of the file with the judged weights; the summary of a run of version 0.1 does not have it."""
        return self.checksums().get(WEIGHTS) or file_digest(read_bytes(self.path / WEIGHTS))

    def state_metadata(self) -> dict[str, Any]:
        """What the state says beside its tensors; empty where there is no state.

        *Raises* DrilldownError where the file is damaged, or was written by version 0.1.
        """
        file = self.path / STATE
        if not self.has(STATE):
            return {}
        document = read_metadata(file)
        records = document.get("records")
        if (
            not isinstance(records, dict)
            or {key: type(value) for key, value in records.items()} != {"count": int, "bytes": int, "sha256": str}
            or type(document.get("seed")) is not int
            or records["bytes"] < 0
        ):
            raise damaged_file(file, "it does not say which run it belongs to")
        return document

    @property
    def named_fingerprint(self) -> str | None:
        """The fingerprint in the folder's name; None where the folder has another kind of name."""
        named = re.fullmatch(r".*-([0-9a-f]{8})", self.path.resolve().parent.name)
        return named[1] if named else None

    @property
    def _named_seed(self) -> int | None:
        digits = self.path.resolve().name.removeprefix("seed-")
        return int(digits) if re.fullmatch(r"[0-9]{1,18}", digits) else None

    def check_owner(self, name: str, fingerprint: object, seed: object) -> None:
        """Refuses a file of another run, for instance of another seed, that was copied into this folder."""
        if fingerprint and self.named_fingerprint not in (None, fingerprint):
            found, expected = f"experiment {fingerprint}", f"{self.named_fingerprint}, as the folder's name says"
        elif seed is not None and self._named_seed not in (None, seed):
            found, expected = f"seed {seed}", f"seed {self._named_seed}, as the folder's name says"
        else:
            return
        raise DrilldownError(
            Problem(file=self.path / name, found=f"the file belongs to another run ({found})", expected=expected)
        )

    # Writing.

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Creates the folder and keeps other processes out of it; raises RunBusyError where one holds the lock."""
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock_folder(self.path, LOCK_PATIENCE_SECONDS))
            except filelock.Timeout:
                busy = "another process is training this run"
                raise RunBusyError(
                    busy_folder(self.path, busy, "wait for it, or train another seed with --seed")
                ) from None
            except OSError as error:
                raise unwritable_run(self.path, error) from None
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # a run that never began leaves nothing behind
                    locks = (self.path / LOCK, holder_file(self.path / LOCK))
                    if set(self.path.iterdir()) <= set(locks):
                        for file in locks:
                            file.unlink(missing_ok=True)
                        for folder in made:
                            folder.rmdir()

    def clear(self) -> None:
        """Removes what was trained, so that the run starts from the beginning.

        The report goes first, the summary next: at no moment does a file describe a training that is gone.
        """
        with explain_write_errors(self.path):
            for name in (*REPORT_FILES, *TRAINED_FILES):
                (self.path / name).unlink(missing_ok=True)
            remove_tree(self.path / EXPORT)

    def _is_locked(self) -> bool:
        return self.has(LOCK) and is_locked(self.path / LOCK)


def read_bytes(file: Path) -> bytes:
    """Reads a file of a run; raises DrilldownError where it is missing or cannot be read."""
    try:
        if file.exists() and not file.is_file():  # a pipe, for instance, would be read for ever
            raise damaged_file(file, "not a file")
        return file.read_bytes()
    except OSError as error:
        raise damaged_file(file, error) from None


def read_metadata(file: Path) -> dict[str, Any]:
    """The metadata of a tensor file; empty for a file of version 0.1.

    *Raises* DrilldownError where the file is damaged.
    """
    try:
        with safetensors.safe_open(file, "np") as opened:
            document = json.loads((opened.metadata() or {}).get(OWNER_KEY, "{}"))
    except (OSError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise damaged_file(file, error) from None
    return document if isinstance(document, dict) else {}


def run_paths(runs_dir: Path | str = RUNS_DIR, on_unreadable: OnUnreadable = lambda _: None) -> list[Path]:
    """The folders of all runs, the one that changed last first.

    *Arguments*: `on_unreadable`: called with the error of each folder that cannot be read; its runs are left out.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_paths(folder)
    []
    """
    folders = [Path(runs_dir)]
    for _level in ("studies", "steps", "seeds"):
        folders = [inside for folder in folders for inside in _folders_in(folder, on_unreadable)]
    runs = [folder for folder in folders if folder.name.startswith("seed-") and _is_run(folder, on_unreadable)]
    return sorted(runs, key=lambda folder: RunFolder(folder).modified, reverse=True)


def _is_run(folder: Path, on_unreadable: OnUnreadable) -> bool:
    try:
        return (folder / EXPERIMENT).is_file()
    except OSError as error:
        on_unreadable(_unreadable_folder(folder, error))
        return False


def _folders_in(folder: Path, on_unreadable: OnUnreadable) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if os.path.isdir(entry.path)]
    except FileNotFoundError:
        return []
    except OSError as error:
        on_unreadable(_unreadable_folder(folder, error))
        return []


def _unreadable_folder(folder: Path, error: OSError) -> DrilldownError:
    return DrilldownError(Problem(file=folder, found=f"the folder cannot be read ({error.strerror})"))
