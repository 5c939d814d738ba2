"""The battery of faults: `make faults` tries all of them, `make test` a part."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.cli import drilldown, only_run, world
from support.faults import EPOCHS

ALL = os.environ.get("FAULTS") == "all"


@pytest.fixture(scope="session")
def thorough() -> bool:
    """Whether all faults are tried."""
    return ALL


@pytest.fixture(scope="session", params=["native", "torch"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def whole(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, by engine, that nothing disturbed."""
    folder = tmp_path_factory.mktemp(f"whole-{engine}")
    world(folder, epochs=EPOCHS)
    done = drilldown("run", "tiny.toml", "--engine", engine, "--threads", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    return only_run(folder)
