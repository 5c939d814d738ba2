"""A dry run: everything that a run does, with two batches, in a temporary folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.experiment import Experiment
from drilldown.files import explain_write_errors, write_atomically
from drilldown.runs.callback import Callback
from drilldown.runs.folder import RunBusyError
from drilldown.runs.perform import perform
from drilldown.runs.run import Run
from drilldown.settings import Compute, Folders
from drilldown.training.dry import DryTraining
from drilldown.training.training import Training

PROBE = ".dry-run"
"""The file that shows whether a run's folder can be written; it is removed at once."""


class _Witness(Callback):
    """Keeps the training; passes on the notices that matter before the real training."""

    def __init__(self, callback: Callback) -> None:
        self.on_notice, self.on_download = callback.on_notice, callback.on_download  # type: ignore[method-assign]
        self.training: Training | None = None

    def on_start(self, run: Run, training: Training) -> None:  # noqa: ARG002
        self.training = training


def rehearse(
    experiment: Experiment,
    temporary: Path,
    *,
    seed: int = 0,
    compute: Compute = Compute(),  # noqa: B008 - frozen
    folders: Folders = Folders(),  # noqa: B008 - frozen
    callback: Callback | None = None,
) -> tuple[Run, Training]:
    """Tries everything that a run of the experiment does: data, two batches, evaluation, all files, resuming.

    Nothing is left in `folders.runs`, and a run that is there is not touched.

    *Arguments*: `temporary`: the folder of all runs that takes the place of `folders.runs`.

    *Returns* the finished run in the temporary folder, of which a report can be made, and its training.

    *Raises* DrilldownError where the run would fail; TrainingDivergedError where the first loss is not finite.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run, training = rehearse(experiment, Path(folder), folders=drilldown.Folders(runs=f"{folder}/runs"))
    ...     run.status, len(run.epochs), (Path(folder) / "runs").exists()
    ('finished', 1, False)
    """
    check_writable(Run.of(experiment, seed, folders.runs))
    witness = _Witness(callback or Callback())
    run = perform(
        experiment,
        seed=seed,
        # A measurement of threads would take longer than the two batches.
        compute=replace(compute, threads=compute.threads or 1),
        folders=replace(folders, runs=temporary),
        again=True,  # two steps of a study may be the same experiment
        callback=witness,
        trainer=DryTraining,
    )
    assert witness.training is not None
    checkpoint = run.checkpoint(experiment, seed)
    assert checkpoint is not None
    witness.training.engine.restore(checkpoint.tensors)  # as after an interruption
    run.model()
    return run, witness.training


def check_writable(run: Run) -> None:
    """Raises DrilldownError where the run's folder cannot be made or written; leaves nothing behind."""
    try:
        with run.lock(), explain_write_errors(run.path):
            write_atomically(run.path / PROBE, b"")
            (run.path / PROBE).unlink()
    except RunBusyError:
        pass  # another process writes there at this moment


def check_space(runs_dir: Path, temporary: Path, runs: int, tried: int) -> int:
    """Checks the free space.

    *Arguments*: `temporary`: the folder with the files of a dry run. `runs`: the number of runs that will be trained.
    `tried`: the number of runs in `temporary`.

    *Returns* the approximate number of bytes that the runs will take; raises DrilldownError where there is less space.
    """
    size = sum(file.stat().st_size for file in temporary.rglob("*") if file.is_file())
    needed = runs * size // max(1, tried)
    existing = next(folder for folder in (runs_dir.absolute(), *runs_dir.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise DrilldownError(
            Problem(
                file=runs_dir,
                found=f"{free / 1e6:,.0f} MB are free",
                expected=f"about {needed / 1e6:,.0f} MB",
                suggestion="free some space, or name another folder with --runs",
            )
        )
    return needed
