"""The process of one tracker. A tracker that hangs, fails or ends its process cannot harm the training.

Requests are lines of JSON on standard input: the run's folder (`run`), and the number of saved epochs (`epochs`),
or null where its training has ended. Each is answered by a line: `place` or `failure`, each null or a sentence. A
request says where to look and carries no figures: the tracker receives everything that it lacks. So a request that was
answered by a failure is repaired by the next one for the same run.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import sys
import threading
import time
from pathlib import Path
from typing import IO

import psutil

from drilldown.errors import DrilldownError
from drilldown.tracking.record import RunRecord, read_record
from drilldown.tracking.tracker import TRACKERS, TrackedRun, Tracker
from drilldown.wording import visible_text

ORPHAN_SECONDS = 30.0
"""The time that the process has after its command has ended: it may be creating a database."""
LONGEST_FAILURE = 300
"""The longest text of an exception in a message, in characters."""

_PASSWORD = re.compile(r"//[^/@\s]*@")
"""A user's name and password in an address."""


class Mirrored:
    """The runs that are open in one tracker.

    *Arguments*: `name`: the tracker's.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._tracker: Tracker | None = None
        self._no_tracker: str | None = None
        """Why there is no tracker: it is not tried a second time."""
        self._open: dict[Path, tuple[str, TrackedRun]] = {}
        """Run folders with the key and the run in the tracker."""

    def answer(self, run_dir: Path, epochs: int | None) -> dict[str, str | None]:
        """Brings the tracker up to date with a run's folder; returns an answer as the module describes it."""
        return {key: text and _PASSWORD.sub("//", text) for key, text in self._answer(run_dir, epochs).items()}

    def _answer(self, run_dir: Path, epochs: int | None) -> dict[str, str | None]:
        if self._tracker is None and self._no_tracker is None:
            try:
                self._tracker = TRACKERS[self.name].create()
            except BaseException as error:  # noqa: BLE001 - packages raise anything, also SystemExit
                self._no_tracker = self._missing_text(error)
        if self._tracker is None:
            return {"place": None, "failure": self._no_tracker}
        try:
            return {"place": self._update(self._tracker, run_dir, epochs), "failure": None}
        except BaseException as error:  # noqa: BLE001
            self._open.pop(run_dir, None)
            return {"place": None, "failure": _failure_text(run_dir, error)}

    def close(self) -> None:
        """Closes the runs whose training was interrupted."""
        for _, tracked in self._open.values():
            with contextlib.suppress(BaseException):
                tracked.interrupt()

    def _update(self, tracker: Tracker, run_dir: Path, epochs: int | None) -> str | None:
        try:
            record = read_record(run_dir, epochs)
        except (DrilldownError, OSError, ValueError):
            if epochs is None:
                raise
            return None  # the training writes these files at this moment; the next request reads them again
        if record is None:
            return None
        key, tracked = self._open.get(run_dir, ("", None))
        place = None
        if tracked is None or key != record.key:
            if tracked is not None:  # the training began again
                tracked.interrupt()
            tracked = tracker.open(record)
            if tracked is None:
                return None
            self._open[run_dir], place = (record.key, tracked), tracked.place
        if len(record.epochs) > tracked.epochs:
            tracked.add(record.epochs[tracked.epochs :])
        if epochs is None:
            _close(tracked, record)
            self._open.pop(run_dir)
        return place

    def _missing_text(self, error: BaseException) -> str:
        if not isinstance(error, ModuleNotFoundError):
            return f"cannot be used: {_error_text(error)}"
        missing = (error.name or "").partition(".")[0]
        return f"the package {missing} is not installed; install it with: pip install 'drilldown[{self.name}]'"


def _failure_text(run_dir: Path, error: BaseException) -> str:
    if isinstance(error, DrilldownError):
        return f"{run_dir}: not mirrored: {error}"
    return f"fails: {_error_text(error)}"


def _error_text(error: BaseException) -> str:
    """An exception on one line; packages raise long ones."""
    line = next(iter(visible_text(str(error)).strip().splitlines()), "")
    return f"{type(error).__name__}: {line}"[:LONGEST_FAILURE].rstrip(": ")


def _close(tracked: TrackedRun, record: RunRecord) -> None:
    if record.summary is not None:
        tracked.finish(record.summary)
    elif record.divergence is not None:
        tracked.fail(record.divergence)
    else:
        tracked.interrupt()


def kill_descendants(process: psutil.Process) -> None:
    """Kills all processes that a process started."""
    with contextlib.suppress(psutil.Error):
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()


def _read(requests: IO[str], waiting: queue.SimpleQueue[str | None]) -> None:
    """Passes requests on. When the command has ended, the process has some time left, then it ends in any case."""
    with contextlib.suppress(OSError):
        for line in requests:
            waiting.put(line)
    waiting.put(None)
    time.sleep(ORPHAN_SECONDS)
    kill_descendants(psutil.Process())
    os._exit(1)


def main(name: str) -> None:
    """Answers requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # trackers print; on standard output they would print into the answers
    waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin, waiting), daemon=True).start()
    mirrored = Mirrored(name)
    while (line := waiting.get()) is not None:
        request = json.loads(line)
        answer = mirrored.answer(Path(request["run"]), request["epochs"])
        with contextlib.suppress(OSError):  # the command has ended
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    mirrored.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
