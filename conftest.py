"""What the examples in docstrings may use without importing it."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pytest
import torch

import drilldown


@pytest.fixture(autouse=True)
def _examples_know_drilldown(doctest_namespace: dict[str, object]) -> None:
    doctest_namespace.update(drilldown=drilldown, Path=Path, io=io, tempfile=tempfile, torch=torch)
