"""The process around the command line: terminals, pipes, messages, exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from drilldown.cli.app import app
from drilldown.errors import DrilldownError
from drilldown.runs.folder import FINISHED, RunFolder
from support.cli import drilldown, drilldown_in_terminal, environment, only_run, world
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


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal and a prepared process")
def test_a_terminal_shows_a_bar(lab: Path) -> None:
    shown = drilldown_in_terminal("run", "tiny.toml", "--again", cwd=lab)
    assert shown.returncode == 0
    assert "img/s" in shown.stdout
    assert "left" in shown.stdout


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
    assert "A [/b] title · [red]lab :smile:/tiny" in shown.stdout
    assert "runs/[red]lab :smile:/tiny-" in shown.stdout
    out, _ = command("compare", "tiny.toml", "under-8k", cwd=folder)
    assert "A [/b] title · tiny.toml" in out


CONTROLS = "\x1b]0;owned\x07\x9b31m\u202etxt"
"""A terminal title, a colour and a change of direction; a file that people exchange may hold them."""
RAW = ("\x1b]", "\x07", "\x9b", "\u202e")


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder, dataset, experiment and title whose names hold control characters, with one finished run."""
    folder = tmp_path_factory.mktemp("strange")
    file = world(folder, epochs=1)
    (folder / "letters").rename(folder / f"let{CONTROLS}")
    escaped = CONTROLS.encode("unicode_escape").decode().replace("\\x", "\\u00")
    text = file.read_text().replace('"Tiny"', f'"A title{escaped}\\ndrilldown: fake line"')
    (folder / f"exp{CONTROLS}.toml").write_text(text.replace("./letters", f"./let{escaped}"))
    done = drilldown("run", f"exp{CONTROLS}.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def strange_commands() -> dict[str, list[str]]:
    file = f"exp{CONTROLS}.toml"
    return {
        "run": ["run", file], "run again": ["run", file, "--again"], "runs": ["runs"], "report": ["report", "last"],
        "summary": ["summary", file], "data": ["data", f"let{CONTROLS}"], "compare": ["compare", file, "under-8k"],
        "wrong key": ["summary", file, "--set", f"recipe.{CONTROLS}=1"],
        "missing experiment": ["summary", f"absent{CONTROLS}.toml"],
        "missing picture": ["predict", "last", f"digit{CONTROLS}.png"],
        "missing data folder": ["run", file, "--data", f"absent{CONTROLS}"],
        "unknown option": ["run", f"--{CONTROLS}"], "unknown command": [f"fly{CONTROLS}"],
        "traceback": ["summary", f"absent{CONTROLS}.toml", "--debug"],
    }  # fmt: skip


@pytest.mark.parametrize("arguments", strange_commands().values(), ids=strange_commands().keys())
def test_control_characters_from_files_are_printed_as_escapes(arguments: list[str], strange: Path) -> None:
    shown = drilldown(*arguments, cwd=strange)
    printed = shown.stdout + shown.stderr
    assert r"\x1b]0;owned\x07" in printed
    assert not any(raw in printed for raw in RAW)
    assert "internal error" not in printed
    assert not any(line.startswith("drilldown: fake") for line in printed.splitlines())


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal and a prepared process")
@pytest.mark.parametrize("arguments", strange_commands().values(), ids=strange_commands().keys())
def test_a_terminal_obeys_no_control_character_from_files(arguments: list[str], strange: Path) -> None:
    shown = drilldown_in_terminal(*arguments, cwd=strange).stdout
    assert r"\x1b]0;owned" in shown
    assert not any(raw in shown for raw in RAW)


@pytest.mark.parametrize("command", ["runs --json", "summary {file} --json"])
def test_json_holds_no_control_character_and_the_same_text(command: str, strange: Path) -> None:
    shown = drilldown(*(part.format(file=f"exp{CONTROLS}.toml") for part in command.split()), cwd=strange)
    assert shown.returncode == 0, shown.stderr
    assert not any(raw in shown.stdout for raw in RAW)
    document = json.loads(shown.stdout)
    if command.startswith("runs"):
        assert any(CONTROLS in run["path"] for run in document)


@pytest.mark.skipif(sys.platform != "linux", reason="needs names of files that are not UTF-8")
def test_a_name_that_is_not_utf8_is_printed_with_its_bytes_as_numbers(lab: Path) -> None:
    shown = drilldown("summary", os.fsdecode(b"a\xff.toml"), cwd=lab)
    assert shown.returncode == 2
    assert r"a\udcff.toml" in shown.stderr


FULL = "drilldown: standard output cannot be written (No space left on device)\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", ["summary tiny.toml", "--version", "--help", "runs --json", "runs", "run --help"])
def test_a_full_standard_output_gives_one_line_and_exit_code_2(arguments: str, unbuffered: str, lab: Path) -> None:
    command = f"{sys.executable} -m drilldown {arguments} > /dev/full"
    env = environment(PYTHONUNBUFFERED=unbuffered)
    done = subprocess.run(command, shell=True, cwd=lab, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, FULL)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_waits_in_the_buffer_at_the_end_is_not_lost_in_silence(tmp_path: Path) -> None:
    code = "from drilldown import __main__\nfrom drilldown.cli import app\n"
    code += "app.app = lambda *arguments, **options: print('waits')\n__main__.main()\n"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment(PYTHONUNBUFFERED=""),
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, FULL)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_keeps_the_finished_run(tmp_path: Path) -> None:
    world(tmp_path, epochs=1)
    command = f"{sys.executable} -m drilldown run tiny.toml > /dev/full"
    done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().endswith(FULL)
    assert RunFolder(only_run(tmp_path)).status == FINISHED


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("redirection", ["2> /dev/full", "2>&-", "<&- 2>&-"])
def test_a_training_ends_well_without_a_standard_error(redirection: str, tmp_path: Path) -> None:
    world(tmp_path, epochs=2)
    for arguments, code in (("run tiny.toml", 0), ("run absent.toml", 2), ("run --fast", 2)):
        command = f"{sys.executable} -m drilldown {arguments} {redirection}"
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment(), capture_output=True, check=False)
        assert done.returncode == code
        assert (b"report.html" in done.stdout) == (code == 0)
    assert RunFolder(only_run(tmp_path)).status == FINISHED


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell that closes streams")
@pytest.mark.parametrize("redirection", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_closed_standard_output_is_no_error_and_damages_no_file(redirection: str, tmp_path: Path) -> None:
    """A file that is opened first would have the number of standard output, and get what is printed."""
    world(tmp_path, epochs=2)
    for arguments in ("run tiny.toml", "summary tiny.toml", "runs --json", "--version", "--help"):
        command = f"{sys.executable} -m drilldown {arguments} {redirection}"
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
        assert b"Exception" not in done.stderr
    run = only_run(tmp_path)
    assert RunFolder(run).status == FINISHED
    assert not any(b"Budget met" in file.read_bytes() for file in run.iterdir() if file.suffix in (".json", ".log"))


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


def test_debug_shows_the_traceback_and_keeps_the_exit_code(tmp_path: Path) -> None:
    refused = drilldown("run", "absent.toml", "--debug", cwd=tmp_path)
    assert refused.returncode == 2
    assert "Traceback" in refused.stderr


def test_a_reader_that_leaves_early_is_no_error(lab: Path) -> None:
    command = f"{sys.executable} -m drilldown summary under-8k | head -n 1"
    done = subprocess.run(command, shell=True, cwd=lab, env=environment(), capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert "Under 8,000" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell with pipefail")
def test_a_closed_pipe_gives_the_exit_code_of_other_tools(lab: Path) -> None:
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
    code = "import sys; sys.argv = ['drilldown', '--help']\nfrom drilldown.__main__ import main\n"
    code += "try: main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "predict" in done.stdout


def test_help_fits_80_columns_and_truncates_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    commands = [info.name or info.callback.__name__ for info in app.registered_commands if info.callback]
    assert len(commands) == 22
    for name in ([], *([name] for name in commands)):
        text, _ = command(*name, "--help", cwd=tmp_path)
        usage, *lines = text.splitlines()
        assert usage.startswith("Usage: ")
        assert max(map(len, lines)) <= 80
        assert not any(line.endswith("...") for line in lines)
    assert re.search(r"--engine\s+\S*auto\|native\|torch", command("run", "--help", cwd=tmp_path)[0])


@pytest.mark.skipif(os.name != "posix", reason="elsewhere the folder of a process cannot be removed")
def test_a_deleted_working_folder_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        f'cd "{gone}" && rmdir "{gone}" && exec "{sys.executable}" -m drilldown summary under-8k',
        shell=True, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "drilldown: the working folder was deleted; change to another folder\n"


def test_a_very_long_parent_is_no_internal_error(tmp_path: Path) -> None:
    (tmp_path / "o.toml").write_text(f'title = "x"\nextends = "{"x" * 5_000}/y"\n')
    done = drilldown("summary", "o.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "internal error" not in done.stderr
