"""Three processes train one study; one of them is killed: each run is trained once, and the others finish the list."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown.experiment.studies import Study
from drilldown.runs.folder import FINISHED
from drilldown.runs.perform import perform
from drilldown.runs.run import Run
from drilldown.settings import Compute
from support.cli import start
from support.outcome import outcome
from support.study import steps_of, write_study

SEEDS = 3


@pytest.mark.timeout(300)
def test_three_processes_on_one_study(tmp_path: Path) -> None:
    study = write_study(tmp_path, epochs=40)
    command = ("study", "climb", "--seeds", str(SEEDS), "--threads", "1", "--engine", "native")
    processes = [start(*command, cwd=tmp_path) for _ in range(3)]
    victim = processes[1]
    while not list((tmp_path / "runs").glob("*/*/*/state.safetensors")):
        assert victim.poll() is None
    victim.kill()
    victim.communicate()
    others = [processes[0], processes[2]]
    outputs = [process.communicate(timeout=200) for process in others]
    assert [process.returncode for process in others] == [0, 0], outputs
    assert not any("Traceback" in err for _, err in outputs)
    runs = [Run.of(step, seed, tmp_path / "runs") for step in steps_of(study) for seed in range(SEEDS)]
    assert [run.status for run in runs] == [FINISHED] * len(runs)
    trained = sum(err.count("run ") for _, err in outputs)
    assert trained >= len(runs) - 1
    for run in (runs[0], runs[-1]):
        alone = perform(
            run.experiment, seed=run.seed, run_dir=tmp_path / "alone" / run.path.parent.name / run.path.name,
            compute=Compute(engine="native", threads=1),
        )  # fmt: skip
        assert outcome(alone.path) == outcome(run.path)
    assert len(Study(study).steps) == 3
    leftovers = [entry for entry in (tmp_path / "runs").rglob("*") if entry.name.endswith(".partial")]
    assert leftovers == []
