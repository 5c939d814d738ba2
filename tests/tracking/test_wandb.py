"""Weights & Biases offline, and a server that hangs. The package is an extra."""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from drilldown.tracking import mirror as module
from drilldown.tracking.mirror import Mirror, Request
from support.trackers import wait_for_notice

pytest.importorskip("wandb", reason="the extra wandb is not installed")
BLOCK = 32_768


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where offline runs are written."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    return tmp_path / "wandb"


def mirror_run(run_dir: Path, *requests: int | None) -> list[str]:
    """Mirrors a run in a process of its own, as a command does; returns the notices."""
    mirror, notices = Mirror("wandb"), []
    for epochs in requests:
        mirror.look(Request(run_dir, epochs))
        while mirror._waiting:
            time.sleep(0.05)
    mirror.close()
    notices += mirror.take_notices()
    return notices


def records(offline: Path) -> list[Any]:
    """Returns everything in the only offline run. Its file is a log as LevelDB has it, after a head of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    (file,) = offline.glob("offline-run-*/run-*.wandb")
    content, place, found, part = file.read_bytes(), 7, [], b""
    while place + 7 <= len(content):
        if BLOCK - place % BLOCK < 7:  # the rest of a block is too small for a head
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        part += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            found.append(wandb_internal_pb2.Record.FromString(part))
            part = b""
    return found


def steps(offline: Path) -> list[int]:
    return [record.history.step.num for record in records(offline) if record.HasField("history")]


def test_a_run_has_settings_epochs_figures_and_the_verdict(run_dir: Path, offline: Path) -> None:
    (notice,) = mirror_run(run_dir, 1, 3, None)
    assert notice == (f"Weights & Biases: mirrored offline; upload with: wandb sync {offline}/offline-run-*")
    assert steps(offline) == [1, 2, 3]
    whole = str(records(offline))
    assert "recipe.optimizer.lr" in whole
    assert "verdict/budget" in whole


def test_a_resumed_run_is_one_run_without_double_points(running_dir: Path, offline: Path) -> None:
    mirror_run(running_dir, 2)
    assert steps(offline) == [1, 2]
    mirror_run(running_dir, 3)
    assert steps(offline) == [1, 2, 3]


def test_a_finished_run_is_mirrored_only_once(run_dir: Path, offline: Path) -> None:
    assert len(mirror_run(run_dir, None)) == 1
    (before,) = offline.glob("offline-run-*")
    assert mirror_run(run_dir, None) == []
    assert list(offline.glob("offline-run-*")) == [before]


def test_two_runs_are_open_at_once(run_dir: Path, offline: Path) -> None:
    mirror, other = Mirror("wandb"), run_dir.with_name("seed-1")
    for epochs in (1, 2, None):
        for each in (run_dir, other):
            mirror.look(Request(each, epochs))
            while mirror._waiting:
                time.sleep(0.05)
    mirror.close()
    assert len(list(offline.glob("offline-run-*/complete"))) == 2


def test_without_a_key_there_is_one_notice(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    mirror = Mirror("wandb")
    mirror.look(Request(run_dir, 1))
    assert wait_for_notice(mirror).startswith("Weights & Biases: fails: ")
    mirror.look(Request(run_dir, None))
    mirror.close()
    assert mirror.take_notices() == []


def test_a_server_that_hangs_is_given_up(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 3.0)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with socket.create_server(("127.0.0.1", 0)) as server:  # it accepts connections and never answers
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        mirror = Mirror("wandb")
        mirror.look(Request(run_dir, None))
        connection, _ = server.accept()
        with connection:
            begun = time.monotonic()
            mirror.close()
            assert time.monotonic() - begun < 12
    (notice,) = mirror.take_notices()
    assert "does not answer and was given up" in notice
