"""The IDX format, the file format of MNIST and similar datasets: a header of big-endian sizes, then the bytes.

*Source*: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", section on file formats.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import math
import os
import struct
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drilldown.errors import DrilldownError, Problem

ELEMENTS = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4"}
"""The element types in the header that are read, as NumPy names them; those of fractions are refused."""
RANKS = {3: (3, 4), 1: (1, 2)}
"""The numbers of dimensions of images (N, height, width) or (N, channels, height, width), and of labels (N) or
(N, columns)."""
LARGEST_RATIO = 1032
"""The largest ratio of decompressed to compressed bytes that gzip can reach."""
CHUNK_BYTES = 2**20
"""Decompressed bytes that are read at once."""
GZIP = b"\x1f\x8b"
"""The first two bytes of gzip data."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of an IDX file."""

    sizes: tuple[int, ...]
    """The sizes of the array."""
    dtype: np.dtype[np.generic]
    """The type of its elements."""

    @property
    def length(self) -> int:
        """The number of bytes of the header."""
        return 4 + 4 * len(self.sizes)

    @property
    def data_length(self) -> int:
        """The number of bytes of the array."""
        return math.prod(self.sizes) * self.dtype.itemsize


def parse_idx(content: bytes | bytearray, dimensions: int, file: Path | str) -> npt.NDArray[np.generic]:
    """Reads the array from decompressed IDX bytes.

    *Arguments*: `dimensions`: 3 for images (N, height, width), also with channels (N, channels, height, width); 1 for
    labels (N), also with further columns (N, columns). `file`: the file's name in messages.

    *Returns* the array in the type of the file. It is not a copy: it can be written to if `content` can.

    *Raises* DrilldownError where the header, the element type, the number of dimensions or the length is wrong.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), dimensions=1, file="labels")
    array([7, 9], dtype=uint8)
    """
    header = parse_header(content, dimensions, file)
    _check_length(len(content), header, file)
    try:
        return np.frombuffer(content, header.dtype, offset=header.length).reshape(header.sizes)
    except ValueError:  # one size is zero, and another is too large for numpy
        raise DrilldownError(Problem(file=file, found=f"an array of {header.sizes}", expected="some data")) from None


def parse_header(content: bytes | bytearray, dimensions: int, file: Path | str) -> Header:
    """Reads the header of decompressed IDX bytes.

    *Arguments*: `content`: the header, or more. `dimensions`, `file`: see `parse_idx`.

    *Raises* DrilldownError where the header, the element type or the number of dimensions is wrong.

    >>> parse_header(bytes([0, 0, 8, 1, 0, 0, 0, 2]), dimensions=1, file="labels").sizes
    (2,)
    """
    if len(content) < 4:
        raise DrilldownError(
            Problem(file=file, place="byte 0", found=f"{len(content)} bytes", expected="an IDX header")
        )
    zeros, element, rank = struct.unpack_from(">HBB", content)
    if zeros:
        raise DrilldownError(
            Problem(
                file=file,
                place="byte 0",
                found=f"the file begins with {content[:4]!r}",
                expected="IDX data, which begins with two zero bytes",
            )
        )
    if element not in ELEMENTS:
        raise DrilldownError(
            Problem(
                file=file,
                place="byte 2",
                found=f"element type 0x{element:02x}",
                expected="0x08, unsigned bytes, or integers (0x09, 0x0b, 0x0c)",
            )
        )
    if rank not in RANKS[dimensions]:
        kind = "images (count, height, width)" if dimensions == 3 else "labels (count)"
        raise DrilldownError(
            Problem(
                file=file,
                place="byte 3",
                found=f"{rank} dimensions",
                expected=f"{dimensions}: {kind}",
                suggestion="are images and labels swapped?" if {rank, dimensions} == {1, 3} else None,
            )
        )
    if len(content) < 4 + 4 * rank:
        raise DrilldownError(
            Problem(file=file, found=f"{len(content)} bytes", expected=f"a header of {4 + 4 * rank} bytes")
        )
    return Header(struct.unpack_from(f">{rank}I", content, 4), np.dtype(ELEMENTS[element]))


def read_header(file: Path, dimensions: int) -> Header:
    """Reads a file's header, without reading the data.

    *Arguments*: `dimensions`: see `parse_idx`.

    *Raises* DrilldownError where the file cannot be read, its header is wrong, or a file that is not compressed has
    the wrong size.
    """
    header = parse_header(_read_start(file, 4 + 4 * max(RANKS[dimensions])), dimensions, file)
    with explain_read_errors(file), file.open("rb") as raw:
        packed, length = raw.read(2) == GZIP, raw.seek(0, os.SEEK_END)
    if not packed:  # of compressed data, the length is only known after unpacking
        _check_length(length, header, file)
    elif header.data_length > LARGEST_RATIO * length:
        raise DrilldownError(
            Problem(
                file=file,
                found=f"the header promises {header.data_length:,} bytes ({_product(header.sizes)})",
                expected=f"no more than {LARGEST_RATIO * length:,}, since the file has {length:,} compressed bytes",
            )
        )
    return header


def idx_header(array: npt.NDArray[np.generic]) -> bytes:
    """Returns the header of an IDX file for an array; the array's bytes follow it, big end first.

    >>> idx_header(np.zeros((2, 3), np.uint8))[:4].hex(), idx_header(np.zeros(1, ">i4"))[:4].hex()
    ('00000802', '00000c01')
    """
    element = next(number for number, name in ELEMENTS.items() if np.dtype(name) == array.dtype)
    return struct.pack(f">HBB{array.ndim}I", 0, element, array.ndim, *array.shape)


def _check_length(length: int, header: Header, file: Path | str) -> None:
    """Raises DrilldownError where the decompressed length, in bytes, is not the one that the header's sizes give."""
    found, expected = length - header.length, header.data_length
    if found != expected:
        raise DrilldownError(
            Problem(
                file=file,
                found=f"{found:,} bytes of data",
                expected=f"{expected:,}, as the header says ({_product(header.sizes)})",
                suggestion="is the file cut off?" if found < expected else None,
            )
        )


def _product(sizes: tuple[int, ...]) -> str:
    return " x ".join(f"{size:,}" for size in sizes)


def read_unpacked(file: Path, limit: int) -> bytearray:
    """Reads a file, and decompresses it if its first bytes are those of gzip.

    *Arguments*: `limit`: the largest number of decompressed bytes that the file may hold.

    *Raises* DrilldownError where the file cannot be read, is damaged, or holds more than `limit` bytes.
    """
    content = bytearray()  # grows in place, so the data lie in memory once
    for chunk in _unpacked_chunks(file, CHUNK_BYTES, limit):
        content += chunk
    return content


def hash_unpacked(file: Path, limit: int) -> str:
    """Returns the SHA-256 of a file's decompressed bytes, of which few are in memory at once; see `read_unpacked`."""
    digest = hashlib.sha256()
    for chunk in _unpacked_chunks(file, CHUNK_BYTES, limit):
        digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def explain_read_errors(file: Path) -> Iterator[None]:
    """Turns errors of the operating system while reading a file or a folder into one message."""
    try:
        yield
    except OSError as error:
        raise DrilldownError(Problem(file=file, found=f"cannot be read ({error.strerror})")) from None


def _read_start(file: Path, count: int) -> bytes:
    """Reads the first decompressed bytes of a file, or all if there are fewer; see `read_unpacked`."""
    with contextlib.closing(_unpacked_chunks(file, count, limit=count)) as chunks:
        return next(chunks, b"")


def _unpacked_chunks(file: Path, length: int, limit: int) -> Generator[bytes, None, None]:
    """Yields the decompressed bytes of a file in pieces of this length; see `read_unpacked`."""
    size = 0
    with explain_read_errors(file), file.open("rb") as raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        try:
            with gzip.GzipFile(fileobj=raw) if packed else raw as unpacked:
                while chunk := unpacked.read(length):
                    size += len(chunk)
                    if size > limit:
                        break
                    yield chunk
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DrilldownError(
                Problem(file=file, found=f"damaged gzip data ({error})", suggestion="fetch or copy the file again")
            ) from None
    if size > limit:
        raise DrilldownError(
            Problem(file=file, found=f"more than {limit:,} bytes", expected="the size that its header says")
        )
