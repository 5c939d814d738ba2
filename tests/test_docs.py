"""The documentation's examples: experiments load, commands parse, and what a page says of them is so."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import drilldown
from support import cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCE = re.compile(
    r'^(?P<indent> *)```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<code>.*?)^(?P=indent)```$', re.M | re.S
)
CLUMSY = ("so many", "anew", "whoever", "go on with", "is to be", "it came to", "likewise")


def load_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return load_file(DOCS / "gen_reference.py")


def resolved(page: Path) -> str:
    """A page with the files that it includes."""
    text = page.read_text("utf-8")
    return re.sub(r'^--8<-- "(.+)"$', lambda match: (DOCS / match[1]).read_text("utf-8").rstrip(), text, flags=re.M)


def blocks(page: Path, language: str) -> list[tuple[str | None, str]]:
    """Title and code of each block of a language."""
    found = FENCE.finditer(resolved(page))
    return [(match["title"], textwrap.dedent(match["code"])) for match in found if match["language"] == language]


def with_blocks(language: str) -> list[Any]:
    return [pytest.param(page, id=str(page.relative_to(DOCS))) for page in PAGES if blocks(page, language)]


@pytest.mark.parametrize("page", with_blocks("toml"))
def test_every_experiment_loads_and_every_part_of_one_is_known(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.write_idx(tmp_path / "letters", train=30, test=10)
    for title, code in blocks(page, "python"):
        if title:
            (tmp_path / title).write_text(code, "utf-8")
    for number, (title, code) in enumerate(blocks(page, "toml")):
        file = tmp_path / (title or f"block-{number}.toml")
        if "title" not in tomllib.loads(code):
            code = f'title = "Part"\nextends = "under-8k/01-flagship"\n{code}'
        file.write_text(code, "utf-8")
        assert drilldown.load(file).model_summary.parameters > 0


def test_the_page_of_the_climb_says_what_its_files_and_their_output_say() -> None:
    text = (DOCS / "first-climb.md").read_text("utf-8")
    number = r"([\d.,]+) \| "
    rows = re.findall(rf"^\| \d \| `(.+?)\.toml` \| {4 * number}(.+?) \|$", text, re.M)
    files = sorted((DOCS / "climb").glob("*.toml"))
    assert [row[0] for row in rows] == [file.stem for file in files]
    for (step, count, final, worst, clean, budget), file in zip(rows, files, strict=True):
        assert drilldown.load(file).model_summary.parameters == int(count.replace(",", ""))
        output = (DOCS / "climb" / f"{step}.txt").read_text("utf-8")
        found = re.search(r"last 5 epochs ([\d. ]+) %", output)
        assert found
        held = found[1].split()
        assert (final, worst) == (held[-1], min(held))
        assert re.search(rf"{re.escape(clean)} % · trained in \d+ s$", output, re.M)
        assert f"Budget {budget.strip('*')}," in output


def test_pictures_are_small() -> None:
    assert all(0 < picture.stat().st_size < 200_000 for picture in DOCS.glob("*.png"))


def test_the_climb_ends_at_the_flagship() -> None:
    last = drilldown.load(DOCS / "climb" / "05-schedule.toml")
    assert last.fingerprint == drilldown.load("under-8k").fingerprint


def commands(page: Path) -> list[list[str]]:
    """The arguments of each `$ drilldown …` in a page's blocks."""
    lines = [line for _, code in blocks(page, "console") for line in code.splitlines()]
    return [
        shlex.split(line.removeprefix("$ drilldown"), comments=True) for line in lines if line.startswith("$ drilldown")
    ]


@pytest.mark.parametrize("page", with_blocks("console"))
def test_every_command_is_one(page: Path, reference: ModuleType) -> None:
    group = reference.command_line()
    for arguments in commands(page):
        name, *rest = arguments[: arguments.index(">")] if ">" in arguments else arguments
        group.commands[name].make_context(name, rest)  # parses, and runs nothing


def test_a_command_that_is_none_would_be_noticed(reference: ModuleType) -> None:
    with pytest.raises(Exception, match="No such option"):
        reference.command_line().commands["run"].make_context("run", ["--sed", "1"])


def test_every_option_key_layer_and_name_is_in_the_reference(reference: ModuleType) -> None:
    for name, command in reference.command_line().commands.items():
        assert f"## drilldown {name}" in reference.commands()
        for parameter in command.params:
            assert (parameter.metavar or parameter.opts[0]).replace("|", "\\|") in reference.commands()
    keys = reference.experiment_keys()
    for key in ("batch_size", "weight_decay", "interpolation", "holdout", "figure", "recipe.augment.affine"):
        assert key in keys
    assert '`{ name = "sgd", lr = 0.01, momentum = 0.9 }`' in keys
    assert "`conv KxK OUT" in reference.layers()
    for name in drilldown.__all__:
        assert f"::: drilldown.{name}\n" in reference.python() + "\n"


def test_every_placeholder_is_replaced(reference: ModuleType) -> None:
    for page in PAGES:
        assert "<!-- generated" not in reference.on_page_markdown(page.read_text("utf-8"))


def test_the_run_folder_is_what_the_reference_says(tmp_path: Path, reference: ModuleType) -> None:
    (tmp_path / "parent.toml").write_text(cli.TINY.format(epochs=1, accuracy=0), "utf-8")
    (tmp_path / "model.py").write_text(
        "from torch import nn\n\ndef Net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n", "utf-8"
    )
    cli.write_idx(tmp_path / "letters")
    file = tmp_path / "child.toml"
    file.write_text('title = "Child"\nextends = "parent.toml"\n[network]\npython = "model.py:Net"\n', "utf-8")
    run = drilldown.perform(drilldown.load(file), folders=drilldown.Folders(runs=tmp_path / "runs"))
    drilldown.write_report(run)
    there = {path.name for path in run.path.iterdir()} | {".lock"}  # some systems remove the lock's file
    assert there == {*reference.RUN_FOLDER, "figures"} - {"diverged.json"}


def test_the_code_for_a_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(code for _, code in blocks(DOCS / "how-to" / "notebook.md", "python"))
    exec(code.replace('"recipe.epochs=3"', '"recipe.epochs=1", "recipe.dataset=glyphs"'), {})


def test_tests_and_files_that_pages_name_are_there() -> None:
    for page in PAGES:
        text = page.read_text("utf-8")
        for file, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text):
            assert (ROOT / file).is_file(), (page, file)
            assert not name or f"def {name}(" in (ROOT / file).read_text("utf-8"), (page, name)
        for file in re.findall(r"`((?:src|benchmarks|notebooks|results|studies)/[\w/.-]+)`", text):
            assert (ROOT / file).exists(), (page, file)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_pages_are_in_the_menu_and_in_plain_english(page: Path) -> None:
    assert f" {page.relative_to(DOCS).as_posix()}\n" in (ROOT / "mkdocs.yml").read_text("utf-8")
    prose = FENCE.sub("", page.read_text("utf-8")).lower()
    assert not [words for words in CLUMSY if re.search(rf"\b{words}\b", prose)]


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Links, anchors, pictures and included files are there; skipped where MkDocs is not installed."""
    pytest.importorskip("mkdocs_autorefs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env=cli.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        outside = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="?(https?:[^" >]+)', page.read_text("utf-8"))
        assert not outside, page
