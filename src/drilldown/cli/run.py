"""The commands that train an experiment: run, resume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drilldown.cli.options import (
    CrewOption,
    DataOption,
    DeviceOption,
    EngineOption,
    ExperimentArgument,
    Overrides,
    RunArgument,
    RunsOption,
    ThreadsOption,
    TrustOption,
    WorkersOption,
    command_text,
    folders_from,
    print_notice,
)
from drilldown.cli.training import show_finished, train_all
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
    workers: WorkersOption = 1,
    on: CrewOption = None,
    _trust: TrustOption = False,
) -> None:
    """Train an experiment and print its verdict.

    Without an experiment, train the flagship under-8k. An interrupted run is resumed; a finished run is shown.
    """
    from drilldown.experiment.loading import load_experiment

    if seed is not None and seeds is not None:
        raise DrilldownError(Problem(found="--seed and --seeds are both given", expected="one of them"))
    compute, folders = Compute(engine=engine, device=device, threads=threads), folders_from(data, runs)
    loaded = load_experiment(experiment, overrides)
    if seeds in (None, 1) and on is None:
        _run_once(loaded, seed or 0, compute, folders, again=again)
    else:
        changes = [part for override in overrides for part in ("--set", override)]
        numbers = range(seeds) if seeds else [seed or 0]
        count = ["--seeds", str(seeds)] if seeds else ["--seed", str(seed or 0)]
        command = ["drilldown", "run", experiment, *changes, *count]  # to resume: without --again
        _run_seeds(loaded, numbers, command, compute, folders, workers=workers, crew=on, again=again)


def _run_once(experiment: Experiment, seed: int, compute: Compute, folders: Folders, *, again: bool) -> None:
    from drilldown.runs.perform import perform
    from drilldown.runs.run import Run
    from drilldown.terminal.live import LiveDisplay

    live = LiveDisplay()
    try:
        finished = perform(experiment, seed=seed, compute=compute, folders=folders, again=again, callback=live)
    except KeyboardInterrupt:
        live.stop()
        print_notice(_interrupted_text(Run.of(experiment, seed, folders.runs), compute, folders))
        raise
    finally:
        live.stop()
    show_finished(finished, folders.data, write=again)


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
) -> None:
    from drilldown.analysis.seeds import Seeds
    from drilldown.runs.folder import FINISHED
    from drilldown.runs.worklist import list_tasks
    from drilldown.terminal.comparisons import print_seeds
    from drilldown.terminal.console import make_console

    def show(run: Run) -> None:
        show_finished(run, folders.data, write=True)

    tasks = list_tasks([experiment], seeds, folders.runs)
    for task in tasks:
        if not again and task.run.status == FINISHED:
            show_finished(task.run, folders.data)
    train_all(tasks, experiment.name, command, compute, folders, workers=workers, crew=crew, again=again, on_run=show)
    together = Seeds.among(experiment, [task.run for task in tasks])
    screen = make_console(stderr=False)
    print_seeds(screen, together)
    screen.print(f"budget met: {together.rate}")
    if not together.finished:
        raise typer.Exit(TrainingDivergedError.exit_code)


def resume(
    run: RunArgument,
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    data: DataOption = None,
    runs: RunsOption = RUNS_DIR,
    _trust: TrustOption = False,
) -> None:
    """Resume an interrupted run.

    The result is the same as without the interruption.
    """
    from drilldown.runs.finding import find_run
    from drilldown.runs.perform import resume_run
    from drilldown.terminal.live import LiveDisplay

    compute, folders = Compute(engine=engine, device=device, threads=threads), folders_from(data, runs)
    interrupted = find_run(run, folders.runs)
    live = LiveDisplay()
    try:
        finished = resume_run(interrupted, compute=compute, folders=folders, callback=live)
    except KeyboardInterrupt:
        live.stop()
        print_notice(_interrupted_text(interrupted, compute, folders))
        raise
    finally:
        live.stop()
    show_finished(finished, folders.data, write=True)


def _interrupted_text(run: Run, compute: Compute, folders: Folders) -> str:
    from drilldown.wording import count_text

    if not run.path.exists():
        return "interrupted before training began; nothing was written"
    epochs = len(run.epochs)
    saved = f"{count_text(epochs, 'epoch')} {'is' if epochs == 1 else 'are'} saved"
    command = command_text(["drilldown", "resume", str(run.path)], compute, Folders(data=folders.data))
    return f"interrupted: {saved}; the current epoch will be repeated\nresume with: {command}"
