"""What the examples in docstrings may use without importing it."""

from __future__ import annotations

import io
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import drilldown

# Each of these modules imports a package that is an extra.
collect_ignore = [
    f"src/drilldown/tracking/{name}.py" for name in ("tensorboard", "mlflow", "wandb") if find_spec(name) is None
]


@pytest.fixture(autouse=True)
def _examples_know_drilldown(doctest_namespace: dict[str, object]) -> None:
    doctest_namespace.update(drilldown=drilldown, Path=Path, io=io, tempfile=tempfile, torch=torch)
