"""Finds what comes with drilldown and is no Python module: the studies and the plain pipelines."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def resource_folder(name: str) -> Path:
    """A folder that an installed package carries inside itself and a checkout keeps beside `src`.

    >>> resource_folder("studies").is_dir()
    True
    """
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parents[1] / name
