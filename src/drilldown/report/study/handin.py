"""The README of a drill-down: target, result and analysis of each step, as such work is handed in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from drilldown.analysis.study import StudyEvidence, StudyStep
from drilldown.errors import DrilldownError, Problem
from drilldown.files import explain_file_errors, write_atomically
from drilldown.report.folder import write_figures
from drilldown.report.study.figures import study_figures
from drilldown.report.text import TEXT_TEMPLATES, interval_text, rate_text
from drilldown.wording import count_text

MARK = "<!-- This file is made by drilldown study --markdown: change the experiment files, not this one. -->"
"""The first line; a file without it is never overwritten."""


def check_handin(file: Path) -> None:
    """Refuses a file that a person has written; raises DrilldownError."""
    try:
        if not os.path.lexists(file):
            return
        if not file.is_file():  # reading a pipe would wait for ever
            found = "is not a file"
        elif file.read_text("utf-8", "replace").startswith(MARK):
            return
        else:
            found = "already exists, and was not made by this command"
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
    raise DrilldownError(Problem(file=file, place="--markdown", found=found, suggestion="choose another name"))


def write_handin(evidence: StudyEvidence, file: Path) -> None:
    """Writes the README of a study, with its figures in `figures/` beside it; their names begin with the README's.

    *Raises* DrilldownError where the file cannot be written, or was not made by this function.
    """
    check_handin(file)
    with explain_file_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        if evidence.measured:
            figures = study_figures(evidence)
            write_figures(file.parent, {f"{file.stem}-{name}": figure for name, figure in figures.items()})
        write_atomically(file, handin_text(evidence, file).encode())


def handin_text(evidence: StudyEvidence, file: Path) -> str:
    """The text of the README; `file`: where it is written."""
    return TEXT_TEMPLATES.get_template("handin.md.j2").render(
        mark=MARK,
        evidence=evidence,
        split=" or ".join(sorted({step.seeds.split for step in evidence.steps}, reverse=True)),
        figures=f"figures/{quote(file.stem)}-" if evidence.measured else None,
        links=[_link(step, file.parent) for step in evidence.steps],
        results=[" ".join(_result(step)) for step in evidence.steps],
    )


def _link(step: StudyStep, folder: Path) -> str:
    """The address of the step's file, relative to the README."""
    path = step.experiment.path
    if path is None:
        return ""
    try:
        return quote(Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix())
    except ValueError:  # on Windows, they are on different drives
        return path.resolve().as_uri()


def _result(step: StudyStep) -> Iterator[str]:
    """The figures of a step as sentences."""
    seeds, experiment = step.seeds, step.experiment
    yield f"{count_text(experiment.model_summary.parameters, 'parameter')}."
    if not seeds.finished:
        yield "Not trained yet." if not seeds.n else f"{count_text(seeds.n, 'seed')}, and the training diverged."
        return
    over = "One seed" if seeds.n == 1 else f"{seeds.n} seeds"
    hold = f"the last {seeds.hold} epochs" if seeds.hold > 1 else "the last epoch"
    yield (
        f"{over}: {interval_text(seeds.accuracy, 3)} % of the {seeds.split} images in {hold}, "
        f"{interval_text(step.best, 2)} % in the best epoch; {interval_text(step.clean_train, 2)} % of the training "
        "images without augmentation."
    )
    if seeds.teacher:
        yield f"It {seeds.teacher}."
    if seeds.diverged:
        yield f"{count_text(len(seeds.diverged), 'seed')} diverged."
    if experiment.budget.accuracy is not None:
        yield f"Seeds that met the budget: {rate_text(seeds.rate)}."
    if step.change and step.change.accuracy:
        effect = step.change.accuracy
        yield f"Effect of the change, in points: {effect.text(3)}, {effect.verdict()}."
