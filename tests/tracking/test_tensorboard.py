"""TensorBoard's own code reads what was mirrored: once each epoch, whatever happened before."""

from __future__ import annotations

import shutil
from pathlib import Path

from drilldown.runs.run import Run
from drilldown.tracking.process import Mirrored
from support.trackers import board_of, points, text_of


def accuracies(run_dir: Path) -> list[tuple[int, float]]:
    return [(epoch.epoch, float(epoch.test.accuracy)) for epoch in Run(run_dir).epochs]


def test_epochs_appear_one_by_one_and_the_verdict_at_the_end(run_dir: Path) -> None:
    mirrored, board = Mirrored("tensorboard"), board_of(run_dir)
    assert mirrored.answer(run_dir, 0) == {"place": None, "failure": None}
    first = mirrored.answer(run_dir, 1)
    assert first["failure"] is None
    assert first["place"]
    assert f"tensorboard --logdir {run_dir.parents[2] / 'tensorboard'}" in first["place"]
    assert len(points(board)) == 1
    assert mirrored.answer(run_dir, 3) == {"place": None, "failure": None}
    assert mirrored.answer(run_dir, None) == {"place": None, "failure": None}
    assert [step for step, _ in points(board)] == [1, 2, 3]
    assert points(board, "final/budget_met") == [(3, 1.0)]
    assert "| recipe.optimizer.lr | 0.1 |" in text_of(board, "settings")
    assert "<br>maxpool 4<br>" in text_of(board, "settings")
    assert "| budget | met |" in text_of(board, "verdict")


def test_a_resumed_run_continues_without_double_points(running_dir: Path) -> None:
    before = Mirrored("tensorboard")
    before.answer(running_dir, 2)
    before.close()
    killed = Mirrored("tensorboard")
    killed.answer(running_dir, 3)
    after = Mirrored("tensorboard")
    after.answer(running_dir, 3)
    assert [step for step, _ in points(board_of(running_dir))] == [1, 2, 3]
    for mirrored in (killed, after):
        mirrored.close()


def test_a_finished_run_is_mirrored_later_and_only_once(run_dir: Path) -> None:
    for _ in range(2):
        assert Mirrored("tensorboard").answer(run_dir, None)["failure"] is None
    assert [step for step, _ in points(board_of(run_dir))] == [1, 2, 3]
    assert len(list(board_of(run_dir).iterdir())) == 1


def test_a_repeated_training_replaces_the_one_before(run_dir: Path, trained: Path) -> None:
    mirrored = Mirrored("tensorboard")
    mirrored.answer(run_dir, 2)
    other = next(trained.glob("*/*/seed-1"))
    shutil.copy(other / "epochs.jsonl", run_dir)
    mirrored.answer(run_dir, 1)
    mirrored.close()
    expected = [float(epoch.test.accuracy) for epoch in Run(other).epochs][:1]
    assert [round(value, 3) for _, value in points(board_of(run_dir))] == [round(value, 3) for value in expected]


def test_a_diverged_run_says_so(diverged: Path, tmp_path: Path) -> None:
    copy = tmp_path / "runs" / diverged.relative_to(diverged.parents[2])
    shutil.copytree(diverged, copy)
    assert Mirrored("tensorboard").answer(copy, None)["failure"] is None
    assert text_of(board_of(copy), "verdict").startswith("diverged: ")


def test_a_place_that_cannot_be_written_is_a_failure_which_the_next_request_repairs(run_dir: Path) -> None:
    mirrored, board = Mirrored("tensorboard"), run_dir.parents[2] / "tensorboard"
    board.write_text("a file where a folder should be")
    failure = mirrored.answer(run_dir, 1)["failure"]
    assert failure
    assert "FileExistsError" in failure or "NotADirectoryError" in failure
    board.unlink()
    assert mirrored.answer(run_dir, None)["failure"] is None
    assert [step for step, _ in points(board_of(run_dir))] == [1, 2, 3]


def test_a_damaged_run_is_named_and_the_others_are_mirrored(run_dir: Path) -> None:
    mirrored, whole = Mirrored("tensorboard"), run_dir.with_name("seed-1")
    (run_dir / "epochs.jsonl").write_text("")
    failure = mirrored.answer(run_dir, None)["failure"]
    assert failure
    assert failure.startswith(f"{run_dir}: not mirrored: ")
    assert mirrored.answer(run_dir, 1) == {"place": None, "failure": None}  # it may be written at this moment
    assert mirrored.answer(whole, None)["failure"] is None
    assert len(points(board_of(whole))) == 3


def test_the_folder_of_a_run_with_another_place_is_beside_it(run_dir: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "seed-0"
    shutil.copytree(run_dir, moved)
    assert Mirrored("tensorboard").answer(moved, None)["failure"] is None
    assert len(points(tmp_path / "elsewhere" / "tensorboard" / "seed-0")) == 3
