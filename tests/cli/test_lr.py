"""`drilldown lr`: output, plot, JSON, and that it leaves nothing behind."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from drilldown.errors import DrilldownError
from support.cli import only_run, world
from support.study import command


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment, in which nothing was trained."""
    folder = tmp_path_factory.mktemp("lab")
    world(folder, epochs=2)
    return folder


def test_the_output_gives_a_number_its_rule_and_the_option_to_copy(lab: Path) -> None:
    out, _ = command("lr", "tiny.toml", "--plot", "a.png", cwd=lab)
    number = re.search(r"suggested lr  ([\d.e-]+) \(the experiment has 0\.1\)", out)
    assert number
    assert f"--set recipe.optimizer.lr={number[1]}" in out
    assert "a tenth of the learning rate at which the smoothed loss is lowest" in out
    assert "Smith 2017" in out
    assert (lab / "a.png").read_bytes().startswith(b"\x89PNG")
    assert max(map(len, out.splitlines())) <= 80


def test_json_is_one_document_with_numbers(lab: Path) -> None:
    document = json.loads(command("lr", "tiny.toml", "--json", "--set", "recipe.batch_size=64", cwd=lab)[0])
    assert isinstance(document["suggested_lr"], float)
    assert document["suggested_lr"] == pytest.approx(document["lowest_loss_lr"] / 10, rel=0.05)
    assert document["steps"][0]["lr"] == 1e-5
    assert document["experiment"].endswith("/tiny")


def test_no_run_is_written_and_a_later_run_has_the_same_bits(tmp_path: Path) -> None:
    weights = []
    for name, first in (("with", "lr"), ("without", None)):
        (tmp_path / name).mkdir()
        world(tmp_path / name, epochs=1)
        if first:
            command(first, "tiny.toml", cwd=tmp_path / name)
            assert not (tmp_path / name / "runs").exists()
        command("run", "tiny.toml", cwd=tmp_path / name)
        run = only_run(tmp_path / name)
        weights.append([(run / file).read_bytes() for file in ("weights.safetensors", "predictions.safetensors")])
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("name", "message"),
    [("plot.jpg", "expected a name that ends in .png"), ("nowhere/plot.png", "no such folder")],
)
def test_a_plot_that_cannot_be_written_is_refused_before_the_test(name: str, message: str, lab: Path) -> None:
    with pytest.raises(DrilldownError, match=message):
        command("lr", "tiny.toml", "--plot", name, cwd=lab)
