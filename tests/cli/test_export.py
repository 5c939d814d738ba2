"""The command `drilldown export`: table, JSON, exit codes, and what is refused."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from drilldown.cli.app import app
from drilldown.errors import DrilldownError
from support.cli import drilldown
from support.study import command

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
pytest.importorskip("onnxruntime")
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "json-csv.md"


def test_the_command_writes_the_files_and_prints_their_counts(lab: Path) -> None:
    done = drilldown("export", "last", "--to", "c-int8,onnx", cwd=lab)
    assert done.returncode == 0, done.stderr
    folder = lab / re.search(r"stored in (\S+);", done.stderr)[1]  # type: ignore[index]
    document = json.loads((folder / "export.json").read_text())
    for judged in document["formats"]:
        row = rf"^{judged['format']} .* {judged['correct']} +{judged['total']} +{len(judged['flipped'])} "
        assert re.search(row, done.stdout, re.M), done.stdout
    assert {file.name for file in folder.iterdir()} >= {"net.onnx", "net_int8.c", "net_int8.h", "selftest.c"}


def test_the_document_is_that_of_the_folder_and_all_its_keys_are_documented(lab: Path) -> None:
    document = json.loads(command("export", "last", "--to", "c", "--schedule", "layers", "--json", cwd=lab)[0])
    stored = json.loads((lab / document.pop("path") / "export.json").read_text())
    assert document == {key: value for key, value in stored.items() if key != "sha256"}
    (judged,) = document["formats"]
    assert judged["schedule"] == "layers"
    page = PAGE.read_text("utf-8").partition("## An export")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(\w+)`", page))
    assert {*document, *judged} <= documented


def test_a_failed_check_ends_with_exit_code_3(lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "cc"  # it changes the rule of rounding
    compiler.write_text(
        '#!/bin/sh\nfor file in "$@"; do case $file in *net_int8.c) '
        'sed -i \'s/ + 1) >> 1/ + 2) >> 1/\' "$file";; esac; done\nexec gcc "$@"\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    out = io.StringIO()
    with contextlib.chdir(lab), contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = app(["export", "last", "--to", "c-int8", "--json"], standalone_mode=False)
    assert code == 3
    document = json.loads(out.getvalue())
    assert document["passed"] is False
    assert document["formats"][0]["files"] == []


def test_wrong_formats_are_refused_with_a_suggestion(lab: Path) -> None:
    with pytest.raises(DrilldownError, match='--to: found "c8"; expected a list of "onnx", "onnx-int8", "c", "c-int8"'):
        command("export", "last", "--to", "onnx,c8", cwd=lab)
    with pytest.raises(DrilldownError, match="no run here"):
        command("export", "nowhere", cwd=lab)
