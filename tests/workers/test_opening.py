"""Opening a pool: how many workers fit, and what one worker does not need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drilldown.workers import opening
from drilldown.workers.opening import WORKER_BYTES, count_cores, count_workers
from support.cli import environment, world

TRACE = """\
import atexit, json, sys
from pathlib import Path

atexit.register(lambda: Path("modules.json").write_text(json.dumps(sorted(sys.modules))))
sys.argv = ["drilldown", *sys.argv[1:]]
from drilldown.__main__ import main

main()
"""


@pytest.mark.parametrize(("workers_of_memory", "expected"), [(0, 1), (1, 1), (1.9, 1), (2.1, 2), (1000, 8)])
def test_workers_are_bounded_by_cores_and_memory(
    workers_of_memory: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "count_cores", lambda: 8)
    monkeypatch.setattr(opening, "available_memory", lambda: int(workers_of_memory * WORKER_BYTES))
    assert count_workers("cpu") == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds a process to cores")
def test_cores_are_those_of_this_process() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert count_cores() == count_workers("cpu") == 1
    finally:
        os.sched_setaffinity(0, before)
    assert count_cores() == len(before)


@pytest.mark.parametrize(
    "arguments", [("run", "tiny.toml"), ("run", "tiny.toml", "--seeds", "2", "--workers", "1"), ("worker", "--help")]
)
def test_one_worker_starts_without_dask(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Dask takes half a second; a command that trains in its own process must not wait for it."""
    world(tmp_path, epochs=2)
    done = subprocess.run(
        [sys.executable, "-c", TRACE, *arguments],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in json.loads((tmp_path / "modules.json").read_text())}
    assert not loaded & {"dask", "distributed", "cryptography", "optuna", "tornado"}
