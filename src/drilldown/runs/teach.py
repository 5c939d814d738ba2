"""Makes a teacher of finished runs: the file from which another network learns their probabilities."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from drilldown.data.dataset import Dataset
from drilldown.data.own.teacher_files import targets_bytes
from drilldown.data.targets import Targets
from drilldown.data.teacher import Teacher, TeacherRun
from drilldown.errors import DrilldownError, Problem, check_argument
from drilldown.files import explain_file_errors, write_atomically
from drilldown.runs.run import Run


def teach(
    runs: Run | Sequence[Run], file: Path | str, *, temperature: float = 1.0, data_dir: Path | str | None = None
) -> Teacher:
    """Writes the probabilities that finished runs give to the training images, for the setting `recipe.teacher`.

    They are the mean over the runs of softmax(logits / temperature), without augmentation.

    *Arguments*: `runs`: one or several. `file`: the new file, a `.npz`. `temperature`: a larger one makes the
    probabilities more equal. `data_dir`: the first place to look for the dataset.

    *Returns* the description of the teacher, which is also in the file.

    *Raises* DrilldownError where a run is not finished, where the runs have different datasets, or where the file
    exists or cannot be written.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     big = drilldown.perform(experiment, folders=drilldown.Folders(runs=folder))
    ...     teacher = drilldown.teach([big], f"{folder}/teacher.npz")
    ...     small = drilldown.load("under-8k", ["recipe.dataset=glyphs", f"recipe.teacher={folder}/teacher.npz"])
    ...     drilldown.Training(small).teacher == teacher
    True
    """
    file, runs = Path(file), [runs] if isinstance(runs, Run) else list(runs)
    for run in runs:
        check_argument("runs", run, Run, "finished runs, as drilldown.find_run returns them")
    _check(runs, file, temperature)
    pairs = [(run, run.experiment.recipe.load_dataset(data_dir)) for run in runs]
    identity = pairs[0][1].identity
    for run, dataset in pairs:
        if dataset.identity != identity:
            expected = f"{identity}, the dataset of {runs[0].path}"
            raise DrilldownError(Problem(file=run.path, found=f"trained on {dataset.identity}", expected=expected))
        run.predictions_for(dataset)  # raises where the dataset has changed since
    seen = torch.stack([_trained_on(run, dataset) for run, dataset in pairs]).any(0)
    described = tuple(map(_describe, runs))
    teacher = Teacher(dataset=identity, temperature=temperature, runs=described, held_out=int((~seen).sum()))
    shares = (_probabilities(run, dataset, temperature) for run, dataset in pairs)
    mean = functools.reduce(torch.add, shares) / len(runs)
    targets = Targets(mean.float(), seen, teacher)
    with explain_file_errors(file):
        write_atomically(file, targets_bytes(targets))
    return teacher


def _check(runs: Sequence[Run], file: Path, temperature: float) -> None:
    """Raises DrilldownError for everything that can be refused before images are read."""
    if not runs:
        raise DrilldownError(Problem(found="no runs", expected="one or more finished runs"))
    if file.suffix.lower() != ".npz":
        raise DrilldownError(Problem(file=file, found="not the name of a .npz", expected="a name such as teacher.npz"))
    if os.path.lexists(file):  # runs that learned from it need it as it is
        raise DrilldownError(Problem(file=file, found="exists already", expected="the name of a new file"))
    if not (math.isfinite(temperature) and temperature > 0):
        raise DrilldownError(Problem(place="temperature", found=f"found {temperature:g}", expected="a number above 0"))
    for run in runs:
        run.check_finished()


def _probabilities(run: Run, dataset: Dataset, temperature: float) -> torch.Tensor:
    """The run's probabilities for all training images, (N, classes), float64."""
    return (run.predict(dataset.train.images).double() / temperature).softmax(1)


def _trained_on(run: Run, dataset: Dataset) -> torch.Tensor:
    """Whether each training image of the dataset was one of the run, (N), bool."""
    trained, holdout = torch.ones(len(dataset.train), dtype=torch.bool), run.experiment.recipe.holdout
    if holdout is not None:
        trained[dataset.choose_held_out(holdout.images, run.seed, holdout.by)] = False
    return trained


def _describe(run: Run) -> TeacherRun:
    summary = run.read().summary
    return TeacherRun(
        experiment=summary.experiment,
        fingerprint=summary.fingerprint,
        seed=summary.seed,
        parameters=summary.parameters,
        epochs=summary.epochs,
        seconds=summary.seconds,
        learned_from=None if summary.teacher is None else str(summary.teacher),
    )
