"""A network that is defined in a script; tests/notebook/test_cells.py has those of notebooks."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from drilldown.errors import DrilldownError
from drilldown.network.cell_module import cell_module
from support import experiments
from support.cli import environment, world

SCRIPT = """\
import drilldown
from torch import nn

class Flat(nn.Sequential):
    kind = nn.Linear

class Net(nn.Module):
    def __init__(self, hidden=8):
        super().__init__()
        self.layers = Flat(nn.Flatten(), Flat.kind(784, hidden), nn.Linear(hidden, 10))

    def forward(self, images):
        return self.layers(images)

if __name__ == "__main__":
    experiment = drilldown.load("tiny.toml").with_network(Net, hidden=5)
    run = drilldown.perform(experiment, compute=drilldown.Compute(engine="torch", threads=1))
    print(experiment.path, experiment.model_summary.parameters, run.status, run.experiment.name)
"""


def run_script(folder: Path, text: str = SCRIPT, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "train.py").write_text(text)
    caches = {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_DATA_HOME": str(folder / "data"), **env}
    return subprocess.run(
        [sys.executable, "train.py"],
        cwd=folder, env=environment(**caches), capture_output=True, text=True, check=False,
    )  # fmt: skip


class Block(nn.Module):
    kind = nn.Linear

    def forward(self, images: Tensor) -> Tensor:
        return F.relu(images)


class Uses(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()


def make(width: int = 8) -> nn.Module:
    return Renamed(nn.Flatten(), nn.Linear(784, width), Uses())


Renamed = nn.Sequential
WIDTH = 8


def depends() -> nn.Module:
    return nn.Linear(WIDTH, WIDTH)


def relies_on_a_file() -> nn.Module:
    return experiments.anything()  # type: ignore[attr-defined]


def test_the_module_has_the_definitions_in_their_order_and_only_the_imports_that_they_use() -> None:
    text = cell_module(make)
    order = [text.index(part) for part in ("class Block", "class Uses", "def make")]
    assert order == sorted(order)
    assert "from torch import nn\n" in text or "import torch.nn as nn\n" in text
    assert "import torch.nn.functional as F" in text
    assert "Renamed" in text
    assert "pytest" not in text
    namespace: dict[str, object] = {}
    exec(text, namespace)
    assert isinstance(namespace["make"](), nn.Sequential)  # type: ignore[operator]


def local() -> type[nn.Module]:
    class Inner(nn.Module):
        pass

    return Inner


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("model.py:Net", 'found the text "model.py:Net"'),
        (nn.Linear(1, 1), r"pass the class itself: experiment.with_network\(Linear\)"),
        (functools.partial(make, 3), "pass the arguments too"),
        (3, "an object of the class int"),
        (lambda: nn.Linear(1, 1), "write it with def"),
        (depends, "depends uses WIDTH: defined outside"),
        (relies_on_a_file, "uses the module experiments, a file of your own"),
        (local(), "Inner is defined inside local"),
    ],
)
def test_a_network_that_cannot_be_stored_is_refused_with_the_way_out(network: Any, message: str) -> None:
    with pytest.raises(DrilldownError, match=message):
        cell_module(network)


def test_a_class_of_a_script_is_trained_and_its_experiment_is_a_file(tmp_path: Path) -> None:
    world(tmp_path, epochs=1)
    done = run_script(tmp_path)
    assert done.returncode == 0, done.stderr
    path, *rest = done.stdout.split()
    assert rest[0] == str(784 * 5 + 5 + 5 * 10 + 10)
    assert rest[1:] == ["finished", f"{tmp_path.name}/tiny"]
    assert Path(path).is_relative_to(tmp_path / "cache")
    assert (Path(path).parent / "model.py").read_text().count("class ") == 2
    (stored,) = tmp_path.glob("runs/*/*/seed-0/model.py")
    assert stored.read_bytes() == (Path(path).parent / "model.py").read_bytes()


@pytest.mark.parametrize("cache", ["file", "file/below"])
def test_a_cache_that_cannot_be_written_is_one_message(tmp_path: Path, cache: str) -> None:
    world(tmp_path, epochs=1)
    (tmp_path / "file").write_text("not a folder")
    done = run_script(tmp_path, XDG_CACHE_HOME=str(tmp_path / cache))
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("drilldown.errors.DrilldownError: ")
    assert "cannot be written" in last
