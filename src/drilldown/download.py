"""Fetches the published datasets: mirrors in turn, verified, and never a half file left behind.

The bytes that count are the decompressed ones, since mirrors compress anew: MNIST is held against the SHA-256 of
its decompressed files. Of Fashion-MNIST and KMNIST only the archives' checksums are published, so those must
arrive as their authors packed them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3

from drilldown import idx
from drilldown.errors import DrilldownError, Problem

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that have come and, where the server says, the bytes in all."""

PATIENCE_SECONDS = 20.0
"""How long a mirror may be silent, and after how long a slow one is given up."""
SLOWEST_BYTES_PER_SECOND = 10_000
LARGEST_ARCHIVE = 64 * 2**20
"""No file of these datasets comes near this many bytes."""

STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


class Unreachable(Exception):  # noqa: N818
    """No mirror gave the file; `attempts` says what each did."""

    def __init__(self, attempts: list[str]) -> None:
        super().__init__("; ".join(attempts))
        self.attempts = attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a published dataset."""

    stem: str
    """Its name without `.gz`."""
    mirrors: tuple[str, ...]
    """Addresses that it lies under, each ending in a slash."""
    sha256: str
    """Of the decompressed bytes, or of the archive where `packed`."""
    packed: bool = False

    def mismatch(self, file: Path, content: bytes) -> str | None:
        """What is wrong with a file and its decompressed content, or None."""
        judged = file.read_bytes() if self.packed else content
        found = hashlib.sha256(judged).hexdigest()
        if found == self.sha256:
            return None
        kind = "archive" if self.packed else "data"
        return f"the {kind}'s SHA-256 is {found[:12]}…, not {self.sha256[:12]}…"


def fetch(file: File, folder: Path, *, progress: Progress | None = None, patience: float = PATIENCE_SECONDS) -> Path:
    """Fetches one file into a folder, trying `$DRILLDOWN_MIRROR` and then each mirror; returns its path.

    *Raises* Unreachable where no mirror gives the right bytes, DrilldownError where the folder cannot be written.
    """
    attempts = []
    own = os.environ.get("DRILLDOWN_MIRROR")
    for mirror in ([own.rstrip("/") + "/"] if own else []) + list(file.mirrors):
        url = f"{mirror}{file.stem}.gz"
        try:
            return _fetch_from(url, file, folder, progress, patience)
        except (requests.RequestException, urllib3.exceptions.HTTPError, _Refused) as error:
            attempts.append(f"{url}: {_reason(error)}")
    raise Unreachable(attempts)


class _Refused(Exception):  # noqa: N818
    """A mirror answered, with something that cannot be used."""


def _fetch_from(url: str, file: File, folder: Path, progress: Progress | None, patience: float) -> Path:
    with _temporary(folder, file.stem) as temporary:
        try:
            with temporary.open("wb") as sink:
                sink.writelines(_chunks(url, file.stem, progress, patience))
        except requests.RequestException:  # an OSError as well, but the network's
            raise
        except OSError as error:  # also of the last bytes, written on closing
            raise _unwritable(folder, error) from None
        try:
            found = file.mismatch(temporary, idx.read_bytes(temporary))
        except DrilldownError as error:
            found = error.problems[0].found
        if found:
            raise _Refused(found)
        target = folder / f"{file.stem}.gz"
        temporary.chmod(0o644)  # temporary files are private; a dataset need not be
        try:
            os.replace(temporary, target)
        except OSError as error:
            raise _unwritable(folder, error) from None
        return target


def _chunks(url: str, name: str, progress: Progress | None, patience: float) -> Iterator[bytes]:
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
                raise _Refused(f"sends more than {LARGEST_ARCHIVE:,} bytes")
            elapsed = time.monotonic() - begun
            if elapsed > patience and received / elapsed < SLOWEST_BYTES_PER_SECOND:
                raise _Refused(f"too slow: {received:,} bytes in {elapsed:.0f} s")
            if progress:
                progress(name, received, total)
            yield chunk
        if total and received < total:
            raise _Refused(f"cut off after {received:,} of {total:,} bytes")


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


def _catalogue(mirrors: tuple[str, ...], checksums: tuple[str, ...], *, packed: bool) -> dict[str, File]:
    return {
        stem: File(stem=stem, mirrors=mirrors, sha256=checksum, packed=packed)
        for stem, checksum in zip(STEMS, checksums, strict=True)
    }


CATALOGUE: dict[str, dict[str, File]] = {
    "mnist": _catalogue(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        packed=False,
    ),
    "fashion-mnist": _catalogue(
        (
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
        packed=True,
    ),
    "kmnist": _catalogue(
        (
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ),
        (
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
        packed=True,
    ),
}
