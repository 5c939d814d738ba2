"""A run of ten thousand epochs: its last commit is as quick as its first ones."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest

from drilldown import Compute, load
from drilldown.evaluation.records import EpochRecord
from drilldown.runs.perform import perform
from drilldown.runs.writer import RunWriter
from support.cli import write_idx

EPOCHS, SOME_EPOCHS = 10_000, 1_000
EXPERIMENT = """\
title = "Long"
[network]
layers = ["conv 3x3 4 stride=2, relu", "gap", "linear 10"]
[recipe]
dataset = "./letters"
epochs = {epochs}
batch_size = 100
optimizer = {{ name = "sgd", lr = 0.01 }}
"""


@pytest.mark.timeout(600)
def test_the_last_commit_takes_no_longer_than_twice_the_tenth(
    thorough: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = EPOCHS if thorough else SOME_EPOCHS
    write_idx(tmp_path / "letters", train=100, test=20)
    (tmp_path / "long.toml").write_text(EXPERIMENT.format(epochs=epochs))
    seconds: list[float] = []
    commit = RunWriter.commit

    def timed(writer: RunWriter, epoch: EpochRecord) -> None:
        started = time.perf_counter()
        commit(writer, epoch)
        seconds.append(time.perf_counter() - started)

    monkeypatch.setattr(RunWriter, "commit", timed)
    run = perform(load(tmp_path / "long.toml"), run_dir=tmp_path / "seed-0", compute=Compute(threads=1))
    assert statistics.median(seconds[-50:]) < 2 * statistics.median(seconds[5:55])
    assert len(run.epochs) == epochs
