"""Files are written completely or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown.files import write_atomically


def test_a_failed_write_leaves_the_file_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_bytes(b"before")
    with pytest.raises(TypeError):
        write_atomically(file, "not bytes")  # type: ignore[arg-type]
    assert file.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["precious"]
