"""Datasets that travel: the files that a machine sends, and where another machine has put them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from drilldown.data.catalogue import CATALOGUE, GLYPHS, QMNIST, WRITERS, is_dataset_path
from drilldown.data.finding import dataset_folders, find_files
from drilldown.data.image_settings import ImageSettings
from drilldown.data.own.cache import cached_files, is_cached
from drilldown.data.own.content import Request
from drilldown.data.own.readers import find_source, stamps

OWN = "own"
"""The folder of the files of a dataset that has no name."""
TEACHER = "teacher/teacher.npz"
"""The file of a teacher."""
_placed: dict[str, Path] = {}
"""The places of datasets and teachers that came from another machine, by the paths that experiments have for them."""


def dataset_files(name: str, folder: Path | str | None = None, image: ImageSettings | None = None) -> dict[str, Path]:
    """Returns the files of a dataset that `load_dataset` has loaded, by the paths that they have on another machine.

    Of a dataset that is kept in the cache, they are the files there, whose images have their final size.

    *Arguments*: those of `load_dataset`.

    >>> dataset_files("glyphs")
    {}
    """
    if name == GLYPHS:
        return {}
    if is_dataset_path(name):
        source = find_source(name, placed_folder(name))
        if is_cached(source):
            return _below(OWN, cached_files(Request(stamps(source), image, source)))
        return _below(OWN, source.files)
    files = _named(name, find_files(dataset_folders(name, folder), tuple(CATALOGUE[name])))
    if name in WRITERS:
        files |= _named(QMNIST, find_files(dataset_folders(QMNIST, folder), [WRITERS[name].stem]))
    return files


def place_dataset(path: str, folder: Path) -> None:
    """Says where this process finds a dataset or a teacher whose path belongs to another machine."""
    _placed[path] = folder


def placed_folder(path: str) -> Path:
    """Returns the folder of a dataset that has no name, or the file of a teacher.

    >>> place_dataset("/home/ada/letters", Path("/tmp/own"))
    >>> placed_folder("/home/ada/letters"), placed_folder("./letters")
    (PosixPath('/tmp/own'), PosixPath('letters'))
    """
    return _placed.get(path, Path(path))


def _named(subfolder: str, files: Mapping[str, Path] | None) -> dict[str, Path]:
    return _below(subfolder, {file.name: file for file in (files or {}).values()})


def _below(subfolder: str, files: Mapping[str, Path]) -> dict[str, Path]:
    return {f"{subfolder}/{name}": file for name, file in files.items()}
