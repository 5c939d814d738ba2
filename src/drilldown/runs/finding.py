"""Finds runs on disk."""

from __future__ import annotations

import os
from pathlib import Path

from drilldown.errors import DrilldownError, Problem
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
        return Run(known[0])
    path = Path(reference)
    if is_run(path):
        return Run(path)
    # os.path: Path's own methods raise where a name is too long.
    inside = sorted(path.glob("seed-*/experiment.toml")) if os.path.isdir(path) else []
    if len(inside) == 1:
        return Run(inside[0].parent)
    seeds = ", ".join(file.parent.name for file in inside)
    raise DrilldownError(
        Problem(
            file=path,
            found=f"holds several runs: {seeds}" if inside else "no run here",
            expected='a run\'s folder, such as runs/STUDY/STEP-FINGERPRINT/seed-0, or "last"',
        )
    )


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run."""
    return os.path.isfile(folder / "experiment.toml")  # Path's own raises where a name is too long
