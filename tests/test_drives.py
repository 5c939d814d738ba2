"""Drives that cannot save a folder or have no locks: they are used, with one notice each, and real failures count."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from drilldown.drives import HOLDER
from support.cli import drilldown, environment, only_run, world
from support.faults import compile_faults

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is that of Linux")

WRITE = """\
import sys
from pathlib import Path
from drilldown.drives import new_notices
from drilldown.files import write_atomically
for content in (b"one", b"two", b"three"):
    write_atomically(Path("file"), content)
print(len(new_notices()), len(new_notices()), Path("file").read_text())
"""
LOCK = """\
import sys, time
from pathlib import Path
import filelock
from drilldown.drives import is_locked, new_notices
from drilldown.files import LOCK, lock_folder
try:
    with lock_folder(Path("folder"), 0.2):
        print("held", is_locked(Path("folder", LOCK)), len(new_notices()), flush=True)
        if "wait" in sys.argv:
            time.sleep(60)
    print("free", is_locked(Path("folder", LOCK)))
except filelock.Timeout:
    print("refused", is_locked(Path("folder", LOCK)))
"""
CANNOT_SAVE = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EPERM)
FAILURES = (errno.EIO, errno.ENOSPC, errno.EDQUOT)
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_faults(tmp_path_factory.mktemp("shim"))


def start_python(code: str, folder: Path, shim: Path, *arguments: str, **lacks: int) -> subprocess.Popen[str]:
    """Starts a program on a drive that lacks something; `lacks`: error numbers by the shim's variables."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *arguments], cwd=folder, text=True,
        env=environment(LD_PRELOAD=str(shim), **{name: str(code) for name, code in lacks.items()}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def output(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err == ""
    return out


@pytest.mark.parametrize("code", CANNOT_SAVE, ids=errno.errorcode.get)
def test_a_folder_that_cannot_be_saved_is_used_with_one_notice(code: int, shim: Path, tmp_path: Path) -> None:
    assert output(start_python(WRITE, tmp_path, shim, FAULTS_FSYNC_FOLDER=code)).split() == ["1", "0", "three"]


@pytest.mark.parametrize("code", FAILURES, ids=errno.errorcode.get)
def test_a_folder_that_fails_to_be_saved_is_an_error(code: int, shim: Path, tmp_path: Path) -> None:
    _, err = start_python(WRITE, tmp_path, shim, FAULTS_FSYNC_FOLDER=code).communicate(timeout=60)
    assert os.strerror(code) in err


@pytest.mark.parametrize("code", NO_LOCKS, ids=errno.errorcode.get)
def test_without_locks_a_file_keeps_other_processes_out(code: int, shim: Path, tmp_path: Path) -> None:
    first = start_python(LOCK, tmp_path, shim, "wait", FAULTS_FLOCK=code)
    assert first.stdout is not None
    assert first.stdout.readline() == "held True 1\n"
    assert output(start_python(LOCK, tmp_path, shim, FAULTS_FLOCK=code)) == "refused True\n"
    first.kill()
    first.communicate()
    assert output(start_python(LOCK, tmp_path, shim, FAULTS_FLOCK=code)) == "held True 1\nfree False\n"
    assert [entry.name for entry in (tmp_path / "folder").iterdir()] == [".lock"]


def test_a_lock_that_another_machine_holds_is_kept(shim: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".lock").touch()
    (tmp_path / "folder" / f".lock{HOLDER}").write_text("1\nanother-machine\n")
    assert output(start_python(LOCK, tmp_path, shim, FAULTS_FLOCK=errno.ENOLCK)) == "refused True\n"


def test_a_drive_without_locks_and_fsync_of_folders_is_used_with_one_notice_each(shim: Path, tmp_path: Path) -> None:
    world(tmp_path, epochs=2)
    drive: dict[str, Any] = {
        "LD_PRELOAD": str(shim), "FAULTS_FLOCK": str(errno.EOPNOTSUPP), "FAULTS_FSYNC_FOLDER": str(errno.EINVAL),
        "PYTHONWARNINGS": "error::UserWarning:filelock",
    }  # fmt: skip
    done = drilldown("run", "tiny.toml", "--json", cwd=tmp_path, **drive)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "finished"
    assert done.stderr.count("this drive has no locks") == 1
    assert done.stderr.count("cannot save a folder") == 1
    run = only_run(tmp_path)
    (run / "summary.json").unlink()
    (run / f".lock{HOLDER}").write_text("1\nanother-machine\n")
    begun = time.monotonic()
    refused = drilldown("resume", str(run), cwd=tmp_path, **drive)
    assert time.monotonic() - begun < 60
    assert refused.returncode == 2
    assert "another process is training this run (process 1 on another-machine)" in refused.stderr
    assert f"if that process has ended, delete {run}/.lock{HOLDER}" in refused.stderr
