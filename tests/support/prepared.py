"""Runs the command in a process that is forked from a prepared one, in which the slow preparations are done.

Starting Python and importing PyTorch and matplotlib takes two seconds of a core, and hundreds of tests run the command.
A forked process starts in some milliseconds. It is a process of its own as before, with its own arguments, folder,
environment, output and exit code. Tests of the start itself, of signals and of workers start Python as a user does.

This file is also the program of the prepared process. For each request it forks a process that waits for the command,
and that one forks the command.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

MODULES = (
    "matplotlib.backends.backend_agg", "matplotlib.figure", "optuna", "scipy.stats", "torch", "drilldown.cli.app",
    "drilldown.report.run.writing", "drilldown.report.study.writing", "drilldown.terminal.live",
)  # fmt: skip
"""The modules that the commands import, directly or not, and that depend on no setting of a test."""
LARGEST_REQUEST = 1_000_000
"""The largest request in bytes: arguments and environment."""


def can_run(arguments: Sequence[str], changed: Mapping[str, str]) -> bool:
    """Whether a prepared process can run the command: not where Python itself starts others, or reads the setting.

    *Arguments*: `changed`: the variables of the environment that the test has set.
    """
    starts_others = {"--workers", "--on", "worker", "crew"} & set(arguments)
    return sys.platform == "linux" and not starts_others and not any(name.startswith("PYTHON") for name in changed)


def run_prepared(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Runs the command, as `subprocess.run` does.

    *Raises* TimeoutExpired after `timeout` seconds.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code = _run(arguments, cwd, env, timeout, (out.fileno(), err.fileno()))
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace").replace("\r\n", "\n"))
    return subprocess.CompletedProcess([*arguments], code, *texts)


def run_in_terminal(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Runs the command with a terminal of 24 × 80 characters; `stdout` of the result is all that it showed.

    *Raises* TimeoutExpired after `timeout` seconds.
    """
    import pty  # not on Windows
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    shown = bytearray()

    def read() -> None:
        with contextlib.suppress(OSError):  # every process has closed the terminal
            while chunk := os.read(ours, 10_000):
                shown.extend(chunk)

    reader = threading.Thread(target=read)  # a full terminal would stop the command
    reader.start()
    try:
        code = _run(arguments, cwd, env, timeout, (theirs, theirs))
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)
    return subprocess.CompletedProcess([*arguments], code, shown.decode("utf-8", "replace"))


def _run(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float, descriptors: tuple[int, int]
) -> int:
    """Runs the command with these descriptors as its output and its errors; returns the exit code."""
    request = json.dumps({"arguments": list(arguments), "cwd": os.fspath(cwd), "env": dict(env)}).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(_address())
        socket.send_fds(connection, [len(request).to_bytes(4, "big")], descriptors)
        connection.sendall(request)
        pid = _receive_number(connection)
        connection.settimeout(timeout)
        try:
            return _receive_number(connection)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired([*arguments], timeout) from None


@functools.cache
def _address() -> str:
    """Starts the prepared process of this test process; returns the path of its socket."""
    folder = tempfile.mkdtemp(prefix="prepared-")
    path = os.path.join(folder, "socket")
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    server = subprocess.Popen(
        [sys.executable, __file__, path], cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    atexit.register(server.communicate)  # it ends when its input ends, also where this process is killed
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    return path


def _receive_number(connection: socket.socket) -> int:
    received = connection.recv(8, socket.MSG_WAITALL)
    assert len(received) == 8, "the prepared process ended"
    return int.from_bytes(received, "big", signed=True)


def prepare() -> None:
    """Imports the modules, compiles the templates of the reports and draws the glyphs."""
    for name in MODULES:
        importlib.import_module(name)
    page, text = (importlib.import_module(f"drilldown.report.{name}") for name in ("page", "text"))
    for name in ("base", "parts", "run", "study"):
        page.PAGE_TEMPLATES.get_template(f"{name}.html.j2")
    for name in ("run", "study"):
        text.TEXT_TEMPLATES.get_template(f"{name}.md.j2")
    importlib.import_module("drilldown.data.loading").load_dataset("glyphs")


def serve(path: str) -> None:
    """Accepts requests until standard input ends. It returns in each process that runs a command."""
    prepare()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes that wait
        print("ready", flush=True)
        while True:
            readable, _, _ = select.select([listener, sys.stdin], [], [])
            if listener not in readable:
                os._exit(0)
            connection, _ = listener.accept()
            if not os.fork():
                break
            connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    prefix, descriptors, _, _ = socket.recv_fds(connection, 4, 2)
    request = json.loads(_receive(connection, int.from_bytes(prefix, "big")))
    pid = os.fork()
    if pid:
        connection.sendall(pid.to_bytes(8, "big", signed=True))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(code.to_bytes(8, "big", signed=True))
        os._exit(0)
    connection.close()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for target, descriptor in enumerate(descriptors, start=1):
        os.dup2(descriptor, target)
        os.close(descriptor)
    if os.isatty(1):  # the streams are those of the prepared process, which has no terminal
        sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115 - until the process ends
        sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[0] = os.getcwd()  # as with `python -m drilldown`
    sys.argv = [importlib.import_module("drilldown.__main__").__file__ or "", *request["arguments"]]


def _receive(connection: socket.socket, count: int) -> bytes:
    assert count <= LARGEST_REQUEST
    return connection.recv(count, socket.MSG_WAITALL)


if __name__ == "__main__":
    serve(sys.argv[1])
    from drilldown.__main__ import main

    main()
