"""`drilldown run`: progress, results, and the command that resumes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from drilldown import Compute, Folders
from drilldown.cli.options import command_text
from support.cli import drilldown
from support.study import command


def test_results_go_to_standard_output_and_progress_to_standard_error(lab: Path) -> None:
    shown = drilldown("run", "tiny.toml", "--again", cwd=lab)
    assert "Budget met" in shown.stdout
    assert "report.md" in shown.stdout
    assert "epoch" in shown.stderr
    assert "Budget" not in shown.stderr


def test_a_finished_run_is_reported_as_finished(lab: Path) -> None:
    _, err = command("run", "tiny.toml", cwd=lab)
    assert re.search(r"/tiny, seed 0: already finished; repeat it with drilldown run --again", err)


def test_the_resume_command_contains_the_given_options() -> None:
    text = command_text(["drilldown", "study", "a b"], Compute(threads=2), Folders(runs=Path("else where")))
    assert shlex.split(text) == ["drilldown", "study", "a b", "--runs", "else where", "--threads", "2"]
    assert command_text(["drilldown", "study", "s5"], Compute(), Folders()) == "drilldown study s5"
