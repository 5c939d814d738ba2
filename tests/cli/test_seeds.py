"""`drilldown run --seeds`: finished runs are shown, missing runs are trained; a seed that diverges stops no other."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from drilldown import Folders, load
from drilldown.cli.app import app
from drilldown.errors import TrainingDivergedError
from drilldown.experiment.experiment import Experiment
from drilldown.runs import pool
from drilldown.runs.perform import perform
from drilldown.runs.run import Run
from drilldown.runs.writer import RunWriter
from drilldown.training.training import Training
from support.cli import drilldown, world
from support.study import command


def test_seeds_are_trained_one_after_another_and_summarised(tmp_path: Path) -> None:
    world(tmp_path, epochs=2)
    shown = drilldown("run", "tiny.toml", "--seeds", "2", cwd=tmp_path, COLUMNS="80")
    assert shown.returncode == 0, shown.stderr
    assert "2 of 2 seeds" in shown.stdout
    assert sorted(path.name for path in tmp_path.glob("runs/*/*/seed-*")) == ["seed-0", "seed-1"]
    assert len(list(tmp_path.glob("runs/*/*/seed-*/report.html"))) == 2
    assert max(len(line) for line in shown.stdout.splitlines() if "/" not in line) <= 80  # paths are never cut


def test_finished_seeds_are_shown_first_and_only_missing_ones_are_trained(tmp_path: Path) -> None:
    world(tmp_path, epochs=1)
    command("run", "tiny.toml", "--seed", "1", cwd=tmp_path)
    (state,) = tmp_path.glob("runs/*/*/seed-1/state.safetensors")
    written = state.stat().st_mtime_ns
    out, err = command("run", "tiny.toml", "--seeds", "3", cwd=tmp_path)
    assert "1 of 3 runs finished, 2 to train" in err
    assert re.findall(r"^run .*(seed-\d)$", out, re.MULTILINE) == ["seed-1", "seed-0", "seed-2"]
    assert state.stat().st_mtime_ns == written
    _, err = command("run", "tiny.toml", "--seeds", "3", cwd=tmp_path)
    assert "3 of 3 runs finished, nothing left to train" in err
    _, err = command("run", "tiny.toml", "--seeds", "3", "--again", cwd=tmp_path)
    assert "run 3 of 3" in err
    assert state.stat().st_mtime_ns > written


def test_a_seed_that_diverges_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def perform_but_diverge_first(experiment: Experiment, *, seed: int, run_dir: Path, **options: Any) -> Run:
        if seed == 0:
            with Run(run_dir).lock():
                RunWriter(Run(run_dir), Training(experiment, seed=0)).diverge(TrainingDivergedError("the loss is nan"))
            raise TrainingDivergedError("the loss is nan")
        return perform(experiment, seed=seed, run_dir=run_dir, **options)

    world(tmp_path, epochs=1)
    monkeypatch.setattr(pool, "perform", perform_but_diverge_first)
    out, err = command("run", "tiny.toml", "--seeds", "2", cwd=tmp_path)
    assert "/tiny, seed 0, diverged and counts as failed: the loss is nan" in err
    assert "✗ diverged" in out or "x diverged" in out
    assert "of 2 seeds" in out


def test_an_interrupted_list_prints_the_command_that_resumes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> Run:
        raise KeyboardInterrupt

    world(tmp_path, epochs=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool, "perform", interrupt)
    given = ["run", "tiny.toml", "--set", "recipe.epochs=2", "--seeds", "2", "--runs", "my runs", "--threads", "1"]
    with contextlib.suppress(KeyboardInterrupt, typer.Abort):
        app(given, standalone_mode=False)
    count, resume = capsys.readouterr().err.strip().splitlines()[-2:]
    assert count == "interrupted: 0 of 2 runs finished, and every finished epoch is saved"
    assert shlex.split(resume.removeprefix("resume with: ")) == ["drilldown", *given]


def test_an_interrupted_repetition_of_a_list_resumes_without_losing_what_was_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt_second(experiment: Experiment, *, seed: int, **options: Any) -> Run:
        if seed == 1:
            raise KeyboardInterrupt
        return perform(experiment, seed=seed, **options)

    world(tmp_path, epochs=1)
    command("run", "tiny.toml", "--seeds", "3", cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool, "perform", interrupt_second)
    time.sleep(0.1)  # longer than the file system's clock takes to advance
    with contextlib.suppress(KeyboardInterrupt, typer.Abort):
        app(["run", "tiny.toml", "--seeds", "3", "--again"], standalone_mode=False)
    resume, old = capsys.readouterr().err.strip().splitlines()[-2:]
    assert resume == "resume with: drilldown run tiny.toml --seeds 3"
    assert old == "not repeated yet: seed 1, 2; repeat each with --again --seed N"


def test_the_exit_code_is_4_where_all_seeds_diverge(tmp_path: Path) -> None:
    world(tmp_path)
    failed = drilldown("run", "tiny.toml", "--seeds", "2", "--set", "recipe.optimizer.lr=1e30", cwd=tmp_path)
    assert failed.stdout.count("diverged") == 2
    assert "budget met: 0 of 2 seeds" in failed.stdout
    assert failed.returncode == 4


def test_a_diverged_seed_counts_as_a_failure(tmp_path: Path) -> None:
    file = world(tmp_path)
    for seed in (0, 1):
        perform(load(file), seed=seed, folders=Folders(runs=tmp_path / "runs"))
    with pytest.raises(TrainingDivergedError):
        perform(load(file, ["recipe.optimizer.lr=1e30"]), seed=2, folders=Folders(runs=tmp_path / "elsewhere"))
    (diverged,) = (tmp_path / "elsewhere").glob("*/*/seed-2")
    shutil.copytree(diverged, Run.of(load(file), 2, tmp_path / "runs").path)
    judged = drilldown("verdict", "tiny.toml", cwd=tmp_path)
    assert "2 of 3 seeds" in judged.stdout
    assert judged.returncode == 3
