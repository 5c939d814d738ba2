"""Runs that are killed with SIGKILL at random moments end with the bits of an uninterrupted run."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from drilldown.runs.run import Run
from support.cli import drilldown, only_run, start, world
from support.faults import EPOCHS
from support.outcome import outcome

KILLS, SOME_KILLS = 25, 3
"""Per engine."""


@pytest.mark.timeout(600)
def test_a_killed_run_ends_with_the_same_bits(engine: str, whole: Path, thorough: bool, tmp_path: Path) -> None:
    world(tmp_path, epochs=EPOCHS)
    chance = random.Random(engine)
    kills = 0
    while kills < (KILLS if thorough else SOME_KILLS):
        runs = list((tmp_path / "runs").glob("*/*/seed-*/state.safetensors"))
        command = ("resume", str(runs[0].parent)) if runs and chance.random() < 0.5 else ("run", "tiny.toml")
        process = start(*command, "--engine", engine, "--threads", "1", cwd=tmp_path)
        assert process.stdout is not None
        if chance.random() < 0.2:  # while it starts, or writes its first files
            time.sleep(chance.uniform(0, 2.5))
        else:
            stop_after = chance.randint(0, 3)
            for line in process.stdout:
                if line.strip().startswith("epoch"):
                    break
            for _, line in zip(range(stop_after), process.stdout, strict=False):
                assert "Traceback" not in line
            time.sleep(chance.uniform(0, 0.02))
        if process.poll() is None:
            process.kill()
            kills += 1
        _, rest = process.communicate()
        assert "Traceback" not in rest
        finished = list((tmp_path / "runs").glob("*/*/*/summary.json"))
        if finished:  # a kill too late; the next round begins with a run that has lost its last half
            assert outcome(only_run(tmp_path)) == outcome(whole)
            Run(only_run(tmp_path)).clear()
    done = drilldown("run", "tiny.toml", "--engine", engine, "--threads", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert outcome(only_run(tmp_path)) == outcome(whole)
    assert not [entry for entry in only_run(tmp_path).iterdir() if entry.name.endswith(".partial")]
