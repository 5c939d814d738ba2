"""The Python files of a user's network, and the checksum of their code."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.experiment.loading import read_experiment
from drilldown.network import module_code
from drilldown.network.module_code import code_digest, module_files

CODE = b"""\
class Net:
    def forward(self, x):
        return f"{x!r:>{3}}" + 'a' * 2 if x else [1, 2.5, None, ...]
"""
SAME = {
    "comments": CODE.replace(b"class", b"# a comment\\nclass").replace(b"\\n", b"\n"),
    "blank lines": b"\n\n" + CODE.replace(b"\n", b"\n\n"),
    "docstrings": CODE.replace(b"Net:\n", b'Net:\n    """Words."""\n').replace(b"x):\n", b'x):\n        "Words."\n'),
    "indentation": CODE.replace(b"    ", b"\t"),
    "line ends": CODE.replace(b"\n", b"\r\n"),
    "quotation marks": CODE.replace(b"'a'", b'"a"'),
    "brackets": CODE.replace(b"2.5", b"(2.5)"),
    "byte order mark": b"\xef\xbb\xbf" + CODE,
    "number": CODE.replace(b"2.5", b"2.50"),
}
OTHER = {
    "name": CODE.replace(b"Net", b"Nat"),
    "number": CODE.replace(b"2.5", b"2.6"),
    "type of a number": CODE.replace(b"* 2", b"* 2.0"),
    "text": CODE.replace(b"'a'", b"'b'"),
    "operator": CODE.replace(b"* 2", b"+ 2"),
    "annotation": CODE.replace(b"x):", b"x: int):"),
    "default": CODE.replace(b"x):", b"x=1):"),
    "decorator": b"@f\n" + CODE,
    "constant": CODE.replace(b"None", b"True"),
    "statement": CODE + b"pass\n",
    "import": b"import a\n" + CODE,
    "not Python": b"(" + CODE,
}


@pytest.mark.parametrize("change", SAME)
def test_words_and_layout_leave_the_digest(change: str) -> None:
    assert SAME[change] != CODE
    assert code_digest({"model.py": SAME[change]}) == code_digest({"model.py": CODE})


@pytest.mark.parametrize("change", OTHER)
def test_each_change_of_the_code_changes_the_digest(change: str) -> None:
    assert OTHER[change] != CODE
    assert code_digest({"model.py": OTHER[change]}) != code_digest({"model.py": CODE})


def test_names_and_all_files_count() -> None:
    digests = {
        code_digest(files) for files in ({"a.py": CODE}, {"b.py": CODE}, {"a.py": CODE, "b.py": CODE}, {"a.py": b""})
    }
    assert len(digests) == 4


@given(st.binary(max_size=60) | st.text(alphabet="ab =()[]:\\n'#\\\\", max_size=40).map(str.encode))
def test_any_bytes_have_a_digest(content: bytes) -> None:
    assert len(code_digest({"a.py": content})) == 64


def test_too_deep_and_too_long_code_has_a_digest() -> None:
    for content in (b"(" * 5000, b"-" * 20_000 + b"1", b"0x" + b"f" * 10_000, b"\x00", b"a = '\xe9'"):
        assert len(code_digest({"a.py": content})) == 64


OTHER_VERSIONS = [name for name in ("python3.12", "python3.13", "python3.14") if shutil.which(name)]


@pytest.mark.parametrize("python", OTHER_VERSIONS or [pytest.param("", marks=pytest.mark.skip("no other Python"))])
def test_the_digest_is_the_same_for_all_versions_of_python(python: str) -> None:
    sources = [Path(file) for file in (module_code.__file__, ast.__file__, st.__file__)]
    script = f"""
import sys, types
package = types.ModuleType("drilldown"); sys.modules["drilldown"] = package
errors = types.ModuleType("drilldown.errors"); errors.Problem = errors.DrilldownError = None
sys.modules["drilldown.errors"] = errors
code = {{"__name__": "code"}}
exec(open({module_code.__file__!r}).read(), code)
for file in {[str(path) for path in sources]!r}:
    print(code["code_digest"]({{"a.py": open(file, "rb").read()}}))
"""
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode and "not found" in done.stderr:
        pytest.skip("this Python is not installed")
    assert done.stderr == ""
    assert done.stdout.split() == [code_digest({"a.py": path.read_bytes()}) for path in sources]


# ---- files


def names(folder: Path, files: dict[str, str]) -> list[str]:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return sorted(module_files("model.py:Net", folder))


def test_imported_files_belong_to_the_module_and_others_do_not(tmp_path: Path) -> None:
    files = {
        "model.py": "import torch, blocks\nfrom parts.conv import conv\ndef f():\n    from late import g\n",
        "blocks.py": "import random\nfrom more import *\n",
        "more.py": "import model, blocks",
        "late.py": "",
        "parts/conv.py": "from . import norm\nfrom ..top import t\n",
        "parts/norm.py": "",
        "top.py": "",
        "other.py": "import model",
        "random.py": "",
        "torch.py": "",
        "parts/other.py": "",
    }
    expected = ["blocks.py", "late.py", "model.py", "more.py", "parts/conv.py", "parts/norm.py", "top.py"]
    assert names(tmp_path, files) == expected


def test_packages_come_with_their_init_and_a_star_with_all_its_modules(tmp_path: Path) -> None:
    files = {
        "model.py": "from parts import *",
        "parts/__init__.py": "__all__ = ['a']",
        "parts/a.py": "",
        "parts.py": "",
    }
    assert names(tmp_path, files) == ["model.py", "parts/__init__.py", "parts/a.py"]


def test_a_folder_without_python_files_is_no_module(tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    assert names(tmp_path, {"model.py": "import wandb, wandb.sdk\nfrom wandb import log\nfrom .... import far"}) == [
        "model.py"
    ]


def test_nothing_is_executed_for_a_fingerprint(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    content = f"open({str(witness)!r}, 'w')\n"
    assert names(tmp_path, {"model.py": f"import blocks\n{content}", "blocks.py": content}) == ["blocks.py", "model.py"]
    code_digest(module_files("model.py:Net", tmp_path))
    assert not witness.exists()
    assert not {"blocks", "model"} & set(sys.modules)


def test_a_missing_module_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DrilldownError, match=r"model\.py: network\.python: no such file"):
        module_files("model.py:Net", tmp_path)


def test_the_fingerprint_follows_the_code_of_all_files(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('title = "A"\n[network]\npython = "model.py:Net"\n[recipe]\ndataset = "glyphs"\n')
    (tmp_path / "model.py").write_text("from blocks import Net\n")
    (tmp_path / "blocks.py").write_text("class Net: pass\n")
    first = read_experiment(file).fingerprint
    (tmp_path / "blocks.py").write_text("# words\nclass Net:\n    pass\n")
    assert read_experiment(file).fingerprint == first
    (tmp_path / "blocks.py").write_text("class Net: a = 1\n")
    second = read_experiment(file).fingerprint
    assert second != first
    assert read_experiment(file, ["network.arguments.a=1"]).fingerprint not in (first, second)
    assert read_experiment(file, ["network.arguments={}"]).fingerprint == second
