"""A folder with one finished run, shared by the tests of a module."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cli import drilldown, world


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run."""
    folder = tmp_path_factory.mktemp("lab")
    world(folder, epochs=3)
    done = drilldown("run", "tiny.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return folder
