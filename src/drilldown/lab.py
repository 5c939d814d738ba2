"""One run from experiment to summary: the only place where training and run folder meet."""

from __future__ import annotations

from pathlib import Path

from drilldown import data
from drilldown.engines import Tick
from drilldown.errors import DrilldownError, TrainingDiverged
from drilldown.experiment import Experiment
from drilldown.records import Epoch
from drilldown.runs import FINISHED, RUNS, Run
from drilldown.train import Training


class Observer:
    """Is told how a run goes; every method may be left as it is."""

    def fetching(self, file: str, received: int, total: int | None) -> None:
        """So many bytes of a dataset's file have come."""

    def notice(self, text: str) -> None:
        """Something takes its time, or was decided, before training begins."""

    def started(self, run: Run, training: Training) -> None:
        """Training begins, or goes on after `training.epochs`."""

    def tick(self, tick: Tick) -> None:
        """Some fifty times an epoch."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is done, and saved."""

    def finished(self, run: Run) -> None:
        """All is done, and saved."""


def perform(
    experiment: Experiment,
    *,
    seed: int = 0,
    runs: Path | str = RUNS,
    folder: Path | None = None,
    data_folder: Path | str | None = None,
    engine: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    again: bool = False,
    observer: Observer | None = None,
) -> Run:
    """Trains one experiment with one seed in its run folder, going on where it was interrupted.

    A run that is finished is returned as it is, unless `again`. Interrupted (KeyboardInterrupt, a kill, a power
    cut), it keeps every epoch that was done, and the next call ends bit for bit where an uninterrupted one would
    have, on the same machine and device.

    *Arguments*: `runs`: the folder of all runs. `folder`: this run's, where it is not to be derived.

    *Raises* DrilldownError where something is missing or does not fit; TrainingDiverged where the loss does not
    stay finite.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     drilldown.perform(experiment, seed=3, runs=folder).verdict.passed
    False
    """
    observer = observer or Observer()
    run = Run(folder) if folder else Run.of(experiment, seed, runs)
    if run.status == FINISHED and not again:
        observer.notice(f"{run.name}, seed {run.seed}: finished already and not repeated; drilldown run --again does")
        return run
    with run.lock():
        if run.status == FINISHED and not again:  # another process has just done it
            return run
        if (run.path / "diverged.json").is_file() and not again:
            raise TrainingDiverged(f"{run.path}: {run.divergence} (drilldown run --again repeats it)")
        dataset = data.load(experiment.recipe.dataset, data_folder, progress=observer.fetching)
        training = Training(
            experiment,
            dataset,
            seed=seed,
            engine=engine,
            device=device,
            threads=threads,
            checkpoint=None if again else run.checkpoint(),
            progress=observer.tick,
            notice=observer.notice,
        )
        if again:  # not before all that can be refused has been
            run.clear()
        run.begin(experiment)
        observer.started(run, training)
        try:
            for epoch in training:
                run.commit(training.checkpoint(), seed)
                observer.epoch(epoch)
        except TrainingDiverged as error:
            run.diverge(error)
            raise
        test, clean_train = training.final()
        run.finish(training, test, clean_train.tally)
    observer.finished(run)
    return run


def resume(run: Run, **options: object) -> Run:
    """Goes on with an interrupted run in its own folder; the options are those of `perform`."""
    if not (run.path / "experiment.toml").is_file():
        raise DrilldownError(f"{run.path}: no run here to go on with")
    return perform(run.experiment, seed=run.seed, folder=run.path, **options)  # type: ignore[arg-type]
