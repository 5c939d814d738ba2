"""The commands that train: run, resume, study, ablate."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drilldown.cli.options import (
    DEFAULT_SEEDS,
    CrewOption,
    DataOption,
    DeviceOption,
    EngineOption,
    ExperimentArgument,
    Overrides,
    RunArgument,
    RunsOption,
    SeedsOption,
    ThreadsOption,
    TrustOption,
    WorkersOption,
    command_text,
    folders_from,
    print_notice,
    workers_options,
)
from drilldown.errors import DrilldownError, Problem, TrainingDivergedError
from drilldown.settings import RUNS_DIR, Compute, Folders

if TYPE_CHECKING:
    from drilldown.experiment.experiment import Experiment
    from drilldown.runs.pool import Task
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
    _show_finished(finished, folders.data, write=again)


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
        _show_finished(run, folders.data, write=True)

    tasks = list_tasks([experiment], seeds, folders.runs)
    for task in tasks:
        if not again and task.run.status == FINISHED:
            _show_finished(task.run, folders.data)
    _train_all(tasks, experiment.name, command, compute, folders, workers=workers, crew=crew, again=again, on_run=show)
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
    _show_finished(finished, folders.data, write=True)


def study(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A study's name, or a folder of experiments.")],
    seeds: SeedsOption = DEFAULT_SEEDS,
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    data: DataOption = None,
    runs: RunsOption = RUNS_DIR,
    workers: WorkersOption = 1,
    on: CrewOption = None,
    _trust: TrustOption = False,
) -> None:
    """Train the missing runs of a study, and write its report.

    First print the number of missing runs and the estimated time. Stop at any moment; the same command resumes.
    """
    from drilldown.analysis.study import gather_study
    from drilldown.experiment.loading import read_experiment
    from drilldown.experiment.studies import find_study
    from drilldown.report.study.writing import write_study_report
    from drilldown.runs.worklist import list_tasks
    from drilldown.terminal.comparisons import print_study
    from drilldown.terminal.console import make_console

    compute, folders = Compute(engine=engine, device=device, threads=threads), folders_from(data, runs)
    chosen = find_study(study)
    experiments = [read_experiment(file) for file in chosen.steps]
    command = ["drilldown", "study", study, "--seeds", str(seeds)]
    tasks = list_tasks(experiments, range(seeds), folders.runs)
    _train_all(tasks, chosen.name, command, compute, folders, workers=workers, crew=on)
    evidence = gather_study(chosen, folders.runs, shlex.join(command))
    page = write_study_report(evidence, folders.data).html
    screen = make_console(stderr=False)
    print_study(screen, evidence)
    screen.print(f"report  {page}")


def ablate(
    experiment: ExperimentArgument,
    seeds: SeedsOption = DEFAULT_SEEDS,
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    data: DataOption = None,
    runs: RunsOption = RUNS_DIR,
    workers: WorkersOption = 1,
    on: CrewOption = None,
    _trust: TrustOption = False,
) -> None:
    """Ablation: remove one component at a time and measure the effect.

    Train the missing runs of the experiment and of each variation, then show the effects.
    """
    from drilldown.analysis.ablation import list_variations, measure_ablation
    from drilldown.analysis.seeds import Seeds
    from drilldown.experiment.loading import load_experiment
    from drilldown.report.ablation import ablation_sentences, write_ablation_report
    from drilldown.runs.worklist import list_tasks
    from drilldown.terminal.comparisons import print_ablation
    from drilldown.terminal.console import make_console

    compute, folders = Compute(engine=engine, device=device, threads=threads), folders_from(data, runs)
    full = load_experiment(experiment)
    variations, _ = list_variations(full)
    if not variations:
        raise DrilldownError(f"{full.name}: no component can be removed")
    experiments = [full, *(variation.experiment for variation in variations)]
    command = ["drilldown", "ablate", experiment, "--seeds", str(seeds)]
    tasks = list_tasks(experiments, range(seeds), folders.runs)
    _train_all(tasks, full.name, command, compute, folders, workers=workers, crew=on)
    result = measure_ablation(Seeds.of(full, folders.runs), folders.runs)
    page = write_ablation_report(result, folders.runs)
    screen = make_console(stderr=False)
    print_ablation(screen, result, ablation_sentences(result))
    screen.print(f"report  {page}")


def _train_all(
    tasks: list[Task],
    name: str,
    command: list[str],
    compute: Compute,
    folders: Folders,
    *,
    workers: int,
    crew: Path | None,
    again: bool = False,
    on_run: Callable[[Run], None] = lambda _: None,
) -> None:
    """Trains the remaining runs of a list.

    *Arguments*: `name`: of the list. `command`: resumes the list after an interruption. `on_run`: called with each run
    that has finished: at once where this process trains it, and at the end where workers do.
    """
    from drilldown.runs.folder import FINISHED
    from drilldown.runs.worklist import plan_work, train_all
    from drilldown.terminal.live import WorklistDisplay
    from drilldown.terminal.workers import WorkersDisplay
    from drilldown.workers.opening import open_pool

    class Display(WorklistDisplay):
        def on_finish(self, run: Run) -> None:
            super().on_finish(run)
            on_run(run)

    if crew is not None:
        from drilldown.workers.crew import read_crew  # imports Dask, which takes half a second

        read_crew(crew)  # before anything is printed
    live = Display(name) if workers == 1 and crew is None else WorkersDisplay(name)
    plan, started = plan_work(tasks, compute.engine, again=again), time.time()
    live.on_plan(plan)
    try:
        if plan.todo:
            with open_pool(compute, folders, live, workers=workers, crew=crew, again=again) as pool:
                train_all(plan, live, pool)
    except KeyboardInterrupt:
        live.stop()
        finished = sum(task.ended for task in tasks)
        print_notice(f"interrupted: {finished} of {len(tasks)} runs finished, and every finished epoch is saved")
        print_notice(f"resume with: {command_text([*command, *workers_options(workers, crew)], compute, folders)}")
        old = [str(task.seed) for task in tasks if task.ended and task.run.modified < started] if again else []
        if old:
            print_notice(f"not repeated yet: seed {', '.join(old)}; repeat each with --again --seed N")
        raise
    finally:
        live.stop()
    if isinstance(live, WorkersDisplay):
        for task in plan.todo:
            if task.run.status == FINISHED:
                on_run(task.run)


def _show_finished(run: Run, data_dir: Path | None, *, write: bool = False) -> None:
    """Prints the result of a finished run; first writes its report if it is missing or old, or if `write` is true."""
    from drilldown.report.folder import is_current
    from drilldown.terminal.console import make_console
    from drilldown.terminal.tables import print_result

    if write or (run.has_model and not is_current(run)):
        from drilldown.report.run.writing import write_run_report  # imports matplotlib, which takes a second

        write_run_report(run, data_dir)
    print_result(make_console(stderr=False), run)


def _interrupted_text(run: Run, compute: Compute, folders: Folders) -> str:
    from drilldown.wording import count_text

    if not run.path.exists():
        return "interrupted before training began; nothing was written"
    epochs = len(run.epochs)
    saved = f"{count_text(epochs, 'epoch')} {'is' if epochs == 1 else 'are'} saved"
    command = command_text(["drilldown", "resume", str(run.path)], compute, Folders(data=folders.data))
    return f"interrupted: {saved}; the current epoch will be repeated\nresume with: {command}"
