"""`--json` and `--csv`: one document with numbers, or nothing; every key and column is documented."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from drilldown.analysis.study_rows import STUDY_COLUMNS
from drilldown.cli.app import app
from drilldown.data.glyphs import _template
from drilldown.errors import DrilldownError
from drilldown.runs.row import RUN_COLUMNS
from support.cli import drilldown
from support.study import command, write_study

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "json-csv.md"
COMMANDS = (
    ("summary", "tiny.toml"),
    ("run", "tiny.toml"),
    ("run", "tiny.toml", "--seeds", "2"),
    ("resume", "last"),
    ("verdict", "last"),
    ("verdict", "tiny.toml"),
    ("compare", "tiny.toml", "last"),
    ("predict", "last", "three.png"),
    ("data", "./letters", "--preview", "letters.png"),
    ("study", "climb", "--seeds", "1"),
    ("ablate", "climb/02-norm.toml", "--seeds", "1"),
    ("runs",),
)


@pytest.fixture(scope="module")
def documents(lab: Path) -> dict[tuple[str, ...], Any]:
    """The document of each command."""
    Image.fromarray(_template(3, "DejaVuSans.ttf").numpy()).resize((280, 280)).save(lab / "three.png")
    (lab / "study").mkdir()
    write_study(lab / "study", steps=2).rename(lab / "climb")
    return {call: json.loads(command(*call, "--json", cwd=lab)[0], parse_constant=pytest.fail) for call in COMMANDS}


def leaves(document: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a document with its path; elements of a list share one."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from leaves(value, f"{path}.{key}".strip("."))
    elif isinstance(document, list):
        for value in document:
            yield from leaves(value, path)
    else:
        yield path, document


def test_each_command_prints_one_document_with_numbers_and_nothing_else(
    documents: dict[tuple[str, ...], Any],
) -> None:
    for call, document in documents.items():
        if call == ("runs",):  # it shows `summary.json` as it is, with the verdict in words
            continue
        for path, value in leaves(document):
            name = path.rpartition(".")[2]
            figure = isinstance(value, str) and re.fullmatch(r"[-+]?[\d,]*\.?\d+( %)?", value)
            assert not figure or name in ("fingerprint", "seed"), (call, path, value)


def test_documents_have_the_figures_of_the_text(lab: Path, documents: dict[tuple[str, ...], Any]) -> None:
    run = documents["verdict", "last"]
    summary = json.loads((lab / run["path"] / "summary.json").read_text())
    assert run["parameters"] == summary["parameters"] == run["verdict"]["parameters"]["found"]
    accuracy = run["verdict"]["accuracy"]
    assert accuracy["worst"] == min(summary["accuracy"]["last"][-2:]) == 100 * accuracy["worst_correct"] / 100
    assert (accuracy["limit"], accuracy["hold"], accuracy["total"]) == (0.0, 2, 100)
    both = documents["run", "tiny.toml", "--seeds", "2"]
    assert [run["seed"] for run in both["runs"]] == [0, 1]
    assert both["verdict"]["seeds_passed"] == both["verdict"]["seeds"] == 2
    assert both["accuracy"]["low"] is None  # two seeds have no interval
    (picture,) = documents["predict", "last", "three.png"]["predictions"]
    assert picture["confidence"] == max(picture["percents"])
    assert sum(picture["percents"]) == pytest.approx(100)
    data = documents["data", "./letters", "--preview", "letters.png"]
    assert sum(data["train"]["by_class"]) == data["train"]["images"] == 300
    plain, norm = documents["study", "climb", "--seeds", "1"]["steps"]
    assert plain["effect"] is None
    assert norm["effect"]["against"] == "01-plain"
    assert norm["effect"]["components"] == ["batch norm"]


def test_an_error_prints_no_document(lab: Path, documents: dict[tuple[str, ...], Any]) -> None:  # noqa: ARG001
    (lab / "text.png").write_text("not a picture")
    for call in (("verdict", "absent.toml"), ("compare", "tiny.toml")):
        out = io.StringIO()
        with contextlib.chdir(lab), contextlib.redirect_stdout(out), pytest.raises(DrilldownError):
            app([*call, "--json"], standalone_mode=False)
        assert out.getvalue() == ""


def test_formats_exclude_each_other(lab: Path) -> None:
    with pytest.raises(DrilldownError, match="--json and --csv are both given"):
        command("runs", "--json", "--csv", cwd=lab)
    with pytest.raises(DrilldownError, match="--dry-run and --json are both given"):
        command("run", "tiny.toml", "--dry-run", "--json", cwd=lab)


def exit_code(*call: str, cwd: Path) -> tuple[int, str]:
    """Runs a command in this process; returns its exit code and its standard output."""
    out = io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        return app(list(call), standalone_mode=False) or 0, out.getvalue()


@pytest.mark.parametrize("seeds", [("--seed", "0"), ("--seeds", "2")])
def test_check_gives_the_exit_code_of_verdict(seeds: tuple[str, ...], lab: Path) -> None:
    missed = ("run", "tiny.toml", *seeds, "--set", "budget.accuracy=100")
    assert exit_code("run", "tiny.toml", *seeds, "--check", "--json", cwd=lab)[0] == 0
    code, document = exit_code(*missed, "--check", "--json", cwd=lab)
    assert code == 3
    assert json.loads(document)["verdict"]["passed"] is False
    assert exit_code(*missed, "--json", cwd=lab) == (0, document)


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_runs_have_a_row_each(lab: Path, documents: dict[tuple[str, ...], Any]) -> None:
    text = drilldown("runs", "--csv", cwd=lab).stdout
    rows = read_csv(text)
    assert tuple(rows[0]) == RUN_COLUMNS
    assert len(rows) == len(documents["runs",])
    assert all(row["status"] == "finished" for row in rows)
    first = next(row for row in rows if row["path"] == documents["verdict", "last"]["path"])
    assert int(first["parameters"]) == documents["verdict", "last"]["parameters"]
    assert float(first["mean_last"]) == documents["verdict", "last"]["accuracy"]["mean_last"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["written"])


def test_the_list_of_runs_needs_no_pytorch(lab: Path) -> None:
    (lab / "blocked").mkdir(exist_ok=True)
    (lab / "blocked" / "torch.py").write_text("raise ImportError('PyTorch was imported')")
    for option in ("--csv", "--json"):
        shown = drilldown("runs", option, cwd=lab, PYTHONPATH=str(lab / "blocked"))
        assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize("columns", [RUN_COLUMNS, STUDY_COLUMNS])
def test_each_column_is_documented(columns: tuple[str, ...]) -> None:
    documented = set(re.findall(r"`(\w+)`", PAGE.read_text("utf-8")))
    assert set(columns) <= documented


def test_each_key_is_documented(documents: dict[tuple[str, ...], Any]) -> None:
    documented = set(re.findall(r"`(\w+)`", PAGE.read_text("utf-8")))
    shown = [document for call, document in documents.items() if call[0] not in ("summary", "runs")]
    keys = {key for document in shown for path, _ in leaves(document) for key in path.split(".")}
    assert keys - documented == set()
