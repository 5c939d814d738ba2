"""One run from experiment to summary: the only place where training and run folder meet."""

from __future__ import annotations

from pathlib import Path

from drilldown.data.catalogue import is_dataset_path
from drilldown.drives import new_notices
from drilldown.errors import DrilldownError, TrainingDivergedError, check_argument
from drilldown.experiment.experiment import Experiment
from drilldown.randomness import check_seed
from drilldown.runs.callback import Callback
from drilldown.runs.folder import DIVERGENCE, FINISHED
from drilldown.runs.run import Run
from drilldown.runs.writer import RunWriter
from drilldown.settings import Compute, Folders
from drilldown.training.training import Training


def perform(
    experiment: Experiment,
    *,
    seed: int = 0,
    compute: Compute = Compute(),  # noqa: B008 - frozen
    folders: Folders = Folders(),  # noqa: B008 - frozen
    run_dir: Path | None = None,
    again: bool = False,
    callback: Callback | None = None,
    trainer: type[Training] = Training,
) -> Run:
    """Trains one experiment with one seed in its run folder, and resumes it where it was interrupted.

    A finished run is returned as it is, unless `again`. An interrupted run (KeyboardInterrupt, kill, power cut) keeps
    every finished epoch, and the next call ends bit for bit where an uninterrupted one would have ended, on the same
    machine and device.

    *Arguments*: `run_dir`: the run's folder; derived from `folders.runs` and the experiment by default.
    `trainer`: the kind of training; a dry run has its own.

    *Raises* DrilldownError where something is missing or does not fit; TrainingDivergedError where the loss does not
    stay finite.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     drilldown.perform(experiment, seed=3, folders=drilldown.Folders(runs=folder)).verdict.passed
    False
    """
    callback, seed = callback or Callback(), check_seed(seed)
    check_argument("experiment", experiment, Experiment, 'an experiment, as in drilldown.load("under-8k")')
    check_argument("compute", compute, Compute, 'drilldown.Compute(device="cpu"), for instance')
    check_argument("folders", folders, Folders, 'drilldown.Folders(runs="runs"), for instance')
    check_argument("callback", callback, Callback, "drilldown.Lines(), for instance")
    run = Run(run_dir, source=experiment) if run_dir else Run.of(experiment, seed, folders.runs)
    experiment = run.to_train(experiment, seed)
    if experiment.doubt:
        callback.on_notice(f"{experiment.name}: {experiment.doubt}")
    if run.status == FINISHED and not again:
        callback.on_notice(f"{run.name}, seed {run.seed}: already finished; repeat it with drilldown run --again")
        return run
    with run.lock():
        if run.status == FINISHED and not again:  # another process has just finished it
            return run
        if (run.path / DIVERGENCE).is_file() and not again:
            raise TrainingDivergedError(f"{run.path}: {run.divergence} (repeat it with drilldown run --again)")
        dataset = experiment.recipe.load_dataset(folders.data, on_download=callback.on_download)
        for notice in dataset.notices:
            callback.on_notice(notice)
        if dataset.leakage_notice:
            callback.on_notice(dataset.leakage_notice)
        if is_dataset_path(experiment.recipe.dataset):
            callback.on_notice(f"images: {experiment.recipe.describe_images(dataset)}")
        training = trainer(
            experiment,
            dataset,
            seed=seed,
            compute=compute,
            checkpoint=None if again else run.checkpoint(experiment, seed),
            on_progress=callback.on_progress,
            on_notice=callback.on_notice,
        )
        if again:  # not before everything that can be refused has been checked
            run.clear()
        writer = RunWriter(run, training)
        run = writer.run
        for notice in new_notices():
            callback.on_notice(notice)
        callback.on_start(run, training)
        try:
            for epoch in training:
                writer.commit(epoch)
                callback.on_epoch_end(epoch)
        except TrainingDivergedError as error:
            writer.diverge(error)
            raise
        test, clean_train = training.final()
        writer.finish(test, clean_train.tally)
    callback.on_finish(run)
    return run


def resume_run(
    run: Run,
    *,
    compute: Compute = Compute(),  # noqa: B008 - frozen
    folders: Folders = Folders(),  # noqa: B008 - frozen
    callback: Callback | None = None,
) -> Run:
    """Resumes an interrupted run in its own folder; the arguments are those of `perform`."""
    if not (run.path / "experiment.toml").is_file():
        raise DrilldownError(f"{run.path}: no run here to resume")
    return perform(run.experiment, seed=run.seed, compute=compute, folders=folders, run_dir=run.path, callback=callback)
