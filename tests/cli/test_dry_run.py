"""`--dry-run` of run, study and ablate."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drilldown.errors import DrilldownError
from support.cli import drilldown, world
from support.study import command, write_study

UNSTABLE = """\
title = "Too fast"
extends = "01-plain.toml"
[recipe]
optimizer = { name = "sgd", lr = 1e30 }
"""


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_run_tries_everything_and_leaves_nothing(tmp_path: Path) -> None:
    world(tmp_path)
    before = files(tmp_path)
    out, err = command("run", "tiny.toml", "--seeds", "3", "--dry-run", cwd=tmp_path)
    assert files(tmp_path) == before
    assert re.search(r"^passed  .*/tiny: (native|torch) on cpu, [\d.]+ s$", out, re.M)
    assert "passed  report" in out
    assert re.search(r"dry run passed in \d+ s; 3 runs will take about [\d.]+ MB in runs; nothing was left there", out)
    assert "epoch" not in err


def test_study_tries_each_step_once_and_names_the_one_that_fails(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    (study / "04-fast.toml").write_text(UNSTABLE)
    before = files(tmp_path)
    done = drilldown("study", "climb", "--dry-run", "--engine", "torch", cwd=tmp_path)
    assert files(tmp_path) == before
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "passed  climb/01-plain", "passed  climb/02-norm", "passed  climb/03-wider", "failed  climb/04-fast",
        "passed  report",
    ]  # fmt: skip
    assert done.returncode == 2
    assert "climb/04-fast" in done.stderr
    assert "a smaller recipe.optimizer.lr" in done.stderr
    assert "Traceback" not in done.stderr


def test_ablate_tries_each_variation(tmp_path: Path) -> None:
    world(tmp_path)
    before = files(tmp_path)
    out, _ = command("ablate", "tiny.toml", "--seeds", "2", "--dry-run", cwd=tmp_path)
    assert files(tmp_path) == before
    assert "/tiny-without-batch-norm: " in out
    assert out.count("passed  ") > 5
    assert re.search(r"\d+ runs will take", out)


def test_a_single_experiment_keeps_its_exit_code(tmp_path: Path) -> None:
    world(tmp_path)
    with pytest.raises(DrilldownError) as caught:
        command("run", "tiny.toml", "--set", "recipe.optimizer.lr=1e30", "--dry-run", "--engine", "torch", cwd=tmp_path)
    assert caught.value.exit_code == 4


def test_a_crew_that_is_not_there_is_found(tmp_path: Path) -> None:
    world(tmp_path)
    with pytest.raises(DrilldownError, match=r"nowhere\.json"):
        command("run", "tiny.toml", "--on", "nowhere.json", "--dry-run", cwd=tmp_path)


def test_study_and_ablate_list_what_they_are_about_to_train(tmp_path: Path) -> None:
    write_study(tmp_path, epochs=1)
    _, err = command("study", "climb", "--seeds", "2", cwd=tmp_path)
    assert "climb: 0 of 6 runs finished, 6 to train" in err
    assert "\n  01-plain  seeds 0, 1\n  02-norm   seeds 0, 1\n  03-wider  seeds 0, 1\n" in err
    _, err = command("study", "climb", "--seeds", "3", cwd=tmp_path)
    assert "\n  01-plain  seed 2\n" in err
    _, err = command("study", "climb", "--seeds", "3", cwd=tmp_path)
    assert "seed 2" not in err
