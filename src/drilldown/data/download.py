"""Fetches the published datasets: a loop over mirrors around `pooch`, with limits and verification.

`pooch` stores the file and calls two functions of this module: a downloader, which reads from the mirror, and a
processor, which verifies the file. A wrong or incomplete file never reaches the dataset's folder.

The decompressed bytes of MNIST are verified, since mirrors compress them differently. For Fashion-MNIST, KMNIST and the
images of QMNIST only the checksums of the archives are published, so those archives must be the published ones.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pooch
import requests
import urllib3

from drilldown.data.catalogue import CATALOGUE, PublishedFile
from drilldown.errors import DrilldownError, Problem
from drilldown.files import lock_folder

OnDownload = Callable[[str, int, int | None], None]
"""A function of a file's name, the number of bytes received, and the total number of bytes (None if not known)."""
PATIENCE_SECONDS = 20.0
"""A mirror may be silent for this number of seconds; after the same time, a slow mirror is given up."""
FOREVER = -1
"""Another process that downloads is waited for; a slow mirror gives up by itself."""
SLOWEST_BYTES_PER_SECOND = 10_000
"""A mirror that sends fewer bytes per second is slow."""
LARGEST_ARCHIVE = 64 * 2**20
"""The largest archive in bytes; the datasets in the catalogue are much smaller."""

pooch.get_logger().setLevel(logging.WARNING)  # drilldown shows the progress itself


class UnreachableError(Exception):
    """No mirror gave the file; `attempts` holds one line per mirror with the reason."""

    def __init__(self, attempts: list[str]) -> None:
        super().__init__("; ".join(attempts))
        self.attempts = attempts


class _RefusedError(Exception):
    """A mirror answered, but its answer cannot be used."""


def fetch_file(
    file: PublishedFile, folder: Path, *, on_download: OnDownload | None = None, patience: float = PATIENCE_SECONDS
) -> Path:
    """Fetches one file into a folder, from `$DRILLDOWN_MIRROR` or from the first mirror that works.

    *Arguments*: `on_download`: called for each piece received. `patience`: seconds, see PATIENCE_SECONDS.

    *Returns* the path of the stored file.

    *Raises* UnreachableError where no mirror gives the right bytes; DrilldownError where the folder cannot be written.
    """
    # The lock's file is never removed: otherwise two processes could hold two locks of the same name.
    with _explain_storage_errors(folder), lock_folder(folder, FOREVER):
        _remove_leftovers(folder)
        stored = folder / f"{file.stem}.gz"
        with contextlib.suppress(DrilldownError):
            file.verify(stored)
            return stored  # another process has fetched it in the meantime
        return _fetch_from_any(file, folder, on_download, patience)


def _temporary_prefix(stem: str) -> str:
    """Returns the beginning of the names of temporary folders."""
    return f".{stem}-"


def _remove_leftovers(folder: Path) -> None:
    """Removes the temporary folders of killed downloads; the caller holds the lock."""
    prefixes = tuple(_temporary_prefix(stem) for files in CATALOGUE.values() for stem in files)
    for entry in folder.iterdir():
        if not entry.name.startswith(prefixes):
            continue
        if entry.is_symlink() or not entry.is_dir():
            entry.unlink(missing_ok=True)  # somebody may have planted a link: it is not followed
        else:
            shutil.rmtree(entry, ignore_errors=True)


def _fetch_from_any(file: PublishedFile, folder: Path, on_download: OnDownload | None, patience: float) -> Path:
    attempts = []
    user_mirror = os.environ.get("DRILLDOWN_MIRROR")
    for mirror in ([user_mirror.rstrip("/") + "/"] if user_mirror else []) + list(file.mirrors):
        url = f"{mirror}{file.stem}.gz"
        try:
            return _fetch_from(url, file, folder, on_download, patience)
        except (requests.RequestException, urllib3.exceptions.HTTPError, _RefusedError) as error:
            attempts.append(f"{url}: {_reason(error)}")
    raise UnreachableError(attempts)


def _fetch_from(url: str, file: PublishedFile, folder: Path, on_download: OnDownload | None, patience: float) -> Path:
    target = folder / f"{file.stem}.gz"
    # In a new folder, because pooch does not replace a file unless the checksum of the archive is known.
    with tempfile.TemporaryDirectory(prefix=_temporary_prefix(file.stem), dir=folder) as temporary:
        archive = pooch.retrieve(
            url,
            known_hash=None,  # pooch cannot verify decompressed bytes
            fname=target.name,
            path=temporary,
            downloader=functools.partial(_download, name=file.stem, on_download=on_download, patience=patience),
            processor=functools.partial(_verify, file),
        )
        os.chmod(archive, 0o644)  # pooch makes the file private
        os.replace(archive, target)
    return target


def _download(
    url: str, output_file: str, _pooch: object, *, name: str, on_download: OnDownload | None, patience: float
) -> None:
    """A downloader for pooch. Pooch's own waits for full chunks, unpacks them, and has no limits."""
    started = time.monotonic()
    # identity: some servers unpack the archive unless the client asks for its own bytes.
    with requests.get(url, stream=True, timeout=patience, headers={"Accept-Encoding": "identity"}) as response:
        response.raise_for_status()
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isascii() and length.isdigit() else None
        received = 0
        with Path(output_file).open("wb") as sink:
            while chunk := response.raw.read1(64 * 1024, decode_content=False):
                sink.write(chunk)
                received += len(chunk)
                if received > LARGEST_ARCHIVE:
                    raise _RefusedError(f"sends more than {LARGEST_ARCHIVE:,} bytes")
                elapsed = time.monotonic() - started
                if elapsed > patience and received / elapsed < SLOWEST_BYTES_PER_SECOND:
                    raise _RefusedError(f"too slow: {received:,} bytes in {elapsed:.0f} s")
                if on_download:
                    on_download(name, received, total)
        if total and received < total:
            raise _RefusedError(f"cut off after {received:,} of {total:,} bytes")


def _verify(file: PublishedFile, archive: str, _action: str, _pooch: object) -> str:
    """A processor for pooch: returns the archive's path; raises _RefusedError where the content is wrong."""
    try:
        file.verify(Path(archive))
    except DrilldownError as error:
        raise _RefusedError(error.problems[0].found) from None
    return archive


@contextlib.contextmanager
def _explain_storage_errors(folder: Path) -> Iterator[None]:
    """Turns errors while writing into the dataset's folder into one message."""
    try:
        yield
    except requests.RequestException:  # an OSError as well, but from the network
        raise
    except OSError as error:
        raise DrilldownError(
            Problem(
                file=folder,
                found=f"the dataset cannot be stored here ({error.strerror})",
                suggestion="set XDG_CACHE_HOME to another folder, or name a folder that holds the data with --data",
            )
        ) from None


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"status {error.response.status_code}"
    if isinstance(error, requests.Timeout | urllib3.exceptions.ReadTimeoutError):
        return "no answer in time"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error)
