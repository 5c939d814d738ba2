"""MNIST itself, from the command line to a report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drilldown.data.loading import load_dataset
from drilldown.errors import DrilldownError

# As users have it: all cores, and PyTorch's default for waiting threads.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}


@pytest.fixture(scope="module")
def _mnist() -> None:
    if not os.environ.get("DRILLDOWN_DATA"):
        pytest.skip("DRILLDOWN_DATA does not say where MNIST lies")
    try:
        load_dataset("mnist")
    except DrilldownError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_mnist")
def test_the_flagship_learns_mnist_in_half_its_epochs(tmp_path: Path) -> None:
    """Whether 15 epochs meet the budget is a question of many seeds; results/ answers it."""
    command = [sys.executable, "-m", "drilldown", "run", "under-8k", "--set", "recipe.epochs=7"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (summary,) = tmp_path.glob("runs/*/*/*/summary.json")
    document = json.loads(summary.read_text())
    assert document["parameters"] < 8000
    assert document["total"] == 10_000
    assert document["clean_train_total"] == 60_000
    assert min(document["last_correct"][-2:]) >= 9_930
    assert (summary.parent / "report.md").is_file()
