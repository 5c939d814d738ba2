"""Fixtures of the native engine's tests."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from drilldown.engines.native import library
from support.cli import world
from support.native import write_stub

MODULE = """\
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an experiment, its data and a module."""
    world(tmp_path, epochs=1)
    (tmp_path / "model.py").write_text(MODULE)
    return tmp_path


@pytest.fixture
def small_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small source with all functions of the library, which compiles quickly, and an empty cache.

    Finding, compiling, sharing and loading a library do not depend on its content.
    """
    folder = write_stub(tmp_path / "sources")
    shutil.copy(library.__file__, folder)  # for another process, which looks for the sources beside the module
    monkeypatch.setattr(library, "SOURCES", folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def cache(small_sources: Path, tmp_path: Path) -> Path:
    """The folder of cached libraries."""
    assert small_sources.is_dir()
    if sys.platform != "linux":
        pytest.skip("XDG_CACHE_HOME moves the cache on Linux only")
    return tmp_path / "cache" / "drilldown" / "native"
