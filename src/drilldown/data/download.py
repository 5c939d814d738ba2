"""Fetches the published datasets: mirrors in turn, verified, and never a half file left behind.

The bytes that count are the decompressed ones, since mirrors compress anew: MNIST is held against the SHA-256 of
its decompressed files. Of Fashion-MNIST and KMNIST only the archives' checksums are published, so those must
arrive as their authors packed them.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import requests
import urllib3

from drilldown.data.catalogue import PublishedFile
from drilldown.data.idx import read_unpacked
from drilldown.errors import DrilldownError, Problem

OnDownload = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that have come and, where the server says, the bytes in all."""
PATIENCE_SECONDS = 20.0
"""How long a mirror may be silent, and after how long a slow one is given up."""
SLOWEST_BYTES_PER_SECOND = 10_000
LARGEST_ARCHIVE = 64 * 2**20
"""No file of these datasets comes near this many bytes."""


class UnreachableError(Exception):
    """No mirror gave the file; `attempts` says what each did."""

    def __init__(self, attempts: list[str]) -> None:
        super().__init__("; ".join(attempts))
        self.attempts = attempts


def fetch_file(
    file: PublishedFile, folder: Path, *, on_download: OnDownload | None = None, patience: float = PATIENCE_SECONDS
) -> Path:
    """Fetches one file into a folder, trying `$DRILLDOWN_MIRROR` and then each mirror; returns its path.

    *Raises* Unreachable where no mirror gives the right bytes, DrilldownError where the folder cannot be written.
    """
    attempts = []
    own = os.environ.get("DRILLDOWN_MIRROR")
    for mirror in ([own.rstrip("/") + "/"] if own else []) + list(file.mirrors):
        url = f"{mirror}{file.stem}.gz"
        try:
            return _fetch_from(url, file, folder, on_download, patience)
        except (requests.RequestException, urllib3.exceptions.HTTPError, _RefusedError) as error:
            attempts.append(f"{url}: {_reason(error)}")
    raise UnreachableError(attempts)


class _RefusedError(Exception):
    """A mirror answered, with something that cannot be used."""


def _fetch_from(url: str, file: PublishedFile, folder: Path, on_download: OnDownload | None, patience: float) -> Path:
    with _temporary(folder, file.stem) as temporary:
        try:
            with temporary.open("wb") as sink:
                sink.writelines(_chunks(url, file.stem, on_download, patience))
        except requests.RequestException:  # an OSError as well, but the network's
            raise
        except OSError as error:  # also of the last bytes, written on closing
            raise _unwritable(folder, error) from None
        try:
            found = file.mismatch(temporary, read_unpacked(temporary))
        except DrilldownError as error:
            found = error.problems[0].found
        if found:
            raise _RefusedError(found)
        target = folder / f"{file.stem}.gz"
        temporary.chmod(0o644)  # temporary files are private; a dataset need not be
        try:
            os.replace(temporary, target)
        except OSError as error:
            raise _unwritable(folder, error) from None
        return target


def _chunks(url: str, name: str, on_download: OnDownload | None, patience: float) -> Iterator[bytes]:
    # identity: the archive's own bytes, not unpacked on the way by a well-meaning server.
    headers = {"Accept-Encoding": "identity"}
    begun = time.monotonic()
    with requests.get(url, stream=True, timeout=patience, headers=headers) as answer:
        answer.raise_for_status()
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isascii() and length.isdigit() else None
        received = 0
        # read1: what has come, as it came; iter_content would wait until a chunk is full, and unpack it.
        while chunk := answer.raw.read1(64 * 1024, decode_content=False):
            received += len(chunk)
            if received > LARGEST_ARCHIVE:
                raise _RefusedError(f"sends more than {LARGEST_ARCHIVE:,} bytes")
            elapsed = time.monotonic() - begun
            if elapsed > patience and received / elapsed < SLOWEST_BYTES_PER_SECOND:
                raise _RefusedError(f"too slow: {received:,} bytes in {elapsed:.0f} s")
            if on_download:
                on_download(name, received, total)
            yield chunk
        if total and received < total:
            raise _RefusedError(f"cut off after {received:,} of {total:,} bytes")


@contextlib.contextmanager
def _temporary(folder: Path, stem: str) -> Iterator[Path]:
    """An empty file in the folder that is gone afterwards, unless it was renamed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{stem}-", dir=folder)
    except OSError as error:
        raise _unwritable(folder, error) from None
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _unwritable(folder: Path, error: OSError) -> DrilldownError:
    return DrilldownError(
        Problem(
            file=folder,
            found=f"the dataset cannot be stored here ({error.strerror})",
            suggestion="name another folder for caches with XDG_CACHE_HOME, or one that holds the data with --data",
        )
    )


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
