"""`drilldown run`: progress, results, and the command that resumes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from drilldown import Compute, Folders
from drilldown.cli.options import command_text
from drilldown.runs.run import Run
from support.cli import drilldown, only_run, start, world
from support.study import command

DEAD = """\
import torch
from torch import nn


class Dead(nn.Module):
    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(10))

    def forward(self, images):
        return self.bias.expand(len(images), 10)
"""


def test_results_and_epochs_go_to_standard_output_and_notices_to_standard_error(lab: Path) -> None:
    """A log that a shell writes with `>` has a line for each epoch."""
    shown = drilldown("run", "tiny.toml", "--again", cwd=lab)
    assert [line.split()[0] for line in shown.stdout.splitlines() if re.match(r" +\d ", line)] == ["1", "2", "3"]
    assert "Budget met" in shown.stdout
    assert "report.md" in shown.stdout
    assert "Budget" not in shown.stderr
    assert "test loss" not in shown.stderr


def test_a_finished_run_is_reported_as_finished(lab: Path) -> None:
    _, err = command("run", "tiny.toml", cwd=lab)
    assert re.search(r"/tiny, seed 0: already finished; repeat it with drilldown run --again", err)


def test_the_resume_command_contains_the_given_options() -> None:
    text = command_text(["drilldown", "study", "a b"], Compute(threads=2), Folders(runs=Path("else where")))
    assert shlex.split(text) == ["drilldown", "study", "a b", "--runs", "else where", "--threads", "2"]
    assert command_text(["drilldown", "study", "s5"], Compute(), Folders()) == "drilldown study s5"


def page_figures(run: Path) -> tuple[str, str]:
    """The engine that a report names, and the digest of the summary that it was made from."""
    page = (run / "report.html").read_text()
    engine = re.search(r"(native|torch) on cpu", page)
    digest = re.search(r'name="drilldown-summary" content="(\w+)"', page)
    assert engine is not None
    assert digest is not None
    return engine[1], digest[1]


def test_a_report_of_an_earlier_training_is_written_again(tmp_path: Path) -> None:
    """A repetition is killed after its result is saved and before its report is written."""
    world(tmp_path, epochs=2)
    drilldown("run", "tiny.toml", "--engine", "native", cwd=tmp_path)
    run = only_run(tmp_path)
    assert page_figures(run) == ("native", Run(run).report_digest)
    process = start("run", "tiny.toml", "--again", "--engine", "torch", cwd=tmp_path)
    summary = run / "summary.json"
    engine = ""
    while engine != "torch":
        assert process.poll() is None
        with contextlib.suppress(FileNotFoundError):  # the repetition has removed the first one
            engine = json.loads(summary.read_text())["engine"]
    process.kill()
    process.communicate()
    shown = drilldown("run", "tiny.toml", cwd=tmp_path)
    assert shown.returncode == 0
    assert page_figures(run) == ("torch", Run(run).report_digest)


def test_a_repetition_removes_the_old_report_first(lab: Path, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(only_run(lab), tmp_path / "seed-0")))
    run.clear()
    assert {entry.name for entry in run.path.iterdir()} == {"experiment.toml", "figures", ".lock"}


def test_a_dead_network_is_named_in_the_verdict(tmp_path: Path) -> None:
    head, _, tail = world(tmp_path, epochs=2).read_text().partition("[network]")
    (tmp_path / "dead.toml").write_text(
        f'{head}[network]\npython = "model.py:Dead"\n[recipe]{tail.partition("[recipe]")[2]}'
    )
    (tmp_path / "model.py").write_text(DEAD)
    done = drilldown("run", "dead.toml", cwd=tmp_path)
    assert "Budget not met" in done.stdout
    assert "dead, the same logits for all test images" in " ".join(done.stdout.split())
    assert "dead, the same logits" in (only_run(tmp_path) / "report.md").read_text()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (b"x" * 246, "the name of the step has 246 bytes; expected at most 240"),
        (b"n\xff", "the name of the step is not UTF-8"),
    ],
    ids=["long", "not UTF-8"],
)
def test_a_name_that_cannot_be_kept_is_refused_before_training(name: bytes, message: str, tmp_path: Path) -> None:
    world(tmp_path)
    file = os.fsdecode(name + b".toml")
    shutil.copy(tmp_path / "tiny.toml", tmp_path / file)
    done = drilldown("run", file, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_dataset_folder_whose_path_is_not_utf8_is_refused_before_training(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"q\xff") / "step"
    folder.mkdir(parents=True)
    world(folder)
    done = drilldown("run", f"{folder}/tiny.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "recipe.dataset: the folder's path is not UTF-8" in done.stderr
