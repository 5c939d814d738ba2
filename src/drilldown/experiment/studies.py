"""Studies, which are ordered folders of experiments, and short names such as `eva5-s5/06` for their files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from drilldown.errors import DrilldownError, Problem, did_you_mean
from drilldown.resources import resource_folder

SHIPPED = resource_folder("studies")
"""The folder of the studies that are part of drilldown."""
LOOKED_AT = 1_000_000
"""The bytes of a TOML file that tell its kind: no experiment has more."""
_OTHER = re.compile(
    r"^[ \t]*\[+[ \t]*(search|space|project|build-system|tool)[ \t]*(\.|\]+[ \t]*(#.*)?$)", re.MULTILINE
)
"""A table of a search file, or of a Python project: such a file is no step."""
_OWN = re.compile(r"^(extends\b|\[(network|recipe)\])", re.MULTILINE)
"""A line by which an experiment is recognised where folders are not named by the user."""


@dataclass(frozen=True, slots=True)
class Study:
    """An ordered folder of experiments."""

    path: Path
    """The folder."""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def steps(self) -> tuple[Path, ...]:
        """The experiment files in the order of their names; searches and files of Python projects are left out."""
        files = sorted(self.path.glob("*.toml"), key=lambda file: file.stem)
        return tuple(file for file in files if not _OTHER.search(_text(file)))

    @property
    def is_shipped(self) -> bool:
        """Whether the study is part of drilldown."""
        return self.path.resolve().parent == SHIPPED.resolve()


def available_studies() -> list[Study]:
    """Returns the user's studies, then those that are part of drilldown.

    The user's are the folders of experiments in `./studies` and in the working directory, and the working directory
    itself. Of two studies with the same name, the first one counts.
    """
    studies: dict[str, Study] = {}
    guessed = (Path(), *_folders_in(Path()))
    for folder in (*_folders_in(Path("studies")), *guessed, *_folders_in(SHIPPED)):
        study = Study(folder)
        steps = study.steps
        if steps and (folder not in guessed or any(_OWN.search(_text(file)) for file in steps)):
            studies.setdefault(study.name, study)
    return list(studies.values())


def _text(file: Path) -> str:
    """The beginning of a file; empty where it is no file or cannot be read: reading it as an experiment says why."""
    try:
        if not file.is_file():  # a pipe would be read for ever
            return ""
        with file.open("rb") as opened:
            return opened.read(LOOKED_AT).decode("utf-8", "replace")
    except OSError:
        return ""


def _folders_in(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:  # it does not exist, or cannot be read
        return []


def find_experiment_file(reference: str) -> Path:
    """Finds an experiment file.

    *Arguments*: `reference`: a path, `study/step`, an unambiguous start of it, or a study's name for its last step.

    *Raises* DrilldownError where no file or more than one file fits.

    >>> find_experiment_file("eva5-s5/06").name
    '06-dropout.toml'
    """
    path = Path(reference)
    # os.path, because the methods of Path raise where a name is too long.
    if reference and os.path.isdir(path):
        run = path / "experiment.toml"  # the folder of a run, which also contains the parent's file
        return run if os.path.isfile(run) else _last(Study(path))
    if path.suffix == ".toml" or os.path.isfile(path):
        if not os.path.isfile(path):
            names = [file.name for file in path.parent.glob("*.toml")] if os.path.isdir(path.parent) else []
            raise DrilldownError(Problem(file=path, found="no such file", suggestion=did_you_mean(path.name, names)))
        return path
    if os.path.isfile(f"{reference}.toml"):
        return Path(f"{reference}.toml")
    studies = available_studies()
    study_start, slash, step_start = reference.partition("/")
    exact = [study for study in studies if study.name == study_start]
    chosen = exact or [study for study in studies if study.name.startswith(study_start)]
    if not slash and len(chosen) == 1:
        return _last(chosen[0])
    if slash:
        steps = [step for study in chosen for step in study.steps if step.stem.startswith(step_start)]
        steps = [step for step in steps if step.stem == step_start] or steps
        if len(steps) == 1:
            return steps[0]
        matches = [f"{step.parent.name}/{step.stem}" for step in steps]
    else:
        matches = [study.name for study in chosen]
    if matches:
        raise DrilldownError(f'"{reference}" is ambiguous: {", ".join(matches)}; type more of the name')
    names = [study.name for study in studies]
    steps_known = [f"{study.name}/{step.stem}" for study in studies for step in study.steps]
    raise DrilldownError(
        Problem(
            found=f'no experiment "{reference}"',
            expected=f"a file, a study ({', '.join(names)}) or study/step",
            suggestion=did_you_mean(reference, [*names, *steps_known]),
        )
    )


def find_study(reference: str) -> Study:
    """Finds a study.

    *Arguments*: `reference`: a folder, a name, or an unambiguous start of a name.

    *Raises* DrilldownError where no study, more than one study, or a single experiment fits.

    >>> find_study("eva5").name
    'eva5-s5'
    """
    if reference and os.path.isdir(reference):
        study = Study(Path(reference))
        _last(study)
        return study
    if reference.endswith(".toml"):
        raise DrilldownError(
            Problem(
                file=reference,
                found="a single experiment" if os.path.isfile(reference) else "no such folder",
                expected="a study: the folder of its steps",
                suggestion=f"try drilldown run {reference} --seeds 5" if os.path.isfile(reference) else None,
            )
        )
    name, slash, _ = reference.partition("/")
    studies = available_studies()
    chosen = [study for study in studies if study.name == name] or [
        study for study in studies if name and study.name.startswith(name)
    ]
    if len(chosen) == 1 and not slash:
        return chosen[0]
    names = [study.name for study in studies]
    if len(chosen) == 1:
        problem = Problem(
            found=f'"{reference}" is one step', expected="a study", suggestion=f'did you mean "{chosen[0].name}"?'
        )
    elif chosen:
        problem = Problem(
            found=f'"{reference}" is ambiguous: {", ".join(study.name for study in chosen)}',
            suggestion="type more of the name",
        )
    else:
        problem = Problem(
            found=f'no study "{reference}"',
            expected=f"a folder of experiments, or one of {', '.join(names)}",
            suggestion=did_you_mean(reference, names),
        )
    raise DrilldownError(problem)


def _last(study: Study) -> Path:
    if not study.steps:
        raise DrilldownError(Problem(file=study.path, found="no experiments here", expected=".toml files"))
    return study.steps[-1]
