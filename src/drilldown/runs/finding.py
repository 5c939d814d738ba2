"""Finds runs on disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.loading import read_experiment
from drilldown.experiment.studies import find_experiment_file
from drilldown.runs.folder import run_paths
from drilldown.runs.run import Run
from drilldown.settings import RUNS_DIR


def all_runs(runs_dir: Path | str = RUNS_DIR) -> list[Run]:
    """All runs, the one that changed last first.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     all_runs(folder)
    []
    """
    return [Run(path) for path in run_paths(runs_dir)]


def find_run(reference: str | Path, runs_dir: Path | str = RUNS_DIR) -> Run:
    """The run in a folder, or `last`: the one that changed last; raises DrilldownError where there is none.

    Where the experiment's file is found and still trains the same, the file's words and budget hold.

    >>> find_run("last", "nowhere")
    Traceback (most recent call last):
    drilldown.errors.DrilldownError: nowhere: there are no runs here; try drilldown run
    """
    if reference == "last":
        unreadable: list[DrilldownError] = []
        known = run_paths(runs_dir, unreadable.append)
        if not known and unreadable:
            raise unreadable[0]
        if not known:
            raise DrilldownError(Problem(file=runs_dir, found="there are no runs here", suggestion="try drilldown run"))
        return _with_source(Run(known[0]))
    path = Path(reference)
    if is_run(path):
        return _with_source(Run(path))
    # os.path: Path's own methods raise where a name is too long.
    inside = sorted(path.glob("seed-*/experiment.toml")) if os.path.isdir(path) else []
    if len(inside) == 1:
        return _with_source(Run(inside[0].parent))
    seeds = ", ".join(file.parent.name for file in inside)
    raise DrilldownError(
        Problem(
            file=path,
            found=f"holds several runs: {seeds}" if inside else "no run here",
            expected='a run\'s folder, such as runs/STUDY/STEP-FINGERPRINT/seed-0, or "last"',
        )
    )


def rebudget(run: Run, overrides: Sequence[str]) -> Run:
    """The run, judged by another budget.

    *Arguments*: `overrides`: settings as in `--set`, such as `budget.accuracy=99`.

    *Raises* DrilldownError where a setting is wrong, or is one that the training depends on.
    """
    if not overrides:
        return run
    for override in overrides:
        if not override.startswith("budget."):
            raise DrilldownError(
                Problem(
                    place=f"--set {override}",
                    found="the run is trained already",
                    expected="a setting of the budget, such as budget.accuracy=99",
                )
            )
    file = run.source.path if run.source and run.source.path else run.path / "experiment.toml"
    return Run(run.path, source=read_experiment(file, overrides, name=run.name))


def _with_source(run: Run) -> Run:
    """The run with the words and the budget of its experiment's file, if that file still trains the same."""
    with contextlib.suppress(DrilldownError):  # without such a file, or with a broken one, the run is shown as it was
        source = read_experiment(find_experiment_file(run.name))
        if source.name == run.name and source.fingerprint == run.trained_experiment.fingerprint:
            return Run(run.path, source=source)
    return run


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run."""
    return os.path.isfile(folder / "experiment.toml")  # Path's own raises where a name is too long
