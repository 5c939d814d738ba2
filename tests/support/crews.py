"""Processes of a crew on this machine: its scheduler and its workers, to be killed, frozen and cut off."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from drilldown.workers.crew import make_crew, write_crew
from support.cli import start_with_log


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def epochs_saved(lab: Path) -> int:
    """The finished epochs of all runs in `lab/runs`."""
    return sum(len(file.read_bytes().splitlines()) for file in lab.glob("runs/*/*/seed-*/epochs.jsonl"))


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The processes of workers that a driver or a `drilldown worker` has started."""
    return [child for child in process.children() if "spawn_main" in " ".join(child.cmdline())]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class CrewProcesses:
    """The scheduler and the workers of a crew; the crew's file is `crew.json` in the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.file = folder / "crew.json"
        write_crew(make_crew("127.0.0.1", self.port), self.file)
        self.processes: list[subprocess.Popen[str]] = []
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> subprocess.Popen[str]:
        process = self._start("crew", "start", "--file", "crew.json")
        wait_until(lambda: is_open(self.port))
        return process

    def start_worker(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return self._start("worker", "crew.json", "--workers", "1", *arguments, **environment)

    def _start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        log = (self.folder / f"process-{len(self.processes)}.log").open("w")
        process = start_with_log(log, *arguments, cwd=self.folder, **environment)
        log.close()
        self.processes.append(process)
        return process

    def log(self, process: subprocess.Popen[str]) -> str:
        return (self.folder / f"process-{self.processes.index(process)}.log").read_text()

    def stop(self) -> None:
        for process in self.processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                family = psutil.Process(process.pid)
                for member in (*family.children(recursive=True), family):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        member.kill()
            process.wait(timeout=10)


@contextlib.contextmanager
def running_crew(folder: Path) -> Iterator[CrewProcesses]:
    """A crew without workers; all its processes end with the block."""
    crew = CrewProcesses(folder)
    try:
        yield crew
    finally:
        crew.stop()
