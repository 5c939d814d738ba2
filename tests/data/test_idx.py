"""The IDX reader, tested with an independent writer."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from drilldown.data.idx import idx_header, parse_idx, read_header, read_unpacked
from drilldown.errors import DrilldownError

LIMIT = 1_000
"""More bytes than the files of these tests hold."""
DIMENSIONS = st.sampled_from([1, 3])


def idx_bytes(shape: tuple[int, ...], data: bytes, *, zeros: int = 0, element: int = 8) -> bytes:
    """A file as LeCun's page describes it: magic number, big-endian sizes, data."""
    return struct.pack(f">HBB{len(shape)}I", zeros, element, len(shape), *shape) + data


def error_of(content: bytes, dimensions: int) -> str:
    with pytest.raises(DrilldownError) as caught:
        parse_idx(content, dimensions, "some-file")
    (problem,) = caught.value.problems
    assert str(problem).startswith("some-file: ")
    return str(problem)


def read_error(file: Path) -> str:
    """The error message of reading a file, without the name of the file."""
    with pytest.raises(DrilldownError) as caught:
        read_unpacked(file, LIMIT)
    assert str(caught.value).startswith(f"{file}: ")
    return str(caught.value).removeprefix(f"{file}: ")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file, overwritten by each example of a property."""
    return tmp_path_factory.mktemp("idx") / "file"


# ---- parse_idx


@settings(max_examples=100, deadline=None)
@given(st.data(), DIMENSIONS)
def test_any_array_is_read_back(data, dimensions):
    shape = tuple(data.draw(st.lists(st.integers(0, 6), min_size=dimensions, max_size=dimensions)))
    size = math.prod(shape)
    pixels = data.draw(st.binary(min_size=size, max_size=size))
    array = parse_idx(idx_bytes(shape, pixels), dimensions, "file")
    assert array.dtype == np.uint8
    assert array.shape == shape
    assert bytes(array.flatten().tolist()) == pixels


def test_rows_come_before_columns():
    array = parse_idx(idx_bytes((2, 2, 3), bytes(range(12))), 3, "file")
    assert array.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40) | st.binary(max_size=30).map(lambda rest: b"\0\0\x08" + rest), DIMENSIONS)
@example(b"", 1)
@example(b"\0\0\x08\x03", 3)
def test_any_bytes_are_read_or_refused(content, dimensions):
    try:
        array = parse_idx(content, dimensions, "file")
    except DrilldownError:
        return
    assert idx_header(array) + array.tobytes() == content


SIZES = st.sampled_from([0, 1, 2, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1])


@settings(max_examples=100, deadline=None)
@given(st.tuples(SIZES, SIZES, SIZES), st.binary(max_size=4))
@example((0, 2**32 - 1, 2**32 - 1), b"")
def test_any_sizes_in_the_header_are_read_or_refused(shape, data):
    try:
        array = parse_idx(idx_bytes(shape, data), 3, "file")
    except DrilldownError:
        return
    assert array.shape == shape
    assert array.size == len(data)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_truncated_file_is_refused(data):
    content = idx_bytes((2, 3, 3), bytes(range(18)))
    assert error_of(content[: data.draw(st.integers(0, len(content) - 1))], 3)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_byte_is_refused_in_the_header_and_read_in_the_data(data):
    content = bytearray(idx_bytes((2, 3, 3), bytes(range(18))))
    position = data.draw(st.integers(0, len(content) - 1))
    before, content[position] = content[position], data.draw(st.integers(0, 255))
    assume(content[position] != before)
    if position < 16:
        assert error_of(bytes(content), 3)
    else:
        assert parse_idx(bytes(content), 3, "file").flatten()[position - 16] == content[position]


def test_the_message_about_a_short_file_gives_both_lengths():
    message = error_of(idx_bytes((1000, 28, 28), bytes(1234)), 3)
    assert "1,234 bytes of data; expected 784,000, as the header says (1,000 x 28 x 28)" in message
    assert message.endswith("is the file cut off?")


def test_extra_bytes_at_the_end_are_refused():
    message = error_of(idx_bytes((2,), b"\1\2garbage"), 1)
    assert "9 bytes of data; expected 2, as the header says (2)" in message
    assert "cut off" not in message


def test_a_truncated_header_is_refused():
    assert "expected a header of 16" in error_of(idx_bytes((1, 1, 1), b"")[:10], 3)


def test_the_message_about_another_format_shows_the_first_bytes():
    assert "byte 0: the file begins with b'<!DO'" in error_of(b"<!DOCTYPE html>", 3)


@pytest.mark.parametrize("element", [0x00, 0x0A, 0x0D, 0x0E])
def test_other_element_types_are_refused(element):
    message = error_of(idx_bytes((2,), bytes(16), element=element), 1)
    assert f"byte 2: element type 0x{element:02x}; expected 0x08" in message


@pytest.mark.parametrize(("element", "code"), [(0x08, "B"), (0x09, "b"), (0x0B, ">h"), (0x0C, ">i")])
def test_whole_numbers_of_any_length_are_read(element, code):
    data = struct.pack(f">3{code.removeprefix('>')}", 0, 7, 100)
    assert parse_idx(idx_bytes((3,), data, element=element), 1, "labels").tolist() == [0, 7, 100]


def test_images_with_channels_and_labels_with_columns_are_read():
    assert parse_idx(idx_bytes((2, 3, 1, 2), bytes(range(12))), 3, "images").shape == (2, 3, 1, 2)
    assert parse_idx(idx_bytes((2, 8), bytes(16)), 1, "labels").shape == (2, 8)


def test_images_in_a_label_file_are_recognised():
    message = error_of(idx_bytes((1, 2, 2), bytes(4)), 1)
    assert "byte 3: 3 dimensions; expected 1: labels (count); are images and labels swapped?" in message


def test_labels_in_an_image_file_are_recognised():
    message = error_of(idx_bytes((4,), bytes(4)), 3)
    assert "byte 3: 1 dimensions; expected 3: images (count, height, width); are images and labels swapped?" in message


def test_other_numbers_of_dimensions_are_refused_without_a_suggestion():
    assert "swapped" not in error_of(idx_bytes((1, 1, 2, 2, 1), bytes(4)), 3)


# ---- read_unpacked


@pytest.mark.parametrize("name", ["file", "file.gz", "file.idx3-ubyte", "file.txt"])
def test_gzip_is_recognised_by_its_bytes_and_not_by_the_name(tmp_path, name):
    content = idx_bytes((3,), b"\1\2\3")
    for stored in (content, gzip.compress(content)):
        (tmp_path / name).write_bytes(stored)
        assert read_unpacked(tmp_path / name, LIMIT) == content


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 9))
def test_any_bytes_are_read_back(file, content, level):
    assume(content[:2] != b"\x1f\x8b")
    for stored in (content, gzip.compress(content, level)):
        file.write_bytes(stored)
        assert read_unpacked(file, LIMIT) == content


# ---- read_header


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_the_header_alone_gives_the_sizes(file, pack):
    file.write_bytes(pack(idx_bytes((2, 3, 3), bytes(18))))
    assert read_header(file, 3).sizes == (2, 3, 3)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40))
def test_a_plain_file_of_a_wrong_length_is_refused_with_the_message_of_the_reader(file, length):
    content = (idx_bytes((2, 3, 3), bytes(18)) + bytes(40))[:length]
    file.write_bytes(content)
    if length == 16 + 18:
        assert read_header(file, 3).sizes == (2, 3, 3)
        return
    with pytest.raises(DrilldownError) as caught:
        read_header(file, 3)
    assert str(caught.value).removeprefix(f"{file}: ") == error_of(content, 3).removeprefix("some-file: ")


PACKED = gzip.compress(idx_bytes((2, 3, 3), bytes(range(18))) * 20)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, len(PACKED) - 1))
def test_truncated_gzip_is_refused(file, length):
    file.write_bytes(PACKED[:length])
    assert read_error(file).startswith("damaged gzip data (")


@settings(max_examples=200, deadline=None)
@given(st.integers(2, len(PACKED) - 1), st.integers(0, 255))
def test_a_changed_byte_in_gzip_is_refused_or_has_no_effect(file, position, value):
    file.write_bytes(PACKED[:position] + bytes([value]) + PACKED[position + 1 :])
    try:
        assert read_unpacked(file, LIMIT) == gzip.decompress(PACKED)  # such as a byte of the time stamp
    except DrilldownError as error:
        assert "damaged gzip data" in str(error)  # noqa: PT017 - both results are correct


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_after_a_gzip_header_are_read_or_refused(file, rest):
    file.write_bytes(b"\x1f\x8b" + rest)
    try:
        read_unpacked(file, LIMIT)
    except DrilldownError as error:
        assert "damaged gzip data" in str(error)  # noqa: PT017 - both results are correct


def test_garbage_after_gzip_is_refused(file):
    file.write_bytes(PACKED + b"garbage")
    assert "damaged gzip data" in read_error(file)


def test_a_wrong_checksum_in_gzip_is_refused(file):
    checksum = struct.pack("<I", zlib.crc32(gzip.decompress(PACKED)))
    assert PACKED[-8:-4] == checksum
    file.write_bytes(PACKED[:-8] + bytes(4) + PACKED[-4:])
    assert "CRC check failed" in read_error(file)


def test_a_missing_file_and_a_folder_cannot_be_read(tmp_path):
    assert read_error(tmp_path / "none") == "cannot be read (No such file or directory)"
    assert read_error(tmp_path) == "cannot be read (Is a directory)"


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_that_is_too_large_is_refused(file, pack):
    file.write_bytes(pack(bytes(LIMIT)))
    assert len(read_unpacked(file, LIMIT)) == LIMIT
    file.write_bytes(pack(bytes(LIMIT + 1)))
    assert read_error(file) == f"more than {LIMIT:,} bytes; expected the size that its header says"


def test_a_header_that_promises_more_than_gzip_can_hold_is_refused(file):
    file.write_bytes(gzip.compress(idx_bytes((60_000, 1_000, 1_000), b"")))
    with pytest.raises(DrilldownError, match=r"the header promises 60,000,000,000 bytes \(60,000 x 1,000 x 1,000\)"):
        read_header(file, 3)
