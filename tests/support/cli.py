"""A small dataset and experiment on disk, and the command run in a process, as a user runs it."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from drilldown import load
from drilldown.data.glyphs import draw_glyphs
from drilldown.runs.run import Run
from support.prepared import can_run, run_in_terminal, run_prepared

TINY = """\
title = "Tiny"
target = "Small enough to train in a second."

[network]
layers = ["conv 3x3 4, bn, relu, dropout 0.1", "maxpool 4", "conv 3x3 8, bn, relu", "gap", "linear 10"]

[recipe]
dataset = "./letters"
epochs = {epochs}
batch_size = 32
optimizer = {{ name = "sgd", lr = 0.1, momentum = 0.9, nesterov = true }}
schedule = {{ name = "cosine", warmup = 0.2, finish = 0.8 }}
augment = {{ rotate = 10, jitter = {{ brightness = 0.2 }} }}
ema = 0.9

[budget]
parameters = 1_000
epochs = {epochs}
accuracy = {accuracy}
hold = 2
"""


def write_idx(folder: Path, train: int = 300, test: int = 100) -> None:
    """Writes glyphs as a folder of IDX files, without the package's own code for the format."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, (images, labels) in zip(("train", "t10k"), draw_glyphs(train, test), strict=True):
        header = struct.pack(">4B3I", 0, 0, 8, 3, *images.shape)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.numpy().tobytes()))
        header = struct.pack(">4BI", 0, 0, 8, 1, len(labels))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.byte().numpy().tobytes())


def world(folder: Path, *, epochs: int = 4, accuracy: float = 0.0) -> Path:
    """Writes a dataset and an experiment into a folder; returns the experiment's file."""
    write_idx(folder / "letters")
    file = folder / "tiny.toml"
    file.write_text(TINY.format(epochs=epochs, accuracy=accuracy))
    return file


def environment(**extra: str) -> dict[str, str]:
    """Returns the environment of a command: one thread, so that many small processes do not compete for cores."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", **extra}


def drilldown(*arguments: str, cwd: Path, timeout: float = 120, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the command; its output is captured."""
    if can_run(arguments, env):
        return run_prepared(arguments, cwd, environment(**env), timeout)
    return subprocess.run(
        [sys.executable, "-m", "drilldown", *arguments],
        cwd=cwd, env=environment(**env), capture_output=True, timeout=timeout, check=False,
        encoding="utf-8", errors="replace",
    )  # fmt: skip


def drilldown_in_terminal(*arguments: str, cwd: Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs the command with a terminal as its output; `stdout` of the result is all that the terminal got."""
    return run_in_terminal(arguments, cwd, environment(TERM="xterm"), timeout)


def start(*arguments: str, cwd: Path, **env: str) -> subprocess.Popen[str]:
    """Starts the command and returns at once."""
    return _start(arguments, cwd, subprocess.PIPE, env)


def start_with_log(log: IO[str], *arguments: str, cwd: Path, **env: str) -> subprocess.Popen[str]:
    """Starts the command and returns at once; its output goes to a file."""
    return _start(arguments, cwd, log, env)


def _start(arguments: Sequence[str], cwd: Path, output: int | IO[str], env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "drilldown", *arguments],
        cwd=cwd, env=environment(**env), stdout=output, stderr=output, text=True,
    )  # fmt: skip


LONG_RUN_EPOCHS = 60
"""The epochs of a run that takes some seconds, so that it can be killed while it trains."""


def only_run(folder: Path) -> Path:
    """Returns the folder of the only run in `folder/runs`."""
    (run_dir,) = (folder / "runs").glob("*/*/seed-*")
    return run_dir


def plain_run(lab: Path) -> Path:
    """Returns the folder of the run without overrides."""
    return Run.of(load(lab / "tiny.toml"), 0, lab / "runs").path
