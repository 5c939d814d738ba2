"""The real thing: MNIST, from the command line to a verdict, and a benchmark's ratios."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drilldown.data.loading import load_dataset
from drilldown.errors import DrilldownError

# All cores and PyTorch's own way to wait for threads: what users have.
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
    """The bar itself is a matter of 15 epochs and of seeds; see results/."""
    command = [sys.executable, "-m", "drilldown", "run", "under-8k", "--set", "recipe.epochs=7"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (summary,) = tmp_path.glob("runs/*/*/*/summary.json")
    said = json.loads(summary.read_text())
    assert said["parameters"] < 8000
    assert said["total"] == 10_000
    assert said["clean_train_total"] == 60_000
    assert min(said["last_correct"][-2:]) >= 9_930
    assert (summary.parent / "report.md").is_file()
