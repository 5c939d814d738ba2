"""One load, training and report of a folder of IDX files reads, parses and lays out everything once."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import drilldown
from drilldown.data.own import idx_files
from drilldown.experiment import experiment as experiments
from support.cli import world


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the readings of pixels, the parsings of TOML, and the layouts of networks."""
    counted: Counter[str] = Counter()

    def count(module: object, name: str, label: Any) -> None:
        real = getattr(module, name)

        def counting(*arguments: Any, **named: Any) -> Any:
            counted[label(*arguments, **named)] += 1
            return real(*arguments, **named)

        monkeypatch.setattr(module, name, counting)

    # `read_unpacked` reads whole files; headers are read by `read_header`, within idx.py.
    count(idx_files, "read_unpacked", lambda file, _: f"read {file.name}")
    count(tomllib, "loads", lambda _: "parse TOML")
    count(experiments, "lay_out", lambda *_: "lay out")
    return counted


def test_pixels_toml_and_layout_are_read_once(tmp_path: Path, counts: Counter[str]) -> None:
    file = world(tmp_path, epochs=1)
    experiment = drilldown.load(file)
    run = drilldown.perform(experiment, folders=drilldown.Folders(runs=tmp_path / "runs"))
    drilldown.write_report(run)
    assert counts["parse TOML"] == 1
    assert counts["lay out"] == 1
    assert counts["read train-images-idx3-ubyte.gz"] == 1
    assert counts["read t10k-images-idx3-ubyte.gz"] == 1


def test_a_step_and_its_parent_are_each_parsed_and_laid_out_once(tmp_path: Path, counts: Counter[str]) -> None:
    world(tmp_path, epochs=1)
    child = tmp_path / "child.toml"
    child.write_text('title = "Child"\nextends = "tiny.toml"\n[recipe]\nbatch_size = 64\n')
    run = drilldown.perform(drilldown.load(child), folders=drilldown.Folders(runs=tmp_path / "runs"))
    drilldown.write_report(run)
    assert counts["parse TOML"] == 2
    assert counts["lay out"] == 2
    assert counts["read train-images-idx3-ubyte.gz"] == 1


def test_a_dataset_that_has_changed_is_read_again(tmp_path: Path, counts: Counter[str]) -> None:
    world(tmp_path)
    folder = f"{tmp_path / 'letters'}"
    first = drilldown.dataset(folder)
    assert drilldown.dataset(folder) is first
    labels = tmp_path / "letters" / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes())
    assert drilldown.dataset(folder) is not first
    assert counts["read train-images-idx3-ubyte.gz"] == 2
