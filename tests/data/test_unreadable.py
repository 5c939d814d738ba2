"""Folders and files that cannot be read are one message with the path."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drilldown.data.loading import dataset_info, load_dataset
from drilldown.errors import DrilldownError
from support.cli import drilldown, environment
from support.datasets import write_dataset

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and permissions are those of POSIX")

STEM = "t10k-images-idx3-ubyte"
LOOP = "cannot be read (Too many levels of symbolic links)"


@pytest.fixture(autouse=True)
def _no_other_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment of this machine nor the user's cache is searched, and no mirror is asked."""
    monkeypatch.delenv("DRILLDOWN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def loop(path: Path) -> Path:
    """Makes a link that leads to itself."""
    path.symlink_to(path)
    return path


def damaged(folder: Path, kind: str) -> tuple[Path, str]:
    """Makes a data folder of one kind; returns its path, and the message about it."""
    if kind == "a file":
        folder.write_bytes(b"")
        return folder, f"{folder}: not a folder; expected a folder that holds datasets"
    if kind == "a loop":
        return loop(folder), f"{folder}: {LOOP}"
    if kind == "a long name":
        path = folder.with_name("x" * 300)
        return path, f"{path}: cannot be read (File name too long)"
    folder.mkdir()
    inner = loop(folder / "mnist")
    return folder, f"{inner / 'train-images-idx3-ubyte'}: {LOOP}"


@pytest.mark.parametrize("kind", ["a file", "a loop", "a long name", "a loop within"])
@pytest.mark.parametrize("named", ["by the option", "by the environment"])
def test_a_data_folder_that_cannot_be_searched_is_refused_with_its_path(kind, named, tmp_path, monkeypatch):
    path, message = damaged(tmp_path / "data", kind)
    if named == "by the environment":
        monkeypatch.setenv("DRILLDOWN_DATA", str(path))
    with pytest.raises(DrilldownError) as caught:
        load_dataset("mnist", path if named == "by the option" else None)
    assert str(caught.value) == message


@pytest.mark.parametrize("function", [load_dataset, dataset_info])
def test_a_file_that_cannot_be_reached_is_refused_with_its_path(function, tmp_path):
    folder = write_dataset(tmp_path / "letters")
    (folder / STEM).unlink()
    loop(folder / STEM)
    with pytest.raises(DrilldownError) as caught:
        function(str(folder))
    assert str(caught.value) == f"{folder / STEM}: {LOOP}"


def test_a_file_in_place_of_a_dataset_folder_is_no_folder(tmp_path):
    (tmp_path / "letters").write_bytes(b"")
    with pytest.raises(DrilldownError, match=f"^{tmp_path / 'letters'}: not a folder; expected IDX files"):
        load_dataset(str(tmp_path / "letters"))


def test_the_command_ends_with_one_message_and_exit_code_2(tmp_path):
    folder = write_dataset(tmp_path / "letters")
    (folder / STEM).unlink()
    loop(folder / STEM)
    own = drilldown("data", "./letters", cwd=tmp_path)
    known = drilldown("data", "mnist", cwd=tmp_path, DRILLDOWN_DATA=str(loop(tmp_path / "data")))
    for done, path in ((own, folder.relative_to(tmp_path) / STEM), (known, tmp_path / "data")):
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"drilldown: {path}: {LOOP}\n"


# ---- permissions, which do not hold for root

AS_NOBODY = """
import os, sys
from drilldown.data.loading import load_dataset
from drilldown.errors import DrilldownError
load_dataset(sys.argv[1])  # imports all modules, which another user may not read
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for argument in sys.argv[2:]:
    name, _, folder = argument.partition("=")
    try:
        load_dataset(name, folder or None)
    except DrilldownError as error:
        print(error)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that all users can reach, unlike those that pytest makes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        for path in [*folder.glob("*"), *folder.glob("*/*")]:
            path.chmod(0o755)


def test_what_the_user_may_not_read_is_refused_with_its_path(open_folder):
    def lock(path: Path, mode: int) -> Path:
        path.chmod(mode)
        return path

    first = "train-images-idx3-ubyte"
    closed = lock(write_dataset(open_folder / "closed"), 0o000)
    listed = lock(write_dataset(open_folder / "listed"), 0o444)  # the names of its files, but not the files
    plain = lock(write_dataset(open_folder / "plain") / first, 0o000)
    labels = lock(write_dataset(open_folder / "labels") / "t10k-labels-idx1-ubyte", 0o000)
    packed = lock(write_dataset(open_folder / "kmnist", naming="{}.gz") / f"{first}.gz", 0o000)
    cases = {
        str(closed): closed,
        str(listed): listed / "t10k-images-idx3-ubyte",
        str(plain.parent): plain,
        str(labels.parent): labels,
        f"mnist={closed}": closed / "mnist" / first,
        f"mnist={plain.parent}": plain,
        f"kmnist={open_folder}": packed,
    }
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(write_dataset(open_folder / "good")), *cases],
        env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"{path}: cannot be read (Permission denied)" for path in cases.values()]
