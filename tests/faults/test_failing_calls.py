"""Each write, fsync and rename of a run fails once: one message, nothing lost, the same bits in the end."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drilldown.runs.run import Run
from support.cli import environment, world
from support.faults import compile_faults
from support.outcome import outcome

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD and fork are those of Linux")
SERVER = Path(__file__).parents[1] / "support" / "fault_server.py"
ERRORS = (errno.EIO, errno.ENOSPC)
SOME = 16
"""Every sixteenth call fails, where not all are tried."""

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Trains a run with one failing call in a process that is ready for it."""
    folder = tmp_path_factory.mktemp("faults")
    shim = compile_faults(folder)
    experiment = world(folder, epochs=3)
    server = subprocess.Popen(
        [sys.executable, str(SERVER), str(experiment)],
        env=environment(LD_PRELOAD=str(shim)), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert server.stdin is not None
    assert server.stdout is not None

    def ask(run: Path, engine: str, number: int = -1, error: int = 0, *, report: bool = True) -> dict[str, Any]:
        request = {"folder": str(run), "engine": engine, "number": number, "error": error, "report": report}
        server.stdin.write(json.dumps(request) + "\n")  # type: ignore[union-attr]
        server.stdin.flush()  # type: ignore[union-attr]
        answer: dict[str, Any] = json.loads(server.stdout.readline())  # type: ignore[union-attr]
        return answer

    with server:
        yield ask
        server.stdin.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("error", ERRORS, ids=os.strerror)
def test_each_call_fails_once(error: int, engine: str, ask: Ask, thorough: bool, tmp_path: Path) -> None:
    right = tmp_path / "right" / "seed-0"
    undisturbed = ask(right, engine)
    assert undisturbed["code"] == 0, undisturbed
    before_report = ask(tmp_path / "bare" / "seed-0", engine, report=False)["calls"]
    wanted = outcome(right)
    calls = undisturbed["calls"]
    assert calls > 60  # writes, flushes and renames of a dozen files
    for number in range(0, calls, 1 if thorough else SOME):
        run = tmp_path / str(number) / "seed-0"
        failed = ask(run, engine, number, error)
        assert failed["code"] == 2, (number, failed)
        assert os.strerror(error) in failed["message"]
        assert len(failed["message"].splitlines()) == 1
        saved = len(Run(run).epochs) if run.exists() else 0
        repeated = ask(run, engine, report=number >= before_report)
        assert repeated["code"] == 0, (number, repeated)
        assert outcome(run) == wanted, number
        assert saved <= len(Run(run).epochs)
        assert not [entry for entry in run.rglob("*") if entry.name.endswith(".partial")]
        shutil.rmtree(run.parent)
