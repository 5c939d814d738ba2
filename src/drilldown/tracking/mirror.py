"""The command's side of a tracker: a thread that hands requests to the tracker's process; see `process.py`."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from drilldown.tracking.process import kill_descendants
from drilldown.tracking.tracker import TRACKERS

PATIENCE_SECONDS = 8.0
"""At the end: the longest wait for an answer from a tracker that does not compute."""
LEAST_SECONDS = 2.0
"""At the end: the wait for a tracker that has not answered for longer than the patience.

After Ctrl-C, no wait is longer than this.
"""
NEW_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # Windows has no sessions
MOST_SECONDS = 60.0
"""At the end: the longest wait for a tracker that computes and does not answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """A run to look at."""

    run_dir: Path
    epochs: int | None
    """The number of saved epochs; None where the training has ended."""


class Mirror:
    """Mirrors runs in one tracker. No method raises an exception of the tracker, and only `close` waits for it.

    At most one request per run waits, the newest: it says where to look, so the ones before are not needed.

    *Arguments*: `name`: the tracker's, a key of `TRACKERS`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._changed = threading.Condition()
        self._waiting: dict[Path, Request] = {}
        self._answered = time.monotonic()
        """When the process last answered or received a request."""
        self._closing = False
        self._notices: list[str] = []
        self._told: set[str] = set()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._serve, name=f"mirror to {name}", daemon=True)
        self._thread.start()

    def look(self, request: Request) -> None:
        """Mirrors a run as its folder has it; returns at once."""
        with self._changed:
            self._waiting.pop(request.run_dir, None)  # it becomes the last one
            self._waiting[request.run_dir] = request
            self._changed.notify()

    def take_notices(self) -> list[str]:
        """Returns the sentences that the user should read, each once."""
        with self._changed:
            notices, self._notices = self._notices, []
        return notices

    def close(self, *, hurry: bool = False) -> None:
        """Waits until everything is mirrored, or until the tracker does not answer; then gives it up.

        *Arguments*: `hurry`: wait for a moment only. The process may end its work on its own, in some seconds.
        """
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify()
        try:
            self._await_end(hurry=hurry)
        except BaseException:  # a second Ctrl-C
            self._kill()
            raise
        if self._thread.is_alive() and not hurry:
            self._kill()
            self._tell("does not answer and was given up; to mirror later, repeat the command")

    def _await_end(self, *, hurry: bool) -> None:
        begun, busy = time.monotonic(), self._busy_seconds()
        computed = 0.0
        while self._thread.is_alive():
            self._thread.join(0.2)
            now, total = time.monotonic(), self._busy_seconds()
            if total > busy + 0.02:  # a tenth of the time: it does not only wait for a server
                computed, busy = now, total
            silent = now - max(self._answered, computed) > PATIENCE_SECONDS
            endless = now - max(self._answered, begun) > MOST_SECONDS
            if now - begun > LEAST_SECONDS and (hurry or silent or endless):
                return

    def _busy_seconds(self) -> float:
        """The seconds that the process has computed."""
        with contextlib.suppress(psutil.Error):
            if self._process is not None:
                times = psutil.Process(self._process.pid).cpu_times()
                return float(times.user + times.system)
        return 0.0

    def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(psutil.Error):
                kill_descendants(psutil.Process(self._process.pid))
            self._process.kill()

    def _serve(self) -> None:
        """The thread: starts the process and hands it one request after another."""
        try:
            request = self._next()
            if request is None:
                return
            with self._start() as process:
                self._process = process
                while request is not None:
                    self._ask(process, request)
                    request = self._next()
        except (OSError, ValueError) as error:  # the process ended, or could not be started
            if not self._closing:
                self._tell(f"its process ended ({error or type(error).__name__}); the training continues without it")

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "drilldown.tracking.process", self.name]
        return subprocess.Popen(  # not of the terminal's group: Ctrl-C ends the command, not the mirror
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            encoding="utf-8", start_new_session=True, creationflags=NEW_GROUP,
        )  # fmt: skip

    def _next(self) -> Request | None:
        """Waits for the next request; None at the end."""
        with self._changed:
            while not self._waiting:
                if self._closing:
                    return None
                self._changed.wait()
            self._answered = time.monotonic()
            return self._waiting.pop(next(iter(self._waiting)))

    def _ask(self, process: subprocess.Popen[str], request: Request) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"run": str(request.run_dir), "epochs": request.epochs}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise OSError(f"exit code {process.wait()}")
        answer = json.loads(line)
        self._answered = time.monotonic()
        if answer["place"]:
            self._tell(answer["place"])
        if answer["failure"]:
            kind = ":".join(answer["failure"].split(":")[:2])
            self._tell(f"{answer['failure']}; the training continues without it", kind)

    def _tell(self, text: str, kind: str = "") -> None:
        """Keeps a notice, the first of its kind: a study of 100 runs on a machine without network gives it once."""
        with self._changed:
            if (kind or text) not in self._told:
                self._told.add(kind or text)
                self._notices.append(f"{TRACKERS[self.name].title}: {text}")
