"""`study --keep-going` and `study --csv`: a folder of files by many authors, some of which cannot be trained."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from drilldown.analysis.study_rows import STUDY_COLUMNS
from drilldown.errors import DrilldownError
from support.cli import drilldown
from support.study import command, write_study

LATE = """\
from torch import nn


class Late(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(784, 10)
        self.calls = 0

    def forward(self, images):
        self.calls += self.training
        if self.calls > 20:
            raise KeyError("late")
        return self.line(images.flatten(1))
"""
BAD = {
    "dora": 'title = "Dora"\nextends = "../task.toml"\n[recipe]\nepoch = 3\n',
    "eve": 'title = "Eve\n',
    "fay": 'title = "Fay"\nextends = "../absent.toml"\n',
    "gil": 'title = "Gil"\nextends = "../task.toml"\n[recipe]\ndataset = "./nowhere"\n',
    "hal": 'title = "Hal"\nextends = "../task.toml"\n[network]\nlayers = ["conv 99x99 3"]\n',
    "ida": 'title = "Ida"\nextends = "../task.toml"\n[network]\npython = "missing.py:Net"\n',
    "jo": 'title = "Jo"\nextends = "../task.toml"\n[network]\npython = "late.py:Late"\n[recipe]\nepochs = 9\n',
}
GOOD = {"anna": '"=cmd(), and more"', "bo": '"Bo"'}


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher's file, and the files of a class, which extend it."""
    folder = tmp_path_factory.mktemp("course")
    study = write_study(folder, steps=1)
    (folder / "task.toml").write_text((study / "01-plain.toml").read_text().replace("../letters", "./letters"))
    (study / "01-plain.toml").unlink()
    for name, title in GOOD.items():
        (study / f"{name}.toml").write_text(f'title = {title}\nextends = "../task.toml"\n[recipe]\nbatch_size = 16\n')
    for name, text in BAD.items():
        (study / f"{name}.toml").write_text(text)
    (study / "late.py").write_text(LATE)
    return folder


STUDY = ("study", "climb", "--seeds", "1", "--threads", "1")


def test_a_bad_file_is_reported_and_the_others_are_trained(course: Path) -> None:
    with pytest.raises(DrilldownError, match=r"dora\.toml:4"):
        command(*STUDY, cwd=course)
    done = drilldown(*STUDY, "--keep-going", "--csv", cwd=course)
    assert done.returncode == 2
    message = done.stderr[done.stderr.index("\ndrilldown: ") :]
    assert [name for name in BAD if name not in message] == [], message
    assert "KeyError: 'late'" in message
    assert "Traceback" not in done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    assert tuple(rows[0]) == STUDY_COLUMNS
    by_name = {row["step"]: row for row in rows}
    assert set(by_name) == {*BAD, *GOOD}
    assert all(bool(by_name[name]["problem"]) == (name in BAD) for name in by_name)
    assert by_name["anna"]["title"] == "'=cmd(), and more"
    assert float(by_name["bo"]["mean_last"]) > 0
    assert by_name["bo"]["parameters"] == "748"
    assert [row["step"] for row in rows][:2] in (["anna", "bo"], ["bo", "anna"])


def test_a_folder_without_a_good_file_is_refused(course: Path, tmp_path: Path) -> None:
    for name in ("dora", "eve"):
        (tmp_path / f"{name}.toml").write_text((course / "climb" / f"{name}.toml").read_text())
    (tmp_path.parent / "task.toml").write_text((course / "task.toml").read_text())
    with pytest.raises(DrilldownError) as caught:
        command("study", str(tmp_path), "--keep-going", cwd=course)
    assert len(caught.value.problems) == 2
