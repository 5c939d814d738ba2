"""Datasets that travel: the files that a machine sends, and where another machine has put them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from drilldown.data.catalogue import CATALOGUE, GLYPHS, QMNIST, STEMS, WRITERS, is_dataset_folder
from drilldown.data.finding import dataset_folders, find_files

OWN = "own"
"""The folder of the files of a dataset that has no name."""
_placed: dict[str, Path] = {}
"""The folders of datasets that came from another machine, by the paths that experiments have for them."""


def dataset_files(name: str, folder: Path | str | None = None) -> dict[str, Path]:
    """Returns the files of a dataset that `load_dataset` has loaded, by the paths that they have on another machine.

    *Arguments*: those of `load_dataset`.

    >>> dataset_files("glyphs")
    {}
    """
    if name == GLYPHS:
        return {}
    if is_dataset_folder(name):
        return _named(OWN, find_files([placed_folder(name)], STEMS))
    files = _named(name, find_files(dataset_folders(name, folder), tuple(CATALOGUE[name])))
    if name in WRITERS:
        files |= _named(QMNIST, find_files(dataset_folders(QMNIST, folder), [WRITERS[name].stem]))
    return files


def place_dataset(path: str, folder: Path) -> None:
    """Says where this process finds a dataset whose path belongs to another machine."""
    _placed[path] = folder


def placed_folder(path: str) -> Path:
    """Returns the folder of a dataset that has no name.

    >>> place_dataset("/home/ada/letters", Path("/tmp/own"))
    >>> placed_folder("/home/ada/letters"), placed_folder("./letters")
    (PosixPath('/tmp/own'), PosixPath('letters'))
    """
    return _placed.get(path, Path(path))


def _named(subfolder: str, files: Mapping[str, Path] | None) -> dict[str, Path]:
    found: Iterable[Path] = (files or {}).values()
    return {f"{subfolder}/{file.name}": file for file in found}
