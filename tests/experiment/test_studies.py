"""Short names of experiments, and the files that they find."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from drilldown import load
from drilldown.errors import DrilldownError
from drilldown.experiment.loading import load_experiment
from drilldown.experiment.studies import find_experiment_file
from drilldown.resources import resource_folder
from support.experiments import PLAIN

FOLDER = resource_folder("studies")


@pytest.fixture
def shelf(write, tmp_path, monkeypatch) -> Path:
    """A working directory with studies, in addition to the studies of drilldown."""
    for name in [
        "q5/01-one",
        "q5/02-two",
        "q5/10-ten",
        "q51/01-one",
        "quartz/01-one",
        "quartz/01-one-more",
        "quartz/02-end",
    ]:
        write(f"studies/{name}.toml", PLAIN.replace('"A"', f'"{name}"'))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "title"),
    [
        ("q5", "q5/10-ten"),  # exact, although q51 has the same start; and the last step
        ("q51", "q51/01-one"),
        ("qu", "quartz/02-end"),
        ("q5/02-two", "q5/02-two"),
        ("q5/02", "q5/02-two"),
        ("q5/1", "q5/10-ten"),
        ("quartz/01-one", "quartz/01-one"),  # exact, although another name has the same start
        ("qua/01-one-", "quartz/01-one-more"),
        ("studies/q5/01-one.toml", "q5/01-one"),
        ("studies/q5", "q5/10-ten"),
    ],
)
@pytest.mark.usefixtures("shelf")
def test_a_name_finds_its_experiment(reference, title):
    assert load_experiment(reference).title == title
    assert load_experiment(reference).name == title


@pytest.mark.parametrize(
    ("reference", "meant"),
    [("q", ["q5", "q51", "quartz"]), ("q5/0", ["q5/01-one", "q5/02-two"]), ("q/01", ["q5/01-one", "q51/01-one"])],
)
@pytest.mark.usefixtures("shelf")
def test_an_ambiguous_name_is_refused_with_all_matches(reference, meant):
    with pytest.raises(DrilldownError, match="is ambiguous") as caught:
        load_experiment(reference)
    for name in meant:
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "meant"),
    [("quarz", "quartz"), ("q5/02-tow", "q5/02-two"), ("studies/q5/02-tow.toml", "02-two.toml")],
)
@pytest.mark.usefixtures("shelf")
def test_an_unknown_name_is_refused_with_the_most_similar_name(reference, meant):
    with pytest.raises(DrilldownError, match=re.escape(f'did you mean "{meant}"?')):
        load_experiment(reference)


@pytest.mark.parametrize(
    "reference", ["", "/", "nothing-like-it", "x" * 5_000, "q5/" + "x" * 300, "\x00", "q5/\x00", "\ud800"]
)
@pytest.mark.usefixtures("shelf")
def test_an_impossible_name_is_refused(reference):
    with pytest.raises(DrilldownError):
        load_experiment(reference)


def test_the_studies_of_drilldown_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_experiment("s5").name.startswith("s5/")
    assert load_experiment("session6").name.startswith("session6/")
    assert load_experiment("under").name.startswith("under-8k/")


def test_a_study_in_the_working_directory_comes_before_one_of_drilldown(write, tmp_path, monkeypatch):
    write("studies/s5/01-mine.toml", PLAIN.replace('"A"', '"mine"'))
    monkeypatch.chdir(tmp_path)
    assert load_experiment("s5").title == "mine"


def test_a_folder_without_experiments_is_refused(tmp_path):
    with pytest.raises(DrilldownError, match="no experiments here"):
        load_experiment(tmp_path)


@pytest.mark.parametrize(
    ("reference", "step"),
    [
        ("eva5-s5/06-dropout", "eva5-s5/06-dropout"),
        ("eva5-s5/06", "eva5-s5/06-dropout"),
        ("eva5/06-d", "eva5-s5/06-dropout"),
        ("s5/02", "s5/02-dropout"),  # and not a step of session6
        ("s5", "s5/05-flagship-recipe"),
        ("under", "under-8k/01-flagship"),
        ("era", "era-s7/06-flagship-recipe"),
    ],
)
def test_a_short_name_finds_one_step(reference: str, step: str) -> None:
    assert find_experiment_file(reference).resolve() == FOLDER / f"{step}.toml"


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("eva", ['"eva" is ambiguous', "eva-drilldown, eva5-s5"]),
        ("eva5-s5/0", ["is ambiguous", "eva5-s5/01-setup", "eva5-s5/06-dropout"]),
        ("eva5-s5/7", ['no experiment "eva5-s5/7"', "study/step"]),
        ("undr-8k", ['no experiment "undr-8k"', 'did you mean "under-8k"?']),
        ("nowhere/05-rotation.toml", ["05-rotation.toml: no such file"]),
    ],
)
def test_the_message_about_a_wrong_short_name_lists_the_possible_names(reference: str, parts: Iterable[str]) -> None:
    with pytest.raises(DrilldownError) as caught:
        find_experiment_file(reference)
    for part in parts:
        assert part in str(caught.value)


def test_a_users_study_replaces_only_the_study_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "studies" / "under-8k" / "01-mine.toml"
    own.parent.mkdir(parents=True)
    own.write_text('title = "Mine"\n[network]\nlayers = ["flatten, linear 10"]\n')
    monkeypatch.chdir(tmp_path)
    assert load("under-8k").title == "Mine"
    assert load("s5/01").title == "Setup with batch norm"
