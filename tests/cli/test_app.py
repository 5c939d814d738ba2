"""The process around the command line: terminals, pipes, messages, exit codes."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest

from drilldown.cli.app import app
from drilldown.errors import DrilldownError
from support.cli import drilldown, environment, world
from support.study import command


def test_lines_are_plain_where_there_is_no_terminal(lab: Path) -> None:
    shown = drilldown("run", "tiny.toml", "--again", cwd=lab)
    assert "\x1b" not in shown.stdout + shown.stderr
    assert "━" not in shown.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_output_works_in_any_encoding(encoding: str, lab: Path) -> None:
    shown = drilldown("run", "tiny.toml", cwd=lab, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert shown.returncode == 0, shown.stderr
    assert ("✓" in shown.stdout) == (encoding == "utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_shows_a_bar(lab: Path) -> None:
    import pexpect

    child = pexpect.spawn(
        sys.executable, ["-m", "drilldown", "run", "tiny.toml", "--again"],
        cwd=lab, env={**environment(), "TERM": "xterm"}, dimensions=(24, 80), encoding="utf-8", timeout=60,
    )  # fmt: skip
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "img/s" in child.before
    assert "left" in child.before


def test_no_color_is_respected(lab: Path) -> None:
    import pexpect

    child = pexpect.spawn(
        sys.executable, ["-m", "drilldown", "run", "tiny.toml"],
        cwd=lab, env={**environment(), "TERM": "xterm", "NO_COLOR": "1"}, dimensions=(24, 80), encoding="utf-8",
        timeout=60,
    )  # fmt: skip
    child.expect(pexpect.EOF)
    assert "\x1b[3" not in child.before.replace("\x1b[3m", "")


def test_text_from_files_is_not_read_as_markup(tmp_path: Path) -> None:
    folder = tmp_path / "[red]lab :smile:"
    folder.mkdir()
    world(folder, epochs=2)
    (folder / "tiny.toml").write_text((folder / "tiny.toml").read_text().replace('"Tiny"', '"A [/b] title"'))
    shown = drilldown("run", "tiny.toml", cwd=tmp_path / folder)
    assert shown.returncode == 0, shown.stderr
    assert "A [/b] title · [red]lab :smile:/tiny" in shown.stderr
    assert "runs/[red]lab :smile:/tiny-" in shown.stdout
    out, _ = command("compare", "tiny.toml", "under-8k", cwd=folder)
    assert "A [/b] title · tiny.toml" in out


BAD = {
    "unknown command": ["fly"],
    "unknown option": ["run", "--fast"],
    "unknown experiment": ["run", "evaa5-s5/06"],
    "ambiguous experiment": ["summary", "eva"],
    "missing file": ["run", "absent.toml"],
    "both seeds": ["run", "--seed", "1", "--seeds", "2"],
    "negative seed": ["run", "--seed", "-1"],
    "unknown engine": ["run", "tiny.toml", "--engine", "steam"],
    "unknown device": ["run", "tiny.toml", "--device", "abacus"],
    "malformed set": ["run", "tiny.toml", "--set", "epochs"],
    "missing data folder": ["run", "tiny.toml", "--data", "absent"],
    "missing dataset": ["run", "tiny.toml", "--set", "recipe.dataset=./absent"],
    "batch larger than the data": ["run", "tiny.toml", "--set", "recipe.batch_size=301"],
    "everything held out": ["run", "tiny.toml", "--set", "recipe.holdout=300"],
    "single image left over": ["run", "tiny.toml", "--set", "recipe.batch_size=299", "--set",
                               'network.layers=["conv 28x28 4, bn", "linear 10"]'],
    "missing run": ["report", "absent"],
    "missing folder of runs": ["runs", "--runs", "absent"],
    "file as folder of runs": ["runs", "--runs", "tiny.toml"],
    "one thing to compare": ["compare", "tiny.toml"],
    "negative epochs": ["run", "tiny.toml", "--set", "recipe.epochs=-1"],
    "lr nan": ["run", "tiny.toml", "--set", "recipe.optimizer.lr=nan"],
    "lr infinite": ["run", "tiny.toml", "--set", "recipe.optimizer.lr=inf"],
    "too few classes": ["run", "tiny.toml", "--set", 'network.layers=["conv 3x3 4", "gap", "linear 9"]'],
    "no parameters": ["run", "tiny.toml", "--set", 'network.layers=["gap", "relu"]'],
    "a thousand million parameters": ["run", "tiny.toml", "--set",
                                      'network.layers=["conv 28x28 1000000", "linear 1000", "linear 10"]'],
}  # fmt: skip


@pytest.mark.parametrize("arguments", BAD.values(), ids=BAD.keys())
def test_bad_input_gives_one_message_and_leaves_no_files(arguments: list[str], tmp_path: Path) -> None:
    world(tmp_path)
    refused = drilldown(*arguments, cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert refused.stdout == ""
    assert refused.stderr.strip()
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "runs").exists()


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    refused = drilldown("run", "absent.toml", "--debug", cwd=tmp_path)
    assert refused.returncode != 0
    assert "Traceback" in refused.stderr


def test_a_reader_that_leaves_early_is_no_error(lab: Path) -> None:
    import subprocess

    command = f"{sys.executable} -m drilldown summary under-8k | head -n 1"
    done = subprocess.run(command, shell=True, cwd=lab, env=environment(), capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert "Under 8,000" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell with pipefail")
def test_a_closed_pipe_gives_the_exit_code_of_other_tools(lab: Path) -> None:
    import subprocess

    for arguments in ("summary under-8k", "summary under-8k --json"):
        command = f"set -o pipefail; {sys.executable} -m drilldown {arguments} | true"
        done = subprocess.run(["bash", "-c", command], cwd=lab, env=environment(), capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize(
    "arguments", ["report", "resume", "verdict", "predict", "compare", "study", "data", "runs --runs"]
)
def test_a_name_that_is_too_long_gives_one_message(arguments: str, lab: Path) -> None:
    rest = {"predict": ["a.png"], "compare": ["tiny.toml"]}.get(arguments, [])
    with pytest.raises(DrilldownError):
        command(*arguments.split(), "x" * 300, *rest, cwd=lab)
    with pytest.raises(DrilldownError):
        command("data", "glyphs", "--data", "x" * 300, cwd=lab)


def test_help_answers_without_loading_pytorch(tmp_path: Path) -> None:
    import subprocess

    code = "import sys; sys.argv = ['drilldown', '--help']\nfrom drilldown.__main__ import main\n"
    code += "try: main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "predict" in done.stdout


def test_help_fits_80_columns_and_truncates_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    commands = [info.name or info.callback.__name__ for info in app.registered_commands if info.callback]
    assert len(commands) == 13
    for name in ([], *([name] for name in commands)):
        text, _ = command(*name, "--help", cwd=tmp_path)
        usage, *lines = text.splitlines()
        assert usage.startswith("Usage: ")
        assert max(map(len, lines)) <= 80
        assert not any(line.endswith("...") for line in lines)
    assert re.search(r"--engine\s+\S*auto\|native\|torch", command("run", "--help", cwd=tmp_path)[0])
