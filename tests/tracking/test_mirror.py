"""A tracker in a process of its own: whatever its package does, nothing raises, and nobody waits for long."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import psutil
import pytest

from drilldown.tracking import mirror as module
from drilldown.tracking.mirror import Mirror, Request
from support.trackers import board_of, points, wait_for_notice, write_package

NOTICES = {
    "raises at import": "MLflow: cannot be used: RuntimeError: out of quota; the training continues without it",
    "exits at import": "MLflow: cannot be used: SystemExit: 3; the training continues without it",
    "raises": "MLflow: cannot be used: ConnectionError: the server is offline; the training continues without it",
    "ends its process": "MLflow: its process ended (exit code 9); the training continues without it",
    "is missing a part": "MLflow: the package a_package_that_nobody_has is not installed; install it with: "
    "pip install 'drilldown[mlflow]'; the training continues without it",
}


def processes_of_trackers() -> list[psutil.Process]:
    """Other tests of this process have children, too."""
    return [child for child in psutil.Process().children() if "drilldown.tracking.process" in child.cmdline()]


@pytest.mark.parametrize("fault", NOTICES)
def test_a_package_that_fails_gives_one_notice(
    fault: str, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", write_package(tmp_path, fault))
    mirror = Mirror("mlflow")
    mirror.look(Request(run_dir, 1))
    assert wait_for_notice(mirror) == NOTICES[fault]
    for epochs in (2, 3, None):
        mirror.look(Request(run_dir, epochs))
    mirror.close()
    assert mirror.take_notices() == []


def test_a_package_that_hangs_is_given_up_and_its_process_ends(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 2.0)
    monkeypatch.setenv("PYTHONPATH", write_package(tmp_path, "hangs"))
    mirror = Mirror("mlflow")
    begun = time.monotonic()
    for epochs in range(1, 10_000):  # the queue keeps one request per run
        mirror.look(Request(run_dir, epochs))
    assert time.monotonic() - begun < 1
    while not (children := processes_of_trackers()):
        time.sleep(0.01)
    mirror.close()
    assert time.monotonic() - begun < 15
    assert mirror.take_notices() == ["MLflow: does not answer and was given up; to mirror later, repeat the command"]
    psutil.wait_procs(children, timeout=10)
    assert not any(child.is_running() for child in children)
    mirror.close()
    assert mirror.take_notices() == []


def test_in_a_hurry_it_waits_for_a_moment_only(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", write_package(tmp_path, "hangs"))
    mirror = Mirror("mlflow")
    mirror.look(Request(run_dir, 1))
    begun = time.monotonic()
    mirror.close(hurry=True)
    assert time.monotonic() - begun < 4
    assert mirror.take_notices() == []
    mirror._kill()  # it would end on its own, after half a minute


def test_everything_that_was_asked_for_is_mirrored_before_the_end(run_dir: Path) -> None:
    mirror = Mirror("tensorboard")
    for epochs in (1, 2, 3, None):
        mirror.look(Request(run_dir, epochs))
    mirror.look(Request(run_dir.with_name("seed-1"), None))
    mirror.close()
    (notice,) = mirror.take_notices()
    assert notice.startswith("TensorBoard: mirrored to ")
    for run in (run_dir, run_dir.with_name("seed-1")):
        assert [step for step, _ in points(board_of(run))] == [1, 2, 3]
        assert len(points(board_of(run), "final/seconds")) == 1


def test_a_full_disk_gives_one_notice_and_leaves_no_part_of_a_file(run_dir: Path) -> None:
    """Python ignores the signal of a file that grows too large, so writing fails as on a full disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    mirror = Mirror("tensorboard")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        mirror.look(Request(run_dir, 1))
        notice = wait_for_notice(mirror)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert "File too large" in notice
    mirror.look(Request(run_dir, None))
    mirror.close()
    assert mirror.take_notices() == []
    assert list(board_of(run_dir).iterdir()) == []


def test_a_mirror_that_was_never_used_starts_no_process() -> None:
    before = processes_of_trackers()
    mirror = Mirror("tensorboard")
    mirror.close()
    assert processes_of_trackers() == before
