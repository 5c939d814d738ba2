"""The command `drilldown teach`, and what the other commands say about a run that learned from a teacher."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from drilldown import Compute, Folders, load, perform
from drilldown.data.own.teacher_files import read_targets
from support.cli import drilldown, plain_run, world
from support.study import command

TAUGHT = 'title = "Taught"\nextends = "tiny.toml"\n[recipe]\nteacher = "./teacher.npz"\n'


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher, a run that is the teacher, and a run that learned from it."""
    folder = tmp_path_factory.mktemp("lab")
    world(folder, epochs=1)
    (folder / "taught.toml").write_text(TAUGHT)
    perform(load(folder / "tiny.toml"), compute=Compute(engine="torch"), folders=Folders(runs=folder / "runs"))
    command("teach", str(plain_run(folder)), "teacher.npz", cwd=folder)
    perform(load(folder / "taught.toml"), compute=Compute(engine="torch"), folders=Folders(runs=folder / "runs"))
    return folder


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_command_writes_the_file_and_says_what_students_will_say(lab: Path) -> None:
    out, err = command("teach", str(plain_run(lab)), "other.npz", "--temperature", "4", cwd=lab)
    teacher = read_targets(lab / "other.npz").teacher
    assert out == f'wrote other.npz\nruns with teacher = "other.npz" will say: {teacher}\n'
    assert str(teacher).endswith(", temperature 4")
    assert err == "it was trained on all training images: the validation accuracy of a student flatters itself\n"


def test_a_student_names_its_teacher_when_it_starts_and_when_it_ends(lab: Path) -> None:
    done = drilldown("run", "taught.toml", "--seed", "5", "--set", "recipe.holdout=60", cwd=lab)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    text = f"{read_targets(lab / 'teacher.npz').teacher}; it was trained on 60 of the 60 validation images"
    assert flat(done.stdout).count(text) == 2


def test_verdict_runs_and_compare_name_the_teacher(lab: Path) -> None:
    text = str(read_targets(lab / "teacher.npz").teacher)
    taught = str(next((lab / "runs").glob("*/taught-*/seed-0")))
    assert text in flat(drilldown("verdict", taught, cwd=lab).stdout)
    assert text in flat(drilldown("verdict", "taught.toml", cwd=lab).stdout)
    assert json.loads(drilldown("verdict", taught, "--json", cwd=lab).stdout)["teacher"]["runs"][0]["parameters"] > 0
    rows = {row["experiment"]: row for row in csv.DictReader(io.StringIO(command("runs", "--csv", cwd=lab)[0]))}
    assert [row["teacher"] for name, row in rows.items() if name.endswith("/tiny")] == [""]
    assert text in [row["teacher"] for name, row in rows.items() if name.endswith("/taught")]
    listed = command("runs", cwd=lab)[0].splitlines()
    assert all(("with a teacher" in line) == ("/taught-" in line) for line in listed)
    compared = flat(command("compare", "tiny.toml", "taught.toml", cwd=lab)[0])
    assert f"B {text}" in compared
    assert f"A {text}" not in compared
    assert "recipe.teacher" in compared


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("teach", "runs", "new.npz"), "runs: no run here; expected a run's folder"),
        (("teach", "last", "teacher.npz"), "teacher.npz: exists already; expected the name of a new file"),
        (("teach", "last", "new.npz", "--temperature", "0"), "temperature: found 0; expected a number above 0"),
        (
            ("run", "tiny.toml", "--set", "recipe.teacher=no.npz"),
            "no.npz: no such file; expected the file of a teacher",
        ),
        (("run", "tiny.toml", "--set", "recipe.teacher=tiny.toml"), "tiny.toml: damaged"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(lab: Path, arguments: tuple[str, ...], message: str) -> None:
    done = drilldown(*arguments, cwd=lab)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line


def test_the_report_and_the_readme_of_a_study_name_the_teacher(lab: Path, tmp_path: Path) -> None:
    text = str(read_targets(lab / "teacher.npz").teacher)
    study = tmp_path / "climb"
    world(tmp_path, epochs=1)
    study.mkdir()
    (study / "01-plain.toml").write_text((tmp_path / "tiny.toml").read_text().replace("./letters", "../letters"))
    (study / "02-taught.toml").write_text(
        f'title = "Taught"\nextends = "01-plain.toml"\n[recipe]\nteacher = "{lab / "teacher.npz"}"\n'
    )
    for step in ("01-plain", "02-taught"):
        perform(load(study / f"{step}.toml"), compute=Compute(engine="torch"), folders=Folders(runs=tmp_path / "runs"))
    out, _ = command("study", "climb", "--seeds", "1", "--markdown", "README.md", "--runs", "runs", cwd=tmp_path)
    pages = [next((tmp_path / "runs").glob(f"**/report.{kind}")) for kind in ("md", "html")]
    readme = (tmp_path / "README.md").read_text()
    assert f"02-taught {text}" in flat(out)
    for page in (pages[0].read_text(), pages[1].read_text(), readme):
        assert text in page.replace("\\", "")
        assert ("with a teacher" in page) == (page is not readme)
