"""Chooses the reader for a dataset that has no name, by the files that its path leads to."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from drilldown.data.catalogue import STEMS
from drilldown.data.idx import explain_read_errors
from drilldown.data.other_files import name_other_file
from drilldown.data.own.arrays import find_arrays, read_npz
from drilldown.data.own.content import Source, Stamp
from drilldown.data.own.folders import find_pictures_by_class
from drilldown.data.own.idx_files import CLASS_NAMES, MAPPING, IdxSource, find_idx_files, match_idx_name
from drilldown.data.own.tables import CsvSource
from drilldown.data.pictures import ENDINGS
from drilldown.errors import DrilldownError, Problem, did_you_mean

EXPECTED = f"IDX files {', '.join(STEMS)}, plain or .gz; or a folder of pictures for each class, a .npz or CSV tables"
TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
"""The endings of tables."""
LEVELS = 3
"""A folder whose only entry is a folder is passed through, this often."""


def find_source(name: str, path: Path) -> Source:
    """Finds the files of a dataset, and the reader for their kind.

    *Arguments*: `name`: the dataset's name in messages. `path`: a folder, a file, or the beginning of the names of IDX
    files, such as `./gzip/emnist-letters`.

    *Raises* DrilldownError where there are no such files, or where they are of no kind that can be read.
    """
    kind = _kind(path)
    if kind is None:
        return _by_prefix(name, path)
    if stat.S_ISDIR(kind):
        return _in_folder(name, path)
    if not stat.S_ISREG(kind):
        raise _refused(path, "not a file that can be read", EXPECTED)
    return _file(name, path)


def stamps(source: Source) -> tuple[Stamp, ...]:
    """Returns the files of a source with their times of change and sizes."""
    stamped = []
    for name, file in source.files.items():
        with explain_read_errors(file):
            status = file.stat()
        stamped.append(Stamp(name, file, status.st_mtime_ns, status.st_ctime_ns, status.st_size))
    return tuple(stamped)


def _kind(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except PermissionError:
        with explain_read_errors(path):
            raise
    except (OSError, ValueError):  # no such file, a name that is too long or contains a null byte
        return None


def _file(name: str, file: Path) -> Source:
    lower = file.name.lower()
    if lower.endswith(".npz"):
        return read_npz(name, file)
    if lower.endswith(TABLES):
        return CsvSource(name, {"all": file})
    if match_idx_name(file.name):
        raise _refused(file, "one IDX file", "the folder that holds all four", f"name the folder: {file.parent}/")
    with explain_read_errors(file):
        known = name_other_file(file)
    found = "not a folder" + (f", but {known[0]}" if known else "")
    advice = "unpack it first" if known and known[1] == "unpack it first" else None
    raise _refused(file, found, EXPECTED, advice)


def _in_folder(name: str, folder: Path, levels: int = LEVELS) -> Source:
    with explain_read_errors(folder):
        entries = sorted(path for path in folder.iterdir() if path.name[0] != "." and path.name != "__MACOSX")
    found = find_idx_files(entries)
    if found:
        return _idx_source(name, folder, entries, found, None)
    pictures = find_pictures_by_class(name, folder)
    if pictures is not None:
        return pictures
    nearby = entries + [file for entry in entries if entry.is_dir() for file in _files(entry)]
    for files in (entries, nearby):
        archives = [file for file in files if file.suffix.lower() == ".npz" and file.is_file()]
        if len(archives) == 1:
            return read_npz(name, archives[0])
        arrays = find_arrays(name, [file for file in files if file.suffix.lower() in (".npz", ".npy")])
        if arrays is not None:
            return arrays
        tables = [file for file in files if file.name.lower().endswith(TABLES) and file.is_file()]
        if tables:
            return _tables(name, folder, tables)
    if len(entries) == 1 and entries[0].is_dir() and levels:
        return _in_folder(name, entries[0], levels - 1)
    if any(entry.suffix.lower() in ENDINGS for entry in entries):
        raise _refused(folder, "pictures that are in no folder of a class", "a folder of pictures for each class")
    shown = ", ".join(entry.name for entry in entries[:5]) or "nothing"
    raise _refused(folder, f"contains {shown}", EXPECTED)


def _files(folder: Path) -> list[Path]:
    with explain_read_errors(folder):
        return sorted(path for path in folder.iterdir() if path.is_file())


def _idx_source(
    name: str, folder: Path, entries: list[Path], found: dict[str, dict[str, Path]], prefix: str | None
) -> Source:
    """The IDX files of a folder; one of several datasets in it, if a prefix is given."""
    if prefix is None and len(found) > 1:
        choices = sorted(key or "(no prefix)" for key in found)
        raise _refused(folder, f"several datasets: {', '.join(choices)}", "one", f"name it: {folder}/{max(found)}")
    key = next(iter(found)) if prefix is None else prefix
    files = dict(found[key])
    missing = [stem for stem in STEMS if stem not in files]
    if missing:
        shown = ", ".join(path.name for path in entries[:5])
        expected = f"IDX files {', '.join(STEMS)}, plain or .gz"
        raise _refused(folder, f"contains {shown}", expected, f"missing: {', '.join(missing)}")
    for entry in entries:
        if entry.name == CLASS_NAMES:
            files[CLASS_NAMES] = entry
        elif entry.name.lower() == (f"{key}-{MAPPING}" if key else MAPPING):
            files[MAPPING] = entry
    return IdxSource(name, files)


def _by_prefix(name: str, path: Path) -> Source:
    """The IDX files whose names begin with the path; raises DrilldownError where there are none."""
    siblings: list[Path] = []
    if os.path.isdir(path.parent):
        with explain_read_errors(path.parent):
            siblings = sorted(path.parent.iterdir())
    found = find_idx_files(siblings) if siblings else {}
    if path.name.lower() in found:
        return _idx_source(name, path.parent, siblings, found, path.name.lower())
    what = "file" if path.suffix else "folder"
    raise _refused(path, f"no such {what}", EXPECTED, did_you_mean(path.name, [entry.name for entry in siblings]))


def _tables(name: str, folder: Path, tables: list[Path]) -> Source:
    """One table, or one with `train` and one with `test` in their names."""
    if len(tables) == 1:
        return CsvSource(name, {"all": tables[0]})
    parts = {
        part: [file for file in tables if word in file.name.lower()]
        for part, word in (("train", "train"), ("test", "test"))
    }
    if len(parts["train"]) == 1 and len(parts["test"]) <= 1:
        return CsvSource(name, {part: files[0] for part, files in parts.items() if files})
    shown = ", ".join(file.name for file in tables[:5])
    raise _refused(folder, f"several tables: {shown}", "one with train and one with test in its name",
                   f"name one: {tables[0]}")  # fmt: skip


def _refused(file: Path, found: str, expected: str, suggestion: str | None = None) -> DrilldownError:
    return DrilldownError(Problem(file=file, found=found, expected=expected, suggestion=suggestion))
