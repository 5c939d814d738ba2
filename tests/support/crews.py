"""Processes of a crew on this machine: its scheduler and its workers, to be killed, frozen and cut off."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

from drilldown.workers.crew import make_crew, write_crew
from support.cli import environment


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def epochs_saved(lab: Path) -> int:
    """The finished epochs of all runs in `lab/runs`."""
    return sum(len(file.read_bytes().splitlines()) for file in lab.glob("runs/*/*/seed-*/epochs.jsonl"))


def runs_finished(lab: Path) -> int:
    """The number of finished runs in `lab/runs`."""
    return len(list(lab.glob("runs/*/*/seed-*/summary.json")))


def trained_files(lab: Path) -> dict[str, bytes]:
    """The files of all runs in `lab/runs` that depend on nothing but the training."""
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for name in ("weights.safetensors", "predictions.safetensors")
        for path in lab.glob(f"runs/*/*/seed-*/{name}")
    }


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The processes of workers that a driver or a `drilldown worker` has started."""
    return [child for child in process.children() if "spawn_main" in " ".join(child.cmdline())]


def kill_family(process: psutil.Process) -> None:
    """Kills a process and all that it has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for member in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class CrewProcesses:
    """The scheduler and the workers of a crew; the crew's file is `crew.json` in the folder.

    *Arguments*: `host`: the address of the scheduler. `within`: the command that starts its process elsewhere.
    `extra`: variables of its environment.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", within: Sequence[str] = (), **extra: str) -> None:
        self.folder, self.port, self.within, self.extra = folder, free_port(), within, extra
        self.file = folder / "crew.json"
        write_crew(make_crew(host, self.port), self.file)
        self.processes: list[subprocess.Popen[str]] = []
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> subprocess.Popen[str]:
        process = self.start("crew", "start", "--file", "crew.json", within=self.within, **self.extra)
        wait_until(lambda: "the crew waits at" in self.log(process))
        return process

    def start_worker(
        self, *arguments: str, workers: int = 1, within: Sequence[str] = (), **extra: str
    ) -> subprocess.Popen[str]:
        return self.start(
            "worker", "crew.json", "--workers", str(workers), "--threads", "1", *arguments, within=within, **extra
        )

    def start(self, *arguments: str, within: Sequence[str] = (), **extra: str) -> subprocess.Popen[str]:
        """Starts a command in the crew's folder; its output goes to a log."""
        with (self.folder / f"process-{len(self.processes)}.log").open("w") as log:
            process = subprocess.Popen(
                [*within, sys.executable, "-m", "drilldown", *arguments],
                cwd=self.folder, env=environment(**extra), stdout=log, stderr=log, text=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def log(self, process: subprocess.Popen[str]) -> str:
        """The output of a process."""
        return (self.folder / f"process-{self.processes.index(process)}.log").read_text()

    def wait_for_workers(self, process: subprocess.Popen[str], count: int = 1) -> list[psutil.Process]:
        """Waits until the workers of a `drilldown worker` have joined; returns their processes."""
        wait_until(lambda: self.log(process).count("joined the crew") >= count)
        return workers_of(psutil.Process(process.pid))

    def stop(self) -> None:
        for process in self.processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                kill_family(psutil.Process(process.pid))
            process.wait(timeout=10)


@contextlib.contextmanager
def running_crew(
    folder: Path, host: str = "127.0.0.1", within: Sequence[str] = (), **extra: str
) -> Iterator[CrewProcesses]:
    """A crew without workers; all its processes end with the block."""
    crew = CrewProcesses(folder, host, within, **extra)
    try:
        yield crew
    finally:
        crew.stop()
