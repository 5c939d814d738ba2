"""The commands that train an experiment: run, resume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drilldown.cli.options import (
    BUDGET_NOT_MET,
    CrewOption,
    DataOption,
    DeviceOption,
    DryRunOption,
    EngineOption,
    ExperimentArgument,
    JsonOption,
    Overrides,
    RunArgument,
    RunsOption,
    ThreadsOption,
    TrackOption,
    TrustOption,
    WorkersOption,
    check_dry_run,
    command_text,
    folders_from,
    print_json,
    print_notice,
    track_options,
)
from drilldown.cli.training import show_finished, train_all, write_missing_report
from drilldown.errors import DrilldownError, Problem, TrainingDivergedError
from drilldown.settings import RUNS_DIR, Compute, Folders

if TYPE_CHECKING:
    from drilldown.experiment.experiment import Experiment
    from drilldown.runs.run import Run


def run(
    experiment: ExperimentArgument = "under-8k",
    seed: Annotated[int | None, typer.Option(min=0, metavar="N", help="Train with this seed (default: 0).")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, max=1000, metavar="N", help="Train with seeds 0 to N-1.")] = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    data: DataOption = None,
    runs: RunsOption = RUNS_DIR,
    again: Annotated[bool, typer.Option("--again", help="Repeat runs that are finished or diverged.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit code 3 if the budget is not met.")] = False,
    as_json: JsonOption = False,
    workers: WorkersOption = 1,
    on: CrewOption = None,
    track: TrackOption = [],  # noqa: B006 - typer copies it
    dry_run: DryRunOption = False,
    _trust: TrustOption = False,
) -> None:
    """Train an experiment and print its verdict.

    Without an experiment, train the flagship under-8k. An interrupted run is resumed; a finished run is shown.
    """
    from drilldown.experiment.loading import load_experiment

    if seed is not None and seeds is not None:
        raise DrilldownError(Problem(found="--seed and --seeds are both given", expected="one of them"))
    check_dry_run(dry_run=dry_run, as_json=as_json)
    compute, folders = Compute(engine=engine, device=device, threads=threads), folders_from(data, runs)
    loaded = load_experiment(experiment, overrides)
    if dry_run:
        _try_run(loaded, range(seeds) if seeds else [seed or 0], compute, folders, crew=on, again=again)
        return
    if seeds in (None, 1) and on is None:
        met = _run_once(loaded, seed or 0, compute, folders, again=again, track=track, as_json=as_json)
    else:
        changes = [part for override in overrides for part in ("--set", override)]
        numbers = range(seeds) if seeds else [seed or 0]
        count = ["--seeds", str(seeds)] if seeds else ["--seed", str(seed or 0)]
        command = ["drilldown", "run", experiment, *changes, *count]  # to resume: without --again
        met = _run_seeds(
            loaded, numbers, command, compute, folders,
            workers=workers, crew=on, again=again, track=track, as_json=as_json,
        )  # fmt: skip
    if check and not met:
        raise typer.Exit(BUDGET_NOT_MET)


def _try_run(
    experiment: Experiment, seeds: Sequence[int], compute: Compute, folders: Folders, *, crew: Path | None, again: bool
) -> None:
    from drilldown.cli.dry_run import try_experiments
    from drilldown.report.run.writing import write_run_report
    from drilldown.runs.run import Run
    from drilldown.runs.worklist import list_tasks

    def write_report(temporary: Folders) -> None:
        write_run_report(Run.of(experiment, seeds[0], temporary.runs), temporary.data)

    runs = sum(again or not task.ended for task in list_tasks([experiment], seeds, folders.runs))
    try_experiments([experiment], write_report, compute, folders, runs=runs, crew=crew, seed=seeds[0])


def _run_once(
    experiment: Experiment,
    seed: int,
    compute: Compute,
    folders: Folders,
    *,
    again: bool,
    track: Sequence[str],
    as_json: bool,
) -> bool:
    """Trains one run; returns whether it meets the budget."""
    from drilldown.runs.perform import perform
    from drilldown.runs.run import Run
    from drilldown.terminal.live import LiveDisplay
    from drilldown.tracking.callback import Tracking

    live = LiveDisplay(as_json=as_json)
    with Tracking(*track, callback=live) as tracking:
        try:
            finished = perform(experiment, seed=seed, compute=compute, folders=folders, again=again, callback=tracking)
        except KeyboardInterrupt:
            live.stop()
            print_notice(_interrupted_text(Run.of(experiment, seed, folders.runs), compute, folders, track))
            raise
        finally:
            live.stop()
        tracking.mirror(finished)
        show_finished(finished, folders.data, write=again, as_json=as_json)
    return finished.read().passed


def _run_seeds(
    experiment: Experiment,
    seeds: Sequence[int],
    command: list[str],
    compute: Compute,
    folders: Folders,
    *,
    workers: int,
    crew: Path | None,
    again: bool,
    track: Sequence[str],
    as_json: bool,
) -> bool:
    """Trains several seeds; returns whether the experiment meets the budget, as `verdict` judges it."""
    from drilldown.analysis.documents import seeds_document
    from drilldown.analysis.seeds import Seeds
    from drilldown.runs.folder import FINISHED
    from drilldown.runs.worklist import list_tasks
    from drilldown.terminal.comparisons import print_seeds
    from drilldown.terminal.console import make_console

    def show(run: Run, *, write: bool = True) -> None:
        if as_json:
            write_missing_report(run, folders.data, write=write)
        else:
            show_finished(run, folders.data, write=write)

    tasks = list_tasks([experiment], seeds, folders.runs)
    for task in tasks:
        if not again and task.run.status == FINISHED:
            show(task.run, write=False)
    train_all(
        tasks, experiment.name, command, compute, folders,
        workers=workers, crew=crew, again=again, as_json=as_json, track=track, on_run=show,
    )  # fmt: skip
    together = Seeds.among(experiment, [task.run for task in tasks])
    if as_json:
        print_json(seeds_document(together))
    else:
        screen = make_console(stderr=False)
        print_seeds(screen, together)
        screen.print(f"budget met: {together.rate}")
    if not together.finished:
        raise typer.Exit(TrainingDivergedError.exit_code)
    return together.rate is not None and together.rate.met


def resume(
    run: RunArgument,
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    data: DataOption = None,
    runs: RunsOption = RUNS_DIR,
    track: TrackOption = [],  # noqa: B006 - typer copies it
    as_json: JsonOption = False,
    _trust: TrustOption = False,
) -> None:
    """Resume an interrupted run.

    The result is the same as without the interruption.
    """
    from drilldown.runs.finding import find_run
    from drilldown.runs.perform import resume_run
    from drilldown.terminal.live import LiveDisplay
    from drilldown.tracking.callback import Tracking

    compute, folders = Compute(engine=engine, device=device, threads=threads), folders_from(data, runs)
    interrupted = find_run(run, folders.runs)
    live = LiveDisplay(as_json=as_json)
    with Tracking(*track, callback=live) as tracking:
        try:
            finished = resume_run(interrupted, compute=compute, folders=folders, callback=tracking)
        except KeyboardInterrupt:
            live.stop()
            print_notice(_interrupted_text(interrupted, compute, folders, track))
            raise
        finally:
            live.stop()
        tracking.mirror(finished)
        show_finished(finished, folders.data, write=True, as_json=as_json)


def _interrupted_text(run: Run, compute: Compute, folders: Folders, track: Sequence[str]) -> str:
    from drilldown.wording import count_text

    if not run.path.exists():
        return "interrupted before training began; nothing was written"
    epochs = len(run.epochs)
    saved = f"{count_text(epochs, 'epoch')} {'is' if epochs == 1 else 'are'} saved"
    command = ["drilldown", "resume", str(run.path), *track_options(track)]
    text = command_text(command, compute, Folders(data=folders.data))
    return f"interrupted: {saved}; the current epoch will be repeated\nresume with: {text}"
