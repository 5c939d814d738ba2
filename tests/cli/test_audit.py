"""The command `drilldown audit`: a run, all runs of an experiment, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from drilldown import Compute, DrilldownError, Folders, Run, load, perform
from drilldown.evaluation.effects import paired_effect
from support.qmnist import write_small_qmnist
from support.study import command

TINY = 'title = "Tiny"\n[network]\nlayers = ["conv 5x5 4 stride=3, relu", "flatten, linear 10"]\n[recipe]\nepochs = 1\n'
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "json-csv.md"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small MNIST and QMNIST, and three runs of an experiment."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "tiny.toml").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        write_small_qmnist(folder, patch)
        for seed in range(3):
            compute, folders = Compute(engine="torch"), Folders(runs=folder / "runs")
            perform(load(folder / "tiny.toml"), seed=seed, compute=compute, folders=folders)
    return folder


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_small_qmnist(tmp_path, monkeypatch)


def run_of(lab: Path, seed: int) -> Run:
    return Run.of(load(lab / "tiny.toml"), seed, lab / "runs")


def test_the_audit_of_a_run_as_text_and_json(lab: Path) -> None:
    run = run_of(lab, 1)
    text, notice = command("audit", str(run.path), cwd=lab)
    document = json.loads(command("audit", str(run.path), "--json", cwd=lab)[0])
    flat = " ".join(text.split())
    audit = document["audit"]
    assert f"Audit: {audit['correct']} of 400 further test images of QMNIST are correct" in flat
    assert f"{audit['interval']['low']:.2f} to {audit['interval']['high']:.2f} % (bootstrap over 40 writers)" in flat
    assert "Never choose by an audit" in flat
    assert f"to show it in the report: drilldown report {run.path}" in notice
    rows = re.findall(r"^ *(\d) +(\d+) +(\d+) +([\d.]+) +([\d.]+)", text, re.M)
    assert [[int(cell) for cell in row[:3]] for row in rows] == [
        [of_class["class"], of_class["audit_correct"], of_class["audit_total"]] for of_class in document["classes"]
    ]
    assert sum(of_class["audit_correct"] for of_class in document["classes"]) == audit["correct"]
    assert document["seed"] == 1
    points = document["difference"]["points"]
    assert points == pytest.approx(audit["accuracy"] - document["test"]["accuracy"])


def test_the_audits_of_an_experiment_are_paired_by_seed(lab: Path) -> None:
    options = ("tiny.toml", "--runs", str(lab / "runs"))
    document = json.loads(command("audit", *options, "--json", cwd=lab)[0])
    text = " ".join(command("audit", *options, cwd=lab)[0].split())
    assert [audit["seed"] for audit in document["audits"]] == [0, 1, 2]
    after = {audit["seed"]: audit["audit"]["accuracy"] for audit in document["audits"]}
    effect = paired_effect({audit["seed"]: audit["test"]["accuracy"] for audit in document["audits"]}, after)
    assert effect is not None
    assert document["difference"] == pytest.approx(
        {"n": 3, "mean": effect.mean, "low": effect.low, "high": effect.high, "p": effect.p}
        | {"measurable": effect.measurable}
    )
    assert document["audit"]["mean"] == pytest.approx(sum(after.values()) / 3)
    assert f"audit minus test, paired by seed: {effect.text(3)} points" in text
    assert "Never choose by an audit" in text


def test_verdict_shows_the_interval_over_writers(lab: Path) -> None:
    path = str(run_of(lab, 0).path)
    interval = json.loads(command("verdict", path, "--json", cwd=lab)[0])["test_interval"]
    low, high, writers = interval["low"], interval["high"], interval["writers"]
    words = f"95 % interval {low:.2f} to {high:.2f} % (bootstrap over {writers} writers)"
    assert words in " ".join(command("verdict", path, cwd=lab)[0].split())


def test_every_key_is_documented(lab: Path) -> None:
    def keys(document: Any) -> set[str]:
        if isinstance(document, dict):
            return set(document).union(*map(keys, document.values()))
        return set().union(*map(keys, document)) if isinstance(document, list) else set()

    section = PAGE.read_text().partition("## An audit")[2].partition("\n## ")[0]
    document = json.loads(command("audit", "tiny.toml", "--runs", str(lab / "runs"), "--json", cwd=lab)[0])
    assert keys(document) - set(re.findall(r"`(\w+)`", section)) == set()


def test_wrong_subjects_are_refused_with_one_message(lab: Path) -> None:
    with pytest.raises(DrilldownError, match=r"no finished runs of .*; train it with: drilldown run tiny\.toml"):
        command("audit", "tiny.toml", "--set", "recipe.epochs=2", "--runs", str(lab / "runs"), cwd=lab)
    with pytest.raises(DrilldownError, match="--set is given with a run"):
        command("audit", str(run_of(lab, 0).path), "--set", "recipe.epochs=2", cwd=lab)
