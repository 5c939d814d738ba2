"""The IDX format, in which MNIST and its relatives come: a header of big-endian sizes, then the bytes.

*Source*: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", section on file formats.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drilldown.errors import DrilldownError, Problem

UNSIGNED_BYTE = 0x08
LARGEST_FILE = 4 * 2**30
"""Bytes beyond which a file is not read into memory."""


def parse_idx(content: bytes, dimensions: int, file: Path | str) -> npt.NDArray[np.uint8]:
    """The array that decompressed IDX bytes hold.

    *Arguments*: `dimensions`: 3 for images (N, height, width), 1 for labels (N). `file`: for messages.

    *Raises* DrilldownError where the header, the element type, the number of dimensions or the length is wrong.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), dimensions=1, file="labels")
    array([7, 9], dtype=uint8)
    """
    sizes = parse_header(content, dimensions, file)
    header = 4 + 4 * len(sizes)
    if len(content) - header != math.prod(sizes):
        shape = " x ".join(f"{size:,}" for size in sizes)
        raise DrilldownError(
            Problem(
                file=file,
                found=f"{len(content) - header:,} bytes of data",
                expected=f"{math.prod(sizes):,}, as the header says ({shape})",
                suggestion="is the file cut off?" if len(content) - header < math.prod(sizes) else None,
            )
        )
    try:
        return np.frombuffer(content, np.uint8, offset=header).reshape(sizes)
    except ValueError:  # no data, and sizes beside the zero that are beyond numpy
        raise DrilldownError(Problem(file=file, found=f"an array of {sizes}", expected="some data")) from None


def parse_header(content: bytes, dimensions: int, file: Path | str) -> tuple[int, ...]:
    """The sizes that the header of decompressed IDX bytes gives; arguments and errors are those of `parse_idx`."""
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
    if element != UNSIGNED_BYTE:
        raise DrilldownError(
            Problem(
                file=file,
                place="byte 2",
                found=f"element type 0x{element:02x}",
                expected="0x08, unsigned bytes",
            )
        )
    if rank != dimensions:
        kind = "images (count, height, width)" if dimensions == 3 else "labels (count)"
        raise DrilldownError(
            Problem(
                file=file,
                place="byte 3",
                found=f"{rank} dimensions",
                expected=f"{dimensions}: {kind}",
                suggestion="are images and labels exchanged?" if {rank, dimensions} == {1, 3} else None,
            )
        )
    if len(content) < 4 + 4 * rank:
        raise DrilldownError(
            Problem(file=file, found=f"{len(content)} bytes", expected=f"a header of {4 + 4 * rank} bytes")
        )
    return struct.unpack_from(f">{rank}I", content, 4)


def read_header(file: Path, dimensions: int) -> tuple[int, ...]:
    """The sizes in a file's header, without reading its data.

    *Raises* DrilldownError where the file cannot be read or its header is wrong.
    """
    return parse_header(read_unpacked(file, 4 + 4 * dimensions), dimensions, file)


def read_unpacked(file: Path, count: int | None = None) -> bytes:
    """A file's bytes, decompressed where they are gzip, whatever the file's name says.

    *Arguments*: `count`: how many of the first bytes; all by default.

    *Raises* DrilldownError where the file cannot be read, is damaged, or unpacks to more than LARGEST_FILE.
    """
    limit = LARGEST_FILE + 1 if count is None else count
    try:
        with file.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    content = unpacked.read(limit)
            else:
                content = raw.read(limit)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DrilldownError(
            Problem(file=file, found=f"damaged gzip data ({error})", suggestion="fetch or copy the file again")
        ) from None
    except OSError as error:
        raise DrilldownError(Problem(file=file, found=f"cannot be read ({error.strerror})")) from None
    if len(content) > LARGEST_FILE:
        raise DrilldownError(
            Problem(file=file, found=f"more than {LARGEST_FILE:,} bytes", expected="a dataset that fits in memory")
        )
    return content
