"""The words about a teacher: who it is, and what it cost."""

from __future__ import annotations

import pytest

from drilldown.data.teacher import Teacher, TeacherRun


def run(**changed: object) -> TeacherRun:
    document = {"experiment": "big/01", "seed": 0, "parameters": 96_810, "epochs": 15, "seconds": 100.4}
    return TeacherRun.model_validate(document | changed)


@pytest.mark.parametrize(
    ("teacher", "text"),
    [
        (Teacher(runs=(run(),)), "1 run of big/01, 96,810 parameters, 100 s of training"),
        (Teacher(runs=(run(), run(seed=1))), "2 runs of big/01, 96,810 parameters each, 201 s of training"),
        (
            Teacher(runs=(run(), run(experiment="wide/02", parameters=5), run(parameters=7)), temperature=4),
            "3 runs of big/01 and wide/02, 5 to 96,810 parameters each, 301 s of training, temperature 4",
        ),
        (
            Teacher(runs=(run(learned_from="learned from a teacher: a friend"),)),
            "1 run of big/01, 96,810 parameters, 100 s of training (which learned from a teacher: a friend)",
        ),
        (Teacher(words=" ResNet-18,\n 3 hours "), "ResNet-18, 3 hours"),
        (Teacher(words="\x1b[31mred"), r"\x1b[31mred"),
        (Teacher(), "its file does not describe it"),
    ],
)
def test_a_teacher_in_words(teacher: Teacher, text: str) -> None:
    assert str(teacher) == teacher.describe(None, 0) == f"learned from a teacher: {text}"
    assert Teacher.model_validate_json(teacher.model_dump_json()) == teacher


def test_the_words_say_whether_the_teacher_knows_the_validation_images() -> None:
    teacher = Teacher(words="a friend")
    assert teacher.describe(0, 5_000).endswith("a friend; it was trained on none of the validation images")
    assert "; it was trained on 1,200 of the 5,000 validation images" in teacher.describe(1_200, 5_000)
