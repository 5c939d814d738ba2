"""The file of a teacher: written and read back, written by hand, and wrong in every way."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from drilldown.data.own.teacher_files import read_targets, targets_bytes
from drilldown.data.targets import Targets
from drilldown.data.teacher import Teacher, TeacherRun
from drilldown.errors import DrilldownError
from support.teachers import random_shares, write_teacher

SHARES = random_shares(6, 3)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(2, 12), st.booleans(), st.floats(0.1, 9))
def test_what_is_written_is_read_back(tmp_path_factory, images, classes, described, temperature):
    run = TeacherRun(experiment="big/01", fingerprint="0a1b2c3d", seed=3, parameters=9, epochs=2, seconds=1.25)
    teacher = Teacher(dataset="mnist", temperature=temperature, runs=(run,) * described, held_out=1, words="é")
    targets = Targets(torch.from_numpy(random_shares(images, classes)), torch.arange(images) % 2 == 0, teacher)
    file = tmp_path_factory.mktemp("written") / "teacher.npz"
    file.write_bytes(targets_bytes(targets))
    found = read_targets(file)
    torch.testing.assert_close(found.probabilities, targets.probabilities, rtol=1e-6, atol=0)
    assert found.seen.equal(targets.seen)
    assert found.teacher == teacher


def test_a_file_may_have_the_probabilities_alone(tmp_path):
    found = read_targets(Path(write_teacher(tmp_path / "a.npz", p_train=SHARES.astype(np.float64), x_train=SHARES)))
    assert found.probabilities.dtype == torch.float32
    torch.testing.assert_close(found.probabilities, torch.from_numpy(SHARES))
    assert found.seen.all()
    assert str(found.teacher) == "learned from a teacher: its file does not describe it"


def test_a_description_in_words_is_shown_as_it_is(tmp_path):
    found = read_targets(Path(write_teacher(tmp_path / "a.npz", p_train=SHARES, teacher="ResNet-18, 3 hours")))
    assert str(found.teacher) == "learned from a teacher: ResNet-18, 3 hours"


def test_rows_that_nearly_sum_to_1_are_divided_by_their_sums(tmp_path):
    found = read_targets(Path(write_teacher(tmp_path / "a.npz", p_train=SHARES * 1.0009)))
    torch.testing.assert_close(found.probabilities.double().sum(1), torch.ones(6).double())


def test_a_changed_file_is_read_again(tmp_path):
    file = Path(write_teacher(tmp_path / "a.npz", p_train=SHARES))
    assert read_targets(file) is read_targets(file)
    write_teacher(file, p_train=SHARES[:5])
    os.utime(file, (1, 1))
    assert len(read_targets(file)) == 5


def changed(row: int, values: list[float]) -> np.ndarray:
    shares = SHARES.astype(np.float64)
    shares[row] = values
    return shares


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"p_train": changed(4, [0.5, 0.6, 0])}, "p_train, row 4: numbers that do not sum to 1 (1.1); expected"),
        ({"p_train": changed(2, [1.5, -0.5, 0])}, "p_train, row 2: a negative number; expected"),
        ({"p_train": changed(1, [np.nan, 0.5, 0.5])}, "p_train, row 1: a number that is not finite; expected"),
        ({"p_train": changed(5, [np.inf, -np.inf, 0])}, "p_train, row 5: a number that is not finite; expected"),
        ({"p_train": changed(0, [1e308, 1e308, 0])}, "p_train, row 0: numbers that do not sum to 1 (inf); expected"),
        (
            {"p_train": SHARES[0]},
            "p_train: an array of shape (3,) and type float32; expected numbers (images,",
        ),
        ({"p_train": np.full((6, 3), "a")}, "p_train: an array of shape (6, 3) and type <U1; expected numbers"),
        ({"p_train": np.array([[None]])}, "p_train: Python objects (pickle)"),
        ({"x_train": SHARES, "y": SHARES}, "contains x_train, y; expected the array p_train"),
        (
            {"p_train": SHARES, "seen_train": SHARES},
            "seen_train: an array of shape (6, 3) and type float32",
        ),
        ({"p_train": SHARES, "teacher": "{"}, "teacher: JSON with an error"),
        ({"p_train": SHARES, "teacher": '{"runs": [{"seed": 1}]}'}, "JSON with an error (runs.0.experiment); expected"),
    ],
)
def test_a_wrong_content_gives_one_message_with_its_place(tmp_path, content, message):
    file = tmp_path / "a.npz"
    np.savez(file, **content)
    assert_refused(file, message)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file; expected"), (b"no zip", "damaged ("), (b"", "damaged")]
)
def test_a_missing_or_damaged_file_gives_one_message(tmp_path, content, message):
    file = tmp_path / "a.npz"
    if content is not None:
        file.write_bytes(content)
    assert_refused(file, message)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_numbers_are_probabilities_or_are_refused(tmp_path_factory, data):
    shapes = st.tuples(st.integers(1, 3), st.integers(1, 3))
    numbers = data.draw(arrays.arrays(np.float64, shapes, elements=st.floats() | st.sampled_from([0.0, 0.5, 1.0])))
    file = tmp_path_factory.mktemp("any") / "a.npz"
    np.savez(file, p_train=numbers)
    if all(min(row) >= 0 and abs(sum(row) - 1) <= 1e-3 for row in numbers.tolist()):
        found = read_targets(file).probabilities.double()
        assert ((found >= 0) & (found <= 1)).all()
        torch.testing.assert_close(found.sum(1), torch.ones(len(found)).double(), rtol=1e-6, atol=0)
    else:
        assert_refused(file, "p_train, row")


def assert_refused(file: Path, message: str) -> None:
    with pytest.raises(DrilldownError) as caught:
        read_targets(file)
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{file}: ")
    assert message in str(problem)
