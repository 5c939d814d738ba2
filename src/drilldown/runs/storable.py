"""Whether a run folder can hold a user's module and give it back: asked before the training, not after an hour."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from torch import nn

from drilldown.errors import CannotTrainError, DrilldownError, Problem
from drilldown.experiment.experiment import Experiment
from drilldown.files import write_below
from drilldown.network.module_loader import user_code_problem
from drilldown.runs.folder import EXPERIMENT
from drilldown.runs.tensor_files import Owner, tensor_bytes
from drilldown.training.training import Training


def check_storable(training: Training, owner: Owner) -> None:
    """Builds the network of a training from copies of its files, and saves and loads its state.

    *Raises* CannotTrainError where this fails, for instance because the module reads a file that is not copied.
    """
    experiment = training.experiment
    reference = experiment.network.python
    if reference is None:
        return
    try:
        tensor_bytes(training.engine.state(), owner)
        network = _build_from_copies(experiment)
        network.load_state_dict(training.engine.model().state_dict())
    except DrilldownError as error:
        raise CannotTrainError(*error.problems) from error
    except Exception as error:
        problem = user_code_problem(reference, experiment.folder, "its weights cannot be saved and loaded", error)
        raise CannotTrainError(problem) from error


def _build_from_copies(experiment: Experiment) -> nn.Module:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in experiment.code_files.items():
            write_below(folder, file, content)
        try:
            return experiment.located(path=folder / EXPERIMENT).build()
        except DrilldownError as error:
            raise DrilldownError(*(_of_the_copy(problem, folder, experiment) for problem in error.problems)) from error


def _of_the_copy(problem: Problem, folder: Path, experiment: Experiment) -> Problem:
    """The problem with the place of the file that was copied."""
    file = Path(problem.file or folder)
    return replace(
        problem,
        file=experiment.folder / file.relative_to(folder) if file.is_relative_to(folder) else file,
        found=f"a copy of the module in another folder, as a run has it, does not work: {problem.found}".replace(
            str(folder), str(experiment.folder)
        ),
        suggestion="only the Python files that import statements name are copied; put other values into the code",
    )
