"""A crew that tests share, and the same trainings without it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from drilldown import Compute, Folders, load, perform
from drilldown.engines.native.cache import cache_folder
from drilldown.engines.native.library import load_library
from support.cli import world
from support.crews import CrewProcesses, running_crew, trained_files
from support.mirror import NOWHERE


@dataclass(frozen=True)
class SharedCrew:
    """A crew with two workers; no test ends or disturbs them."""

    processes: CrewProcesses
    workers: tuple[psutil.Process, ...]

    @property
    def on(self) -> tuple[str, str]:
        """The option that trains on this crew."""
        return ("--on", str(self.processes.file))

    @property
    def cpu_seconds(self) -> float:
        """The processor time that the workers have taken."""
        return sum(worker.cpu_times().user for worker in self.workers)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder with an experiment and its dataset."""
    world(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def shared_crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedCrew]:
    """Its workers have no datasets and reach no mirror; only the compiled engine lies in their cache."""
    folder = tmp_path_factory.mktemp("crew")
    load_library()
    shutil.copytree(cache_folder(), folder / "cache" / "drilldown" / "native")
    nothing = {"DRILLDOWN_DATA": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "DRILLDOWN_MIRROR": NOWHERE}
    with running_crew(folder) as crew:
        process = crew.start_worker(workers=2, **nothing)
        yield SharedCrew(crew, tuple(crew.wait_for_workers(process, 2)))


@pytest.fixture(scope="session")
def train_alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, bytes]]:
    """Trains the experiment of `lab` in this process, as often as tests ask; returns the trained files."""
    trained: dict[tuple[int, int], dict[str, bytes]] = {}

    def train(*, epochs: int = 4, seeds: int) -> dict[str, bytes]:
        if (epochs, seeds) not in trained:
            folder = tmp_path_factory.mktemp("alone")
            experiment = load(world(folder), [f"recipe.epochs={epochs}"])
            for seed in range(seeds):
                perform(experiment, seed=seed, compute=Compute(threads=1), folders=Folders(runs=folder / "runs"))
            trained[epochs, seeds] = trained_files(folder)
        return trained[epochs, seeds]

    return train
