"""Studies, which are ordered folders of experiments, and short names such as `eva5-s5/06` for their files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from drilldown.errors import DrilldownError, Problem, did_you_mean
from drilldown.resources import resource_folder


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
        """The experiment files in the order of their names."""
        return tuple(sorted(self.path.glob("*.toml"), key=lambda file: file.stem))


def available_studies() -> list[Study]:
    """Returns the studies in `./studies`, then those that are part of drilldown."""
    studies: dict[str, Study] = {}
    for root in (Path("studies"), resource_folder("studies")):
        if root.is_dir():
            for folder in sorted(path for path in root.iterdir() if path.is_dir()):
                study = Study(folder)
                if study.steps:
                    studies.setdefault(study.name, study)
    return list(studies.values())


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
