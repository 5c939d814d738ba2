"""Searches whose process is killed, interrupted, or meets a full disk: the same candidates and the same journal."""

from __future__ import annotations

import errno
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from drilldown.search.journal import JOURNAL, read_journal
from support.cli import drilldown, environment, start, world
from support.faults import compile_faults
from support.outcome import outcome

EPOCHS = 4
KILLS, SOME_KILLS = 12, 2
FAILING_CALLS, SOME_FAILING_CALLS = tuple(range(24)), (2, 3, 4, 9)
COMMAND = ("search", "tiny.toml", "--set", "recipe.holdout=60", "--candidates", "3", "--threads", "1")
WAYS = {"one worker": (), "two workers, deterministic": ("--workers", "2", "--deterministic")}
"""A usual search with several workers learns results in the order in which they come, which is never the same."""
NOT_REPEATED = ("clock", "seconds")
ARMED = (
    "import ctypes, os, sys\n"
    "shim = ctypes.CDLL(os.environ['LD_PRELOAD'])\n"
    "shim.faults_arm(sys.argv.pop(1).encode(), ctypes.c_long(int(sys.argv.pop(1))), int(sys.argv.pop(1)))\n"
    "shim.faults_counted.restype = ctypes.c_long\n"
    "from drilldown.__main__ import main\n"
    "try:\n    main()\nfinally:\n    open('calls', 'w').write(str(shim.faults_counted()))\n"
)
"""The command with one failing write, flush or rename; it leaves the number of such calls in a file."""


def lab(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    world(folder, epochs=EPOCHS)
    return folder


def events(folder: Path) -> list[dict[str, Any]]:
    """The events of the only search in a folder, without times; none before it has begun."""
    found = list(folder.glob(f"runs/*/*-search-*/{JOURNAL}"))
    lines = read_journal(found[0].parent) if found else []
    return [{key: value for key, value in event.items() if key not in NOT_REPEATED} for event in lines]


def wait_for_events(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    while len(events(folder)) < count and process.poll() is None:
        time.sleep(0.01)


def answer(shown: str) -> list[str]:
    """The lines of an answer that have no path and no time."""
    return [line for line in shown.splitlines() if "runs/" not in line and "report" not in line]


@pytest.fixture(scope="module")
def whole_searches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """The folder and the answer of uninterrupted searches."""
    found = {}
    for name, options in WAYS.items():
        folder = lab(tmp_path_factory.mktemp("whole") / "lab")  # the folder's name is that of the study
        done = drilldown(*COMMAND, *options, cwd=folder)
        assert done.returncode == 0, done.stderr
        found[name] = folder, done.stdout
    return found


def assert_same(folder: Path, shown: str, whole: tuple[Path, str]) -> None:
    assert events(folder) == events(whole[0])
    assert answer(shown) == answer(whole[1])
    runs = sorted(path.relative_to(whole[0]) for path in whole[0].glob("runs/*/*candidate*/seed-*"))
    assert sorted(path.relative_to(folder) for path in folder.glob("runs/*/*candidate*/seed-*")) == runs
    for run in runs:
        assert outcome(folder / run) == outcome(whole[0] / run)
    assert not [entry for entry in folder.rglob("*") if entry.name.endswith(".partial")]


def test_one_worker_and_two_find_the_same(whole_searches: dict[str, tuple[Path, str]], tmp_path: Path) -> None:
    folder = lab(tmp_path / "lab")
    done = drilldown(*COMMAND, "--deterministic", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert_same(folder, done.stdout, whole_searches["two workers, deterministic"])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", WAYS)
def test_a_killed_search_that_is_repeated_finds_the_same(
    way: str, whole_searches: dict[str, tuple[Path, str]], thorough: bool, tmp_path: Path
) -> None:
    folder, chance = lab(tmp_path / "lab"), random.Random(way)
    count = len(events(whole_searches[way][0]))
    kills = KILLS if thorough else SOME_KILLS
    for kill in range(kills):
        process = start(*COMMAND, *WAYS[way], cwd=folder)
        wait_for_events(folder, count * kill // kills + 1, process)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        _, err = process.communicate(timeout=60)
        assert "Traceback" not in err
    done = drilldown(*COMMAND, *WAYS[way], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert_same(folder, done.stdout, whole_searches[way])


@pytest.mark.skipif(os.name != "posix", reason="Windows has another Ctrl-C")
@pytest.mark.parametrize("way", WAYS)
def test_an_interrupted_search_says_how_to_resume(
    way: str, whole_searches: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    folder = lab(tmp_path / "lab")
    with start(*COMMAND, *WAYS[way], "--runs", "runs/../runs", cwd=folder) as process:
        wait_for_events(folder, 8, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    _, interrupted, rest = err.partition("interrupted: ")
    assert interrupted
    last = (interrupted + rest).strip().splitlines()
    assert len(last) <= 3
    assert last[0] == "interrupted: every result and every finished epoch is saved"
    (resume,) = (line for line in last if line.startswith("resume with: "))
    command = shlex.split(resume.removeprefix("resume with: "))
    assert command[0] == "drilldown"
    done = drilldown(*command[1:], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert_same(folder, done.stdout, whole_searches[way])


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is that of Linux")
@pytest.mark.timeout(600)
def test_each_failing_write_gives_one_message_and_the_search_resumes(
    whole_searches: dict[str, tuple[Path, str]], thorough: bool, tmp_path: Path
) -> None:
    shim = compile_faults(tmp_path)
    folder = lab(tmp_path / "lab")
    (search,) = whole_searches["one worker"][0].glob("runs/*/*-search-*")
    broken = folder / search.relative_to(whole_searches["one worker"][0])
    for number in FAILING_CALLS if thorough else SOME_FAILING_CALLS:
        before = events(folder)
        done = subprocess.run(
            [sys.executable, "-c", ARMED, str(broken), str(number), str(errno.ENOSPC), *COMMAND],
            cwd=folder, env=environment(LD_PRELOAD=str(shim)), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if int((folder / "calls").read_text()) <= number:  # so little was left to do that no call failed
            assert done.returncode == 0, (number, done.stderr)
            continue
        assert done.returncode == 2, (number, done.stderr)
        messages = [line for line in done.stderr.splitlines() if line.startswith("drilldown: ")]
        assert len(messages) == 1, done.stderr
        assert "there is no space left" in messages[0]
        assert done.stderr.splitlines()[-1] == messages[0]
        assert events(folder)[: len(before)] == before
    done = drilldown(*COMMAND, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert_same(folder, done.stdout, whole_searches["one worker"])


def test_a_second_command_on_one_search_is_refused(tmp_path: Path) -> None:
    folder = lab(tmp_path / "lab")
    with start(*COMMAND, cwd=folder) as first:
        wait_for_events(folder, 2, first)
        second = drilldown(*COMMAND, cwd=folder)
        assert second.returncode == 2
        (message,) = (line for line in second.stderr.splitlines() if line.startswith("drilldown: "))
        assert "another process works on this search" in message
        assert second.stderr.splitlines()[-1] == message
        _, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
