"""Finds the files that are shipped with drilldown and are not Python modules: the studies."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def resource_folder(name: str) -> Path:
    """A shipped folder: inside the package where it is installed, beside `src` in a checkout.

    >>> resource_folder("studies").is_dir()
    True
    """
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parents[1] / name
