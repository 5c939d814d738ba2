"""`drilldown search`: what it refuses, what it prints, and the command that resumes it."""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from drilldown.cli.app import app
from drilldown.errors import DrilldownError
from drilldown.runs import pool
from support.cli import drilldown, environment, world
from support.study import command

HELD_OUT = ("--set", "recipe.holdout=60")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A folder with a finished search, its answer, and what was shown on standard error."""
    folder = tmp_path_factory.mktemp("search")
    world(folder, epochs=2)
    done = drilldown("search", "tiny.toml", *HELD_OUT, "--candidates", "3", cwd=folder, COLUMNS="80")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout, done.stderr


def test_the_answer_goes_to_standard_output_and_progress_to_standard_error(finished: tuple[Path, str, str]) -> None:
    folder, out, err = finished
    first, aim, dimensions, *_ = err.splitlines()
    assert first == f"Tiny · {folder.name}/tiny · search"
    assert aim == "the lowest loss, at most 1,000 parameters"
    assert "dimensions: " in dimensions
    assert "0 of 3 candidates so far" in err
    for number in range(3):
        assert f"candidate {number}, seed 0: " in err
    assert "is measured on fresh seeds, from seed 100 on" in err
    assert "confirmed, " in err
    assert "candidate" in out
    paths = dict(line.split(None, 1) for line in out.splitlines() if line.startswith(("folder", "report")))
    assert (folder / paths["folder"] / "search.jsonl").is_file()
    assert (folder / paths["folder"] / "search.toml").is_file()
    assert paths["report"].startswith(paths["folder"])


def test_lines_fit_into_80_columns(finished: tuple[Path, str, str]) -> None:
    _, out, err = finished
    too_long = [line for line in (out + err).splitlines() if len(line) > 80 and "runs/" not in line]
    assert too_long == []


def test_a_repeated_command_trains_nothing_and_gives_the_same_answer(finished: tuple[Path, str, str]) -> None:
    folder, out, _ = finished
    states = {path: path.stat().st_mtime_ns for path in folder.rglob("state.safetensors")}
    again, err = command("search", "tiny.toml", *HELD_OUT, "--candidates", "3", cwd=folder)
    assert "3 of 3 candidates so far" in err
    assert "seed" not in err.partition("so far")[2]
    assert again.splitlines()[0] == out.splitlines()[0]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("state.safetensors")} == states


def test_more_candidates_continue_the_same_search(finished: tuple[Path, str, str]) -> None:
    folder, *_ = finished
    _, err = command("search", "tiny.toml", *HELD_OUT, "--candidates", "4", cwd=folder)
    assert "3 of 4 candidates so far" in err
    assert "candidate 3, seed 0: " in err
    assert len(list(folder.glob("runs/*/*-search-*"))) == 1


def test_a_search_without_validation_images_is_refused_with_the_reason(tmp_path: Path) -> None:
    world(tmp_path, epochs=1)
    refused = drilldown("search", "tiny.toml", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    (message,) = refused.stderr.splitlines()
    assert "tiny.toml: recipe.holdout: " in message
    assert "this recipe has no validation images to choose on" in message
    assert "expected images held out of the training set" in message
    assert "--on-test" in message
    assert not (tmp_path / "runs").exists()


def test_on_test_searches_on_the_test_images(tmp_path: Path) -> None:
    world(tmp_path, epochs=1)
    out, _ = command("search", "tiny.toml", "--on-test", "--candidates", "1", cwd=tmp_path)
    assert "test images" in out.lower()


def test_a_search_whose_trainings_all_diverge_says_so(tmp_path: Path) -> None:
    (file,) = [world(tmp_path, epochs=1)]
    file.write_text(file.read_text() + '[space]\n"recipe.optimizer.lr" = { float = [1e29, 1e30] }\n')
    done = drilldown("search", "tiny.toml", *HELD_OUT, "--candidates", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("diverged") == 3
    assert "none of the 3 candidates has a result: all trainings diverged or failed" in done.stdout


def test_a_space_without_any_network_below_the_limit_says_so(tmp_path: Path) -> None:
    world(tmp_path, epochs=1)
    out, _ = command("search", "tiny.toml", *HELD_OUT, "--set", "budget.parameters=10", cwd=tmp_path)
    assert "the space has no network with at most 10 parameters" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hours", "0"], "search.hours"),
        (["--set", "search.goal=small"], "search.goal"),
        (["--set", "search.candidate=3"], "candidates"),
    ],
)
def test_wrong_settings_are_named(options: list[str], message: str, tmp_path: Path) -> None:
    world(tmp_path, epochs=1)
    with pytest.raises(DrilldownError) as caught:
        command("search", "tiny.toml", *HELD_OUT, *options, cwd=tmp_path)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--candidates", "7", "--hours", "1.5", "--set", "recipe.epochs=3", "--set", 'search.goal="best"'],
        ["--deterministic", "--export", "study.db", "--runs", "my runs", "--engine", "torch", "--threads", "1"],
    ],
)
def test_an_interrupted_search_prints_the_command_that_resumes_it(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    world(tmp_path, epochs=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool, "perform", interrupt)
    given = ["search", "tiny.toml", *HELD_OUT, *options]
    with contextlib.suppress(KeyboardInterrupt, typer.Abort):
        app(given, standalone_mode=False)
    count, resume = capsys.readouterr().err.strip().splitlines()[-2:]
    assert count == "interrupted: every result and every finished epoch is saved"
    printed = shlex.split(resume.removeprefix("resume with: "))
    assert printed[:3] == ["drilldown", "search", "tiny.toml"]
    assert sorted(printed[1:]) == sorted(given)  # the order of options is free


def test_a_search_file_of_ones_own(tmp_path: Path) -> None:
    file = world(tmp_path, epochs=1)
    text = file.read_text().replace("conv 3x3 4,", "conv 3x3 {w},").replace("[budget]", "holdout = 60\n\n[budget]")
    text = text.replace("epochs = 1\naccuracy", "accuracy")
    (tmp_path / "mine.toml").write_text(text + "[search]\ncandidates = 9\n[space]\nw = { int = [3, 4] }\n")
    out, err = command("search", "mine.toml", cwd=tmp_path)
    assert "1 dimension: w" in err
    assert "candidate 0, seed 0" in err
    assert "candidate 1, seed 0" not in err  # each network is made as wide as the limit allows
    assert "candidate 0" in out


@pytest.mark.skipif(sys.platform == "win32", reason="pexpect needs a terminal of Unix")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_terminal_shows_the_workers_from_the_start(workers: str, tmp_path: Path) -> None:
    import pexpect

    world(tmp_path, epochs=2)
    given = ["-m", "drilldown", "search", "tiny.toml", *HELD_OUT, "--candidates", "2", "--workers", workers]
    child = pexpect.spawn(
        sys.executable, given, cwd=tmp_path, env={**environment(), "TERM": "xterm", "COLUMNS": "80"},
        encoding="utf-8", timeout=120, dimensions=(30, 80),
    )  # fmt: skip
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    assert "Traceback" not in child.before
    assert "of 2 candidates" in child.before
