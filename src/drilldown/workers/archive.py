"""A run's folder as one archive, for the way between a worker and its driver.

The receiver accepts only what a run's folder can contain: known names, plain files, limited sizes, and the SHA-256 that
the archive's first file gives for each of the others.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.experiment import Experiment
from drilldown.files import explain_write_errors, file_digest, write_below
from drilldown.runs.folder import (
    DIVERGENCE,
    EXPERIMENT,
    LOG,
    PARENT,
    PREDICTIONS,
    RECORDS,
    STATE,
    SUMMARY,
    WEIGHTS,
)

MANIFEST = "manifest.json"
LARGEST_ARCHIVE = 1_000_000_000
"""Bytes; the run of a network of eight million parameters, with its state, is a tenth of that."""
ORDER = (EXPERIMENT, PARENT, RECORDS, LOG, STATE, WEIGHTS, PREDICTIONS, DIVERGENCE, SUMMARY)
"""The files of a run; the summary, which makes it count as finished, is written last."""


class ArchiveError(DrilldownError):
    """An archive that is not a run's folder."""


def pack_run(folder: Path, experiment: Experiment) -> bytes:
    """Returns the files of a run as an archive, under the names that they have in its folder."""
    contents = {name: (folder / name).read_bytes() for name in _names(experiment) if (folder / name).is_file()}
    manifest = json.dumps({name: file_digest(content) for name, content in contents.items()}).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in {MANIFEST: manifest, **contents}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def unpack_run(
    packed: bytes, folder: Path, experiment: Experiment, *, before: Callable[[], None] | None = None
) -> None:
    """Writes the files of an archive into a run's folder; its owner holds the run's lock.

    Everything is checked before anything is written.

    *Arguments*: `before`: called when the archive is accepted, before its files are written.

    *Raises* ArchiveError where the archive is not a run's folder; DrilldownError where the folder cannot be written.
    """
    contents = read_archive(packed, experiment)
    if before is not None:
        before()
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in _names(experiment):
            if name in contents:
                write_below(folder, name, contents[name])


def read_archive(packed: bytes, experiment: Experiment) -> dict[str, bytes]:
    """Reads and checks an archive; returns the contents of its files by name. See `unpack_run`."""
    if len(packed) > LARGEST_ARCHIVE:
        raise _refused(f"an archive of {len(packed):,} bytes", f"at most {LARGEST_ARCHIVE:,}")
    contents: dict[str, bytes] = {}
    names = (MANIFEST, *_names(experiment))
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
            for entry in archive:
                if not entry.isreg() or entry.issparse():  # a sparse file of terabytes fits into a kilobyte
                    raise _refused(f'"{entry.name}" is not a plain file', "plain files only")
                if entry.name not in names or entry.name in contents:
                    raise _refused(f'found the file "{entry.name}"', "each file of a run once, and no other")
                opened = archive.extractfile(entry) if 0 <= entry.size <= len(packed) else None
                contents[entry.name] = b"" if opened is None else opened.read()
                if len(contents[entry.name]) != entry.size:
                    raise _refused(f'"{entry.name}" is cut off', f"{entry.size:,} bytes")
        manifest = json.loads(contents.pop(MANIFEST, b"null"))
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError) as error:
        raise _refused(f"the archive cannot be read ({error})", "a tar archive with a manifest") from None
    if manifest != {name: file_digest(content) for name, content in contents.items()}:
        raise _refused("the files differ from the archive's manifest", "the SHA-256 of each file")
    return contents


def _names(experiment: Experiment) -> tuple[str, ...]:
    return (*experiment.code_files, *ORDER)


def _refused(found: str, expected: str) -> ArchiveError:
    return ArchiveError(Problem(file="run from a worker", found=found, expected=expected))
