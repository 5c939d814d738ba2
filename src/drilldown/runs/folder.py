"""A run's folder as far as it can be read without PyTorch: status, seed, epochs, summary.

Status is never stored but derived, so that a killed run cannot claim to be running.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import filelock
import safetensors

from drilldown.evaluation.records import EpochRecord
from drilldown.files import damaged_file, read_json
from drilldown.runs.summary import RunSummary, read_summary
from drilldown.settings import RUNS_DIR

FINISHED: Literal["finished"] = "finished"
RUNNING: Literal["running"] = "running"
INTERRUPTED: Literal["interrupted"] = "interrupted"
DIVERGED: Literal["diverged"] = "diverged"
Status = Literal["finished", "running", "interrupted", "diverged"]
DAMAGED = "damaged"
"""What a list of runs shows for one whose files cannot be read; not a status."""
STATE, SUMMARY, DIVERGENCE, LOCK = "state.safetensors", "summary.json", "diverged.json", ".lock"


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
    def status(self) -> Status:
        """finished, running, diverged or interrupted."""
        if (self.path / SUMMARY).is_file():
            return FINISHED
        if self._is_locked():
            return RUNNING
        return DIVERGED if (self.path / DIVERGENCE).is_file() else INTERRUPTED

    @property
    def summary(self) -> RunSummary | None:
        """The figures of the finished run; None before it is finished."""
        file = self.path / SUMMARY
        return read_summary(file) if file.is_file() else None

    @property
    def seed(self) -> int:
        """The seed, from the summary or the state, or from the folder's name before there is one."""
        summary = self.summary
        if summary is not None:
            return summary.seed
        state = self.state_metadata()
        if "seed" in state:
            return int(state["seed"])
        digits = self.path.resolve().name.removeprefix("seed-")
        return int(digits) if digits.isdigit() else 0

    @property
    def epochs(self) -> tuple[EpochRecord, ...]:
        """The records of the finished epochs.

        They come from the state; where it was deleted, a finished run still has them in `epochs.jsonl`.
        """
        if (self.path / STATE).is_file():
            return tuple(EpochRecord.from_json(record) for record in json.loads(self.state_metadata()["epochs"]))
        file = self.path / "epochs.jsonl"
        if self.status != FINISHED or not file.is_file():
            return ()
        try:
            return tuple(EpochRecord.from_json(json.loads(line)) for line in file.read_text("utf-8").splitlines())
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged_file(file, error) from None

    @property
    def divergence(self) -> str:
        """Why the run diverged."""
        return str(read_json(self.path / DIVERGENCE).get("reason", "the loss stopped being finite"))

    @property
    def has_model(self) -> bool:
        """Whether a finished run still has its weights and predictions: users may delete them to save space."""
        return all((self.path / name).is_file() for name in ("weights.safetensors", "predictions.safetensors"))

    def state_metadata(self) -> dict[str, str]:
        """What the state says beside its tensors; empty where there is no state.

        *Raises* DrilldownError where the file is damaged.
        """
        file = self.path / STATE
        if not file.is_file():
            return {}
        try:
            with safetensors.safe_open(file, "np") as state:
                return dict(state.metadata() or {})
        except (OSError, safetensors.SafetensorError) as error:
            raise damaged_file(file, error) from None

    def _is_locked(self) -> bool:
        file = self.path / LOCK
        if not file.is_file():
            return False
        lock = filelock.FileLock(file, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            return True
        except OSError:  # in a folder that cannot be written to, nothing trains
            return False
        lock.release()
        return False


def run_paths(runs_dir: Path | str = RUNS_DIR) -> list[Path]:
    """The folders of all runs, the one that changed last first.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_paths(folder)
    []
    """
    folders = [file.parent for file in Path(runs_dir).glob("*/*/seed-*/experiment.toml")]
    return sorted(folders, key=_modified, reverse=True)


def _modified(folder: Path) -> float:
    """When a run was last written to, in seconds; reports and locks do not count."""
    names = (SUMMARY, DIVERGENCE, STATE, "experiment.toml")
    return max((file.stat().st_mtime for name in names if (file := folder / name).is_file()), default=0.0)
