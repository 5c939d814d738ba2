"""Runs that the tests of trackers share, and copies of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from drilldown import Folders, load, perform
from drilldown.errors import TrainingDivergedError
from drilldown.runs.run import Run
from support.cli import world

EPOCHS = 3


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs with a finished run of three epochs, and one with another seed."""
    folder = tmp_path_factory.mktemp("trained")
    experiment = load(world(folder, epochs=EPOCHS))
    for seed in (0, 1):
        perform(experiment, seed=seed, folders=Folders(runs=folder / "runs"))
    return folder / "runs"


@pytest.fixture(scope="session")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that diverged in its first epoch."""
    folder = tmp_path_factory.mktemp("diverged")
    experiment = load(world(folder), ["recipe.optimizer.lr=1e30"])
    with pytest.raises(TrainingDivergedError):
        perform(experiment, folders=Folders(runs=folder / "runs"))
    return Run.of(experiment, 0, folder / "runs").path


@pytest.fixture
def run_dir(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run with seed 0."""
    return copy_of(trained, tmp_path)(0)


@pytest.fixture
def running_dir(run_dir: Path) -> Path:
    """A copy of the run as it was before its end: three epochs are saved, and there is no summary."""
    (run_dir / "summary.json").unlink()
    return run_dir


def copy_of(trained: Path, folder: Path) -> Callable[[int], Path]:
    """Copies the folder of runs; returns a function from seed to run folder."""
    shutil.copytree(trained, folder / "runs", dirs_exist_ok=True)
    (step,) = (folder / "runs").glob("*/*")
    return lambda seed: step / f"seed-{seed}"
