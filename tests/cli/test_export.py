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
from support.exports import need_program
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


def test_figures_of_a_target_are_printed_and_stored_and_a_limit_that_is_exceeded_ends_with_exit_code_3(
    lab: Path,
) -> None:
    need_program("arm-none-eabi-gcc", "gcc-arm-none-eabi")
    need_program("qemu-system-arm", "qemu-system-arm")
    arguments = ["export", "last", "--to", "c-int8", "--target", "cortex-m4", "--flash", "1k", "--ram", "64k"]
    out = io.StringIO()
    with contextlib.chdir(lab), contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = app(arguments, standalone_mode=False)
    assert code == 3
    document = json.loads(next((lab / "runs").rglob("export.json")).read_text())
    (figures,) = document["targets"]
    sizes, run = figures["sizes"], figures["execution"]
    row = [sizes[key] for key in ("flash", "text", "rodata", "data", "bss", "ram", "stack")]
    assert re.search(
        "^cortex-m4 +" + " +".join(f"{size:,}" for size in [*row, round(run["count"])]), out.getvalue(), re.M
    )
    for step in run["steps"]:
        assert re.search(rf"^{step['name']} +{step['count']:,.0f} *$", out.getvalue(), re.M)
    too_much = f"cortex-m4: flash {sizes['flash']:,} B, limit 1,024 B: {sizes['flash'] - 1024:,} B too much"
    assert document["exceeded"] == [too_much]
    assert too_much in out.getvalue()
    assert document["limits"] == {"flash": 1_024, "ram": 65_536}
    assert document["passed"] is False
    assert document["formats"][0]["files"] == ["net_int8.h", "net_int8.c", "selftest.c"]
    assert (
        max(map(len, out.getvalue().partition("selftest.c")[2].partition("order of the steps")[0].splitlines())) <= 80
    )
    page = PAGE.read_text("utf-8").partition("## An export")[2].partition("\n## ")[0]
    assert {*document, *figures, *sizes, *run, *run["steps"][0]} - {"sha256"} <= set(re.findall(r"`(\w+)`", page))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "cortex-m5"], '--target: found "cortex-m5"; expected .*"cortex-m0", .* did you mean "cortex-m'),
        (["--target", "host", "--to", "onnx"], "--target: figures are of c-int8, which is not exported"),
        (["--flash", "16k"], "a limit for flash or RAM without a target; add, for example, --target cortex-m4"),
        (["--target", "host", "--ram", "4x"], '--ram: found "4x"; expected a number of bytes, such as 16k'),
    ],
)
def test_wrong_targets_and_limits_are_named(options, message, lab: Path) -> None:
    with pytest.raises(DrilldownError, match=message):
        command("export", "last", *options, cwd=lab)
