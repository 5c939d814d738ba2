"""Summaries that cannot be those of a run are refused, also with a right checksum."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from drilldown.errors import DrilldownError
from drilldown.files import json_bytes, with_checksum
from drilldown.runs.run import Run
from drilldown.runs.summary import RunSummary, read_summary


@pytest.fixture(scope="module")
def document(uninterrupted: Path) -> dict[str, Any]:
    """The document of a finished run, without its checksum."""
    document: dict[str, Any] = json.loads((uninterrupted / "summary.json").read_text())
    del document["sha256"]
    return document


OPTIONAL = {
    "title", "fingerprint", "versions", "last_correct", "files", "machine", "pictures", "chip", "teacher",
    "teacher_seen",
}  # fmt: skip
"""Fields that earlier versions did not write."""


def test_each_missing_value_is_named(document: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    for key in document.keys() - OPTIONAL:
        file.write_bytes(json_bytes(with_checksum({name: value for name, value in document.items() if name != key})))
        with pytest.raises(DrilldownError, match=rf'summary\.json: cannot be read \("{key}" is missing\)'):
            read_summary(file)


@pytest.mark.parametrize("value", [None, [], {}, "text", [[1]], {"a": {"b": {}}}, -1, float("nan")], ids=str)
def test_a_wrong_value_never_gives_another_error(document: dict[str, Any], value: object, tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    for key in document:
        file.write_bytes(json_bytes(with_checksum({**document, key: value})))
        try:
            summary = read_summary(file)
        except DrilldownError:
            continue
        assert isinstance(summary, RunSummary)


def test_records_that_do_not_parse_are_refused_in_a_run_of_version_0_1(uninterrupted: Path, tmp_path: Path) -> None:
    """It has no checksums, so the records themselves must be looked at."""
    run = Run(Path(shutil.copytree(uninterrupted, tmp_path / "seed-0")))
    summary = json.loads((run.path / "summary.json").read_text())
    del summary["sha256"], summary["files"]
    (run.path / "summary.json").write_text(json.dumps(summary))
    lines = (run.path / "epochs.jsonl").read_text().splitlines(keepends=True)
    wrong = ["", "{", "[]\n", "\n", "".join(lines[:-1]), "".join(lines[1:]), "".join(reversed(lines)), '{"a":' * 10_000]
    for content in wrong:
        (run.path / "epochs.jsonl").write_text(content)
        with pytest.raises(DrilldownError, match=r"epochs\.jsonl: cannot be read"):
            run.read()


@pytest.mark.parametrize(
    "change",
    [
        {"normalisation": {"mean": 0.1, "std": 0}},
        {"normalisation": {"mean": float("nan"), "std": 1}},
        {"seconds": -5},
        {"clean_train_correct": 10**9},
        {"last_correct": [1, 2]},
        {"title": "\ud800"},
    ],
    ids=str,
)
def test_impossible_figures_are_refused(
    change: dict[str, Any], document: dict[str, Any], uninterrupted: Path, tmp_path: Path
) -> None:
    run = Run(Path(shutil.copytree(uninterrupted, tmp_path / "seed-0")))
    content = json.dumps(with_checksum({**document, **change}))
    (run.path / "summary.json").write_text(content)
    with pytest.raises(DrilldownError, match=r"summary\.json: cannot be read"):
        run.read()
