"""A study of three tiny steps, for the tests of the commands over many runs."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

from drilldown import Compute, Folders, load
from drilldown.cli.app import app
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.studies import Study
from drilldown.runs.pool import InProcessPool, Outcome, Task
from drilldown.runs.worklist import Estimate, WorklistCallback, WorkPlan, train_all
from support.cli import write_idx

FIRST = """\
title = "Plain"
target = "Something | to improve."

[network]
layers = ["conv 3x3 2, relu", "maxpool 4", "flatten", "linear 10"]

[recipe]
dataset = "../letters"
epochs = {epochs}
batch_size = 32
optimizer = {{ name = "sgd", lr = 0.1, momentum = 0.9 }}

[budget]
parameters = 1_000
epochs = 500
accuracy = 5.0
hold = 2

[reported]
train = 99.1
test = 99.5
"""
SECOND = """\
title = "Batch norm"
extends = "01-plain.toml"
reconstructed = true

[network]
layers = ["conv 3x3 2, bn, relu", "maxpool 4", "flatten", "linear 10"]
"""
THIRD = """\
title = "Wider"
extends = "01-plain.toml"

[network]
layers = ["conv 3x3 4, relu", "maxpool 4", "flatten", "linear 10"]

[recipe]
batch_size = 16
schedule = {{ name = "cosine" }}
"""
STEPS = ("01-plain", "02-norm", "03-wider")


def write_study(folder: Path, *, epochs: int = 2, steps: int = 3) -> Path:
    """Writes a study and, beside it, its dataset; returns the study's folder."""
    write_idx(folder / "letters", train=128, test=60)
    study = folder / "climb"
    study.mkdir()
    for name, content in list(zip(STEPS, (FIRST, SECOND, THIRD), strict=True))[:steps]:
        (study / f"{name}.toml").write_text(content.format(epochs=epochs) if name != "02-norm" else content)
    return study


def command(*arguments: str, cwd: Path) -> tuple[str, str]:
    """Runs a command in this process, which saves the seconds of a start; returns standard output and standard error.

    *Raises* the error that `main` would print as a message.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        app(list(arguments), standalone_mode=False)
    return out.getvalue(), err.getvalue()


class Witness(WorklistCallback):
    """Records the events of a worklist."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.failed: list[tuple[str, int]] = []
        self.waited: list[Path] = []

    def on_task_start(self, task: Task, left: Sequence[Task], estimate: Estimate) -> None:  # noqa: ARG002
        self.begun.append((task.experiment.name, task.seed))

    def on_task_end(self, outcome: Outcome) -> None:
        if outcome.ending in ("diverged", "failed"):
            self.failed.append((outcome.task.experiment.name, outcome.task.seed))

    def on_wait(self, task: Task) -> None:
        self.waited.append(task.run.path)


def steps_of(folder: Path) -> list[Experiment]:
    return [load(file) for file in Study(folder).steps]


def train(plan: WorkPlan, witness: Witness | None = None) -> Witness:
    """Trains a list in this process; returns what it was told."""
    witness = witness or Witness()
    train_all(plan, witness, InProcessPool(Compute(engine="torch", threads=1), Folders(), witness))
    return witness
