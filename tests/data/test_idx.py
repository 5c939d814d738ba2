"""The IDX reader, against a writer that shares nothing with it."""

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

from drilldown.data import idx
from drilldown.data.idx import parse_idx, read_unpacked
from drilldown.errors import DrilldownError

DIMENSIONS = st.sampled_from([1, 3])


def idx_bytes(shape: tuple[int, ...], data: bytes, *, zeros: int = 0, element: int = 8) -> bytes:
    """A file as LeCun's page describes it: magic number, sizes in the high-endian format, data."""
    return struct.pack(f">HBB{len(shape)}I", zeros, element, len(shape), *shape) + data


def mistake(content: bytes, dimensions: int) -> str:
    with pytest.raises(DrilldownError) as caught:
        parse_idx(content, dimensions, "some-file")
    (problem,) = caught.value.problems
    assert str(problem).startswith("some-file: ")
    return str(problem)


def reading(file: Path) -> str:
    """The message that reading a file gives, without its name."""
    with pytest.raises(DrilldownError) as caught:
        read_unpacked(file)
    assert str(caught.value).startswith(f"{file}: ")
    return str(caught.value).removeprefix(f"{file}: ")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file for all the examples of a property, each of which overwrites it."""
    return tmp_path_factory.mktemp("idx") / "file"


# ---- parse


@settings(max_examples=100, deadline=None)
@given(st.data(), DIMENSIONS)
def test_any_array_reads_back(data, dimensions):
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
    assert idx_bytes(array.shape, array.tobytes()) == content


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
def test_a_file_cut_off_anywhere_is_refused(data):
    content = idx_bytes((2, 3, 3), bytes(range(18)))
    assert mistake(content[: data.draw(st.integers(0, len(content) - 1))], 3)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_byte_is_refused_in_the_header_and_read_as_it_is_in_the_data(data):
    content = bytearray(idx_bytes((2, 3, 3), bytes(range(18))))
    position = data.draw(st.integers(0, len(content) - 1))
    before, content[position] = content[position], data.draw(st.integers(0, 255))
    assume(content[position] != before)
    if position < 16:
        assert mistake(bytes(content), 3)
    else:
        assert parse_idx(bytes(content), 3, "file").flatten()[position - 16] == content[position]


def test_a_short_file_says_how_much_is_missing():
    said = mistake(idx_bytes((1000, 28, 28), bytes(1234)), 3)
    assert "1,234 bytes of data; expected 784,000, as the header says (1,000 x 28 x 28)" in said
    assert said.endswith("is the file cut off?")


def test_bytes_after_the_end_are_refused_and_not_called_cut_off():
    said = mistake(idx_bytes((2,), b"\1\2garbage"), 1)
    assert "9 bytes of data; expected 2, as the header says (2)" in said
    assert "cut off" not in said


def test_a_header_that_is_longer_than_the_file_is_refused():
    assert "expected a header of 16" in mistake(idx_bytes((1, 1, 1), b"")[:10], 3)


def test_a_file_that_is_not_idx_is_shown_by_its_beginning():
    assert "byte 0: the file begins with b'<!DO'" in mistake(b"<!DOCTYPE html>", 3)


@pytest.mark.parametrize("element", [0x09, 0x0B, 0x0C, 0x0D, 0x0E])
def test_elements_that_are_not_bytes_are_refused(element):
    said = mistake(idx_bytes((2,), bytes(16), element=element), 1)
    assert f"byte 2: element type 0x{element:02x}; expected 0x08" in said


def test_images_in_the_place_of_labels_are_recognised():
    said = mistake(idx_bytes((1, 2, 2), bytes(4)), 1)
    assert "byte 3: 3 dimensions; expected 1: labels (count); are images and labels exchanged?" in said


def test_labels_in_the_place_of_images_are_recognised():
    said = mistake(idx_bytes((4,), bytes(4)), 3)
    assert "byte 3: 1 dimensions; expected 3: images (count, height, width); are images and labels exchanged?" in said


def test_other_dimensions_are_refused_without_a_guess():
    assert "exchanged" not in mistake(idx_bytes((1, 1, 2, 2), bytes(4)), 3)  # colour images, as some sets have them


# ---- read_bytes


@pytest.mark.parametrize("name", ["file", "file.gz", "file.idx3-ubyte", "file.txt"])
def test_gzip_is_recognised_by_its_bytes_whatever_the_name(tmp_path, name):
    content = idx_bytes((3,), b"\1\2\3")
    for stored in (content, gzip.compress(content)):
        (tmp_path / name).write_bytes(stored)
        assert read_unpacked(tmp_path / name) == content


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 9))
def test_any_bytes_come_out_as_they_went_in(file, content, level):
    assume(content[:2] != b"\x1f\x8b")
    for stored in (content, gzip.compress(content, level)):
        file.write_bytes(stored)
        assert read_unpacked(file) == content


PACKED = gzip.compress(idx_bytes((2, 3, 3), bytes(range(18))) * 20)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, len(PACKED) - 1))
def test_gzip_cut_off_anywhere_is_refused(file, length):
    file.write_bytes(PACKED[:length])
    assert reading(file).startswith("damaged gzip data (")


@settings(max_examples=200, deadline=None)
@given(st.integers(2, len(PACKED) - 1), st.integers(0, 255))
def test_a_changed_byte_in_gzip_is_refused_or_without_effect(file, position, value):
    file.write_bytes(PACKED[:position] + bytes([value]) + PACKED[position + 1 :])
    try:
        assert read_unpacked(file) == gzip.decompress(PACKED)  # a time stamp, say
    except DrilldownError as error:
        assert "damaged gzip data" in str(error)  # noqa: PT017 - either is right


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_anything_that_begins_like_gzip_is_read_or_refused(file, rest):
    file.write_bytes(b"\x1f\x8b" + rest)
    try:
        read_unpacked(file)
    except DrilldownError as error:
        assert "damaged gzip data" in str(error)  # noqa: PT017 - either is right


def test_garbage_after_gzip_is_refused(file):
    file.write_bytes(PACKED + b"garbage")
    assert "damaged gzip data" in reading(file)


def test_a_wrong_checksum_in_gzip_is_refused(file):
    checksum = struct.pack("<I", zlib.crc32(gzip.decompress(PACKED)))
    assert PACKED[-8:-4] == checksum
    file.write_bytes(PACKED[:-8] + bytes(4) + PACKED[-4:])
    assert "CRC check failed" in reading(file)


def test_a_missing_file_and_a_folder_cannot_be_read(tmp_path):
    assert reading(tmp_path / "none") == "cannot be read (No such file or directory)"
    assert reading(tmp_path) == "cannot be read (Is a directory)"


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_what_does_not_fit_in_memory_is_refused(file, monkeypatch, pack):
    monkeypatch.setattr(idx, "LARGEST_FILE", 1000)
    file.write_bytes(pack(bytes(1000)))
    assert len(read_unpacked(file)) == 1000
    file.write_bytes(pack(bytes(1001)))
    assert reading(file) == "more than 1,000 bytes; expected a dataset that fits in memory"
