from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.cli import world
from support.kernel import Notebook, notebook

SETUP = """\
import drilldown
experiment = drilldown.load("tiny.toml")
TORCH = drilldown.Compute(engine="torch", threads=1)
from drilldown.notebook import lines
lines.REDRAW_SECONDS = 0  # an epoch here is shorter than the usual time between two updates
"""


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """A notebook in a folder with a small experiment, which the variable `experiment` holds; its cache is empty."""
    folder = tmp_path_factory.mktemp("notebook")
    world(folder, epochs=3)
    own = {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_DATA_HOME": str(folder / "data")}
    with notebook(folder, **own) as started:
        started.run_well(SETUP)
        yield started
