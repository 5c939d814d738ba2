"""The commands that train many experiments: study, ablate."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from drilldown.cli.options import (
    DEFAULT_SEEDS,
    CrewOption,
    DataOption,
    DeviceOption,
    EngineOption,
    ExperimentArgument,
    RunsOption,
    SeedsOption,
    ThreadsOption,
    TrustOption,
    WorkersOption,
    folders_from,
)
from drilldown.cli.training import train_all
from drilldown.errors import DrilldownError
from drilldown.settings import RUNS_DIR, Compute

if TYPE_CHECKING:
    pass


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
    train_all(tasks, chosen.name, command, compute, folders, workers=workers, crew=on)
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
    train_all(tasks, full.name, command, compute, folders, workers=workers, crew=on)
    result = measure_ablation(Seeds.of(full, folders.runs), folders.runs)
    page = write_ablation_report(result, folders.runs)
    screen = make_console(stderr=False)
    print_ablation(screen, result, ablation_sentences(result))
    screen.print(f"report  {page}")
