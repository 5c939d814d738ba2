"""`drilldown run`: progress, results, seeds, and the command that resumes."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path

from rich.console import Console

from drilldown import Compute, Folders
from drilldown.cli.options import command_text
from drilldown.terminal.live import LiveDisplay
from support.cli import drilldown, world
from support.study import command


def test_results_go_to_standard_output_and_progress_to_standard_error(lab: Path) -> None:
    shown = drilldown("run", "tiny.toml", "--again", cwd=lab)
    assert "Budget met" in shown.stdout
    assert "report.md" in shown.stdout
    assert "epoch" in shown.stderr
    assert "Budget" not in shown.stderr


def test_seeds_are_trained_in_turn_and_summed_up(tmp_path: Path) -> None:
    world(tmp_path, epochs=2)
    shown = drilldown("run", "tiny.toml", "--seeds", "2", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "2 of 2 seeds" in shown.stdout
    assert sorted(path.name for path in tmp_path.glob("runs/*/*/seed-*")) == ["seed-0", "seed-1"]


def test_a_file_that_comes_a_second_time_from_the_next_mirror_has_its_bar_again() -> None:
    live = LiveDisplay()
    live.console = Console(file=io.StringIO(), force_terminal=True)
    for received in (50, 100, 20, 100):  # whole, and not what it should be; then from elsewhere
        live.on_download("train-images", received, 100)
    assert live.bar is None


def test_a_finished_run_is_said_to_be_finished(lab: Path) -> None:
    _, told = command("run", "tiny.toml", cwd=lab)
    assert re.search(r"/tiny, seed 0: already finished; repeat it with drilldown run --again", told)


def test_the_resume_command_holds_the_options_that_were_given() -> None:
    text = command_text(["drilldown", "study", "a b"], Compute(threads=2), Folders(runs=Path("else where")))
    assert shlex.split(text) == ["drilldown", "study", "a b", "--runs", "else where", "--threads", "2"]
    assert command_text(["drilldown", "study", "s5"], Compute(), Folders()) == "drilldown study s5"
