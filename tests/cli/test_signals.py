"""SIGINT and SIGTERM at any moment: the exit code of an interrupted command, and no traceback."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cli import environment, start, world

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, which Linux has")

TRIES = 8
"""The number of moments at which each command is interrupted."""
SECONDS = 3.0
WAIT = "import time\ndef wait():\n    for _ in range(600): time.sleep(0.05)\n"
"""Python answers a signal that comes just before a sleep only after it: many short sleeps take its place."""
SLOW_IMPORT = WAIT + "open('begun', 'w').close()\n{body}\n"


def catches(process: subprocess.Popen[str]) -> bool:
    """Whether the process has a handler for SIGTERM. Python has none of its own, so the command's code has begun."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return bool(int(status.split("SigCgt:")[1].split()[0], 16) >> (signal.SIGTERM - 1) & 1)


@contextlib.contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Ends the process with the test, also where the test fails."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


@pytest.mark.parametrize("number", range(TRIES))
@pytest.mark.parametrize(("command", "last_words"), [("run", "report.md"), ("summary", "peak activations")])
def test_a_signal_at_any_moment_gives_its_exit_code_and_no_traceback(
    command: str, last_words: str, number: int, tmp_path: Path
) -> None:
    world(tmp_path, epochs=500)
    sent = (signal.SIGINT, signal.SIGTERM)[number % 2]
    with ending(start(command, "tiny.toml", cwd=tmp_path)) as process:
        wait_until(lambda: catches(process))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS * (number / TRIES) ** 2)  # denser at the start, when modules are imported
        process.send_signal(sent)
        out, err = process.communicate(timeout=60)
    assert "Traceback" not in out + err
    assert "internal error" not in err
    complete = last_words in out  # then the command has ended, and Python exits without its code
    assert process.returncode in ([128 + sent, -sent, 0] if complete else [128 + sent]), err


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "body",
    [
        "try:\n    wait()\nexcept BaseException:\n    pass\nwait()",
        "try:\n    wait()\nexcept BaseException as error:\n    raise ImportError('broken') from error",
    ],
    ids=["swallows", "replaces"],
)
def test_an_import_that_catches_everything_is_left_at_once(sent: signal.Signals, body: str, tmp_path: Path) -> None:
    """The module stands for PyTorch and NumPy, whose imports do this in a few of a hundred tries."""
    world(tmp_path)
    (tmp_path / "torch.py").write_text(SLOW_IMPORT.format(body=body))
    with ending(start("summary", "tiny.toml", cwd=tmp_path, PYTHONPATH=str(tmp_path))) as process:
        wait_until((tmp_path / "begun").exists)
        begun = time.monotonic()
        process.send_signal(sent)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (128 + sent, "", "drilldown: interrupted\n")
        assert time.monotonic() - begun < 5


def run_main(work: str, folder: Path) -> subprocess.Popen[str]:
    """Starts `main` with other work in place of the command, which tells by the file `begun` that it works."""
    code = (
        f"import sys\n{WAIT}from drilldown import __main__\nfrom drilldown.cli import app\n"
        f"def work(*arguments, **options):\n    open('begun', 'w').close()\n{work}\n"
        "app.app = work\n__main__.main()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=environment(PYTHONUNBUFFERED=""), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


SWALLOWED = {
    "and the command ends normally": "    try: wait()\n    except BaseException: print('end')",
    "in a destructor": (
        "    class Guard:\n        def __del__(self): wait()\n    guard = Guard()\n    del guard\n    wait()"
    ),
    "and becomes another error": (
        "    try: wait()\n    except BaseException as error: raise RuntimeError('aborted') from error"
    ),
}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("work", SWALLOWED.values(), ids=SWALLOWED.keys())
def test_an_interruption_that_is_swallowed_still_gives_the_exit_code(
    work: str, sent: signal.Signals, tmp_path: Path
) -> None:
    with ending(run_main(work, tmp_path)) as process:
        wait_until((tmp_path / "begun").exists)
        time.sleep(0.1)
        process.send_signal(sent)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 128 + sent
        assert "Traceback" not in err
        assert "internal error" not in err


def test_a_second_signal_leaves_at_once_with_what_was_printed(tmp_path: Path) -> None:
    work = "    sys.stdout.write('printed')\n    try: wait()\n    except BaseException: wait()"
    with ending(run_main(work, tmp_path)) as process:
        wait_until((tmp_path / "begun").exists)
        for sent in (signal.SIGINT, signal.SIGTERM):
            time.sleep(0.2)
            process.send_signal(sent)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (143, "printed", "drilldown: interrupted\n")


def test_streams_that_nobody_reads_do_not_delay_the_end(tmp_path: Path) -> None:
    """Both pipes are full, so that one more blocking write would wait for ever."""
    work = (
        "    import os\n    sys.stdout.write('more')\n"
        "    for number in (1, 2):\n        os.set_blocking(number, False)\n"
        "        try:\n            while True: os.write(number, b'x' * 4096)\n        except OSError: pass\n"
        "        os.set_blocking(number, True)\n"
        "    open('full', 'w').close()\n    wait()"
    )
    with ending(run_main(work, tmp_path)) as process:
        wait_until((tmp_path / "full").exists)
        time.sleep(0.1)
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert process.wait(10) == 143


def test_the_cursor_is_shown_again_in_a_terminal(tmp_path: Path) -> None:
    import pexpect

    world(tmp_path)
    (tmp_path / "torch.py").write_text(SLOW_IMPORT.format(body="wait()"))
    child = pexpect.spawn(
        sys.executable, ["-m", "drilldown", "summary", "tiny.toml"], cwd=tmp_path,
        env={**environment(PYTHONPATH=str(tmp_path)), "TERM": "xterm"}, encoding="utf-8", timeout=60,
    )  # fmt: skip
    wait_until((tmp_path / "begun").exists)
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert "\x1b[?25h" in child.before
    assert "drilldown: interrupted" in child.before


def test_a_signal_that_the_parent_ignores_stays_ignored(tmp_path: Path) -> None:
    work = "    time.sleep(1)\n    print('end')"
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        started = run_main(work, tmp_path)
    finally:
        signal.signal(signal.SIGINT, previous)
    with ending(started) as process:
        wait_until((tmp_path / "begun").exists)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "end\n", "")
