"""Keeps datasets that take long to read as IDX files in the user's cache."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import shutil
from pathlib import Path
from typing import Any

from drilldown.data.dataset import DatasetInfo
from drilldown.data.finding import cache_folder
from drilldown.data.own.content import Content, Request, Source
from drilldown.data.own.folders import PictureSource
from drilldown.data.own.idx_files import CLASS_NAMES, IdxSource, idx_files, match_idx_name
from drilldown.data.own.tables import CsvSource
from drilldown.errors import DrilldownError
from drilldown.files import json_bytes, read_json, with_checksum, write_atomically

FOLDER = "own"
DOCUMENT = "content.json"
"""The file with shape, classes, notices and the checksums of the other files; it is written last."""
VERSION = 1
"""Raise it when the same files give other pixels."""
MOST_DATASETS = 8
"""The number of datasets that are kept; the oldest ones are removed."""


def is_cached(source: Source) -> bool:
    """Whether a dataset is kept in the cache: pictures and text take long to read, arrays do not."""
    return isinstance(source, PictureSource | CsvSource)


def read_cached(request: Request) -> Content:
    """Reads a dataset from the cache; if it is not there, or is damaged, from its own files.

    *Raises* DrilldownError as the reader does. A cache that cannot be written is no error.
    """
    folder = _place(request)
    document = _document(folder)
    if document:
        with contextlib.suppress(DrilldownError, OSError, KeyError, TypeError):
            return _read(folder, document)
    content = request.source.read(request.image)
    with contextlib.suppress(OSError):
        _write(folder, content)
    return content


def cached_info(request: Request) -> DatasetInfo:
    """Returns shape and classes, from the cache if the dataset is there."""
    document = _document(_place(request))
    with contextlib.suppress(KeyError, TypeError, ValueError):
        if document:
            channels, height, width = document["shape"]
            names = document["class_names"]
            return DatasetInfo((channels, height, width), document["classes"], names and tuple(names))
    return read_cached(request).info


def cached_files(request: Request) -> dict[str, Path]:
    """Returns the files of a dataset in the cache by their names, after it was read."""
    folder = _place(request)
    if not _document(folder):
        read_cached(request)
    return {file.name: file for file in sorted(folder.iterdir()) if file.suffix != ".json"}


@functools.lru_cache(maxsize=32)
def _place(request: Request) -> Path:
    """The folder of a dataset in the cache: named by paths, sizes and times of its files, and by the image settings."""
    digest = hashlib.sha256(repr((VERSION, type(request.source).__name__, request.image)).encode())
    for stamp in request.stamps:
        digest.update(repr((stamp.name, str(stamp.path), stamp.modified_ns, stamp.changed_ns, stamp.size)).encode())
    return cache_folder() / FOLDER / digest.hexdigest()[:32]


def _document(folder: Path) -> dict[str, Any]:
    """The document of a dataset; empty where it is not in the cache, or is damaged."""
    with contextlib.suppress(DrilldownError, OSError):
        return read_json(folder / DOCUMENT)
    return {}


def _read(folder: Path, document: dict[str, Any]) -> Content:
    files = {}
    for file, checksum in document["files"].items():
        with (folder / file).open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != checksum:
                raise KeyError(file)
        match = match_idx_name(file)
        files[match[1] if match else CLASS_NAMES] = folder / file
    content = IdxSource(str(folder), files).read(None)
    return Content(
        train=content.train, test=content.test, class_names=content.class_names, notices=tuple(document["notices"])
    )


def _write(folder: Path, content: Content) -> None:
    info = content.info
    folder.mkdir(parents=True, exist_ok=True)
    checksums = {}
    for name, data in idx_files(content):
        write_atomically(folder / name, data)
        checksums[name] = hashlib.sha256(data).hexdigest()
    document = {
        "shape": list(info.image_shape),
        "classes": info.classes,
        "class_names": info.class_names and list(info.class_names),
        "notices": list(content.notices),
        "files": checksums,
    }
    write_atomically(folder / DOCUMENT, json_bytes(with_checksum(document)))
    kept = sorted(folder.parent.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for old in kept[MOST_DATASETS:]:
        shutil.rmtree(old, ignore_errors=True)
