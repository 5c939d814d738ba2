"""A dry run: it finds what would fail at the end, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown import Compute, Folders, load
from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.runs.dry_run import check_space, rehearse
from drilldown.runs.perform import perform
from drilldown.runs.run import Run
from support.cli import world, write_idx

MODULE = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(784, 10)
{init}

    def forward(self, images):
{forward}
        return self.out(images.flatten(1))
{more}
"""


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_nothing_is_left_and_the_run_is_whole(engine: str, tmp_path: Path) -> None:
    experiment = load(world(tmp_path, epochs=50))
    folders = Folders(runs=tmp_path / "runs")
    compute = Compute(engine="native" if engine == "native" else "torch")
    run, training = rehearse(experiment, tmp_path / "temporary", compute=compute, folders=folders)
    assert training.engine.name == engine
    assert not (tmp_path / "runs").exists()
    assert run.read().summary.epochs == 1
    assert run.read().summary.test.total == 100  # the predictions have the size of the real ones
    assert run.read().epochs[0].train.total == 32 + 300 % 32  # a full batch and the smaller last one


def test_a_run_that_is_there_is_not_touched(tmp_path: Path) -> None:
    experiment, folders = load(world(tmp_path, epochs=1)), Folders(runs=tmp_path / "runs")
    perform(experiment, folders=folders)
    before = content(tmp_path / "runs")
    rehearse(experiment, tmp_path / "temporary", folders=folders)
    assert content(tmp_path / "runs") == before


def test_a_busy_run_can_be_rehearsed(tmp_path: Path) -> None:
    experiment, folders = load(world(tmp_path, epochs=1)), Folders(runs=tmp_path / "runs")
    with Run.of(experiment, 0, folders.runs).lock():
        rehearse(experiment, tmp_path / "temporary", folders=folders)


def test_a_validation_split_is_rehearsed(tmp_path: Path) -> None:
    experiment = load(world(tmp_path), ["recipe.holdout=150"])
    run, _ = rehearse(experiment, tmp_path / "temporary", folders=Folders(runs=tmp_path / "runs"))
    assert run.read().split == "validation"


def test_runs_that_cannot_be_written_are_found(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(DrilldownError, match="the run cannot be written here"):
        rehearse(load(world(tmp_path)), tmp_path / "temporary", folders=Folders(runs=tmp_path / "runs"))


def module(folder: Path, init: str = "", forward: str = "", more: str = "") -> Experiment:
    """An experiment with an own module; the arguments are lines of its methods."""
    write_idx(folder / "letters", train=60, test=20)
    text = MODULE.format(
        init=f"        {init}" if init else "", forward=f"        {forward}" if forward else "", more=more
    )
    (folder / "model.py").write_text(text)
    (folder / "a.toml").write_text(
        'title = "A"\n[network]\npython = "model.py:Net"\n[recipe]\ndataset = "./letters"\nbatch_size = 20\n'
    )
    return load(folder / "a.toml")


LATE = "if self.training and not hasattr(self, 'late'): self.register_buffer('late', torch.ones(3))"
EXTRA = """
    def get_extra_state(self):
        return {'count': 3}

    def set_extra_state(self, state):
        pass
"""
BUFFER = "self.register_buffer('seen', torch.zeros(1))"


@pytest.mark.parametrize(
    "lines",
    [
        {"forward": LATE},
        {"init": BUFFER, "forward": "if self.training: self.seen.fill_(float('nan'))"},
        {"more": EXTRA},
    ],
    ids=["a buffer that comes late", "a buffer that is not a number", "a state that is no tensor"],
)
def test_a_module_whose_state_cannot_be_saved_is_found(lines: dict[str, str], tmp_path: Path) -> None:
    experiment = module(tmp_path, **lines)
    with pytest.raises(DrilldownError):
        rehearse(experiment, tmp_path / "temporary", folders=Folders(runs=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_too_little_space_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1_000))
    assert check_space(tmp_path / "runs", tmp_path, runs=3, tried=1) == 3_000
    with pytest.raises(DrilldownError, match=r"MB are free; expected about [\d,]+ MB; free some space"):
        check_space(tmp_path / "runs", tmp_path, runs=10**15, tried=1)
