"""Files are written completely or not at all."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.files import append, parse_json, with_checksum, write_atomically


def test_a_failed_write_leaves_the_file_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_bytes(b"before")
    with pytest.raises(TypeError):
        write_atomically(file, "not bytes")  # type: ignore[arg-type]
    assert file.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["precious"]


def test_two_writers_of_one_file_never_share_a_temporary_file(tmp_path: Path) -> None:
    contents = [bytes([number]) * 200_000 for number in range(8)]
    file = tmp_path / "shared"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_atomically(file, content), contents * 5))
    assert file.read_bytes() in contents
    assert [entry.name for entry in tmp_path.iterdir()] == ["shared"]


def test_a_guessed_temporary_name_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a name is there already, whoever made it, the write fails instead of following it."""
    monkeypatch.setattr("secrets.token_hex", lambda count: "0" * 2 * count)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / f".{'0' * 16}.partial").symlink_to(precious)
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "file", b"content")
    assert precious.read_text() == "mine"


def test_a_written_file_has_the_rights_that_the_user_chose(tmp_path: Path) -> None:
    for mask in (0o022, 0o077):
        before = os.umask(mask)
        try:
            write_atomically(tmp_path / "file", b"content")
        finally:
            os.umask(before)
        assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask


def test_an_addition_is_whole_or_not_there(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"one\n")
    append(file, b"two\n", 4)
    assert file.read_bytes() == b"one\ntwo\n"
    with pytest.raises(OSError, match="another program has changed the file"):
        append(file, b"three\n", 4)
    link = tmp_path / "link"
    link.symlink_to(file)
    with pytest.raises(OSError, match="symbolic"):
        append(link, b"three\n", 8)
    assert file.read_bytes() == b"one\ntwo\n"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.text(max_size=8).filter(lambda key: key != "sha256"), JSON, max_size=5)


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS)
def test_a_document_with_a_checksum_reads_back(document: dict[str, Any]) -> None:
    content = json.dumps(with_checksum(document)).encode()
    assert parse_json(content, Path("file")) == with_checksum(document)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, st.data())
def test_a_changed_byte_of_a_document_with_a_checksum_changes_no_value(
    document: dict[str, Any], data: st.DataObject
) -> None:
    content = bytearray(json.dumps(with_checksum(document)).encode())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = parse_json(bytes(content), Path("file"))
    except DrilldownError:
        return
    assert read == with_checksum(document) or "sha256" not in read


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is that of POSIX")
def test_a_failed_addition_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    import resource

    file = tmp_path / "lines"
    file.write_bytes(b"one\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))  # the first bytes of the addition fit, the others do not
    try:
        with pytest.raises(OSError, match="File too large"):
            append(file, b"two, and much more\n", 4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == b"one\n"
