"""A finished run that the tests of runs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cli import LONG_RUN_EPOCHS, drilldown, only_run, world


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was not interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    world(folder, epochs=LONG_RUN_EPOCHS)
    done = drilldown("run", "tiny.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return only_run(folder)
