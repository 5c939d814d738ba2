"""The commands that train many experiments: study, ablate."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drilldown.cli.dry_run import try_experiments
from drilldown.cli.options import (
    DEFAULT_SEEDS,
    CrewOption,
    CsvOption,
    DataOption,
    DeviceOption,
    DryRunOption,
    EngineOption,
    ExperimentArgument,
    JsonOption,
    Overrides,
    RunsOption,
    SeedsOption,
    ThreadsOption,
    TrackOption,
    TrustOption,
    WorkersOption,
    check_dry_run,
    check_one_format,
    folders_from,
    print_json,
    print_notice,
)
from drilldown.cli.training import train_all
from drilldown.errors import DrilldownError
from drilldown.settings import RUNS_DIR, Compute, Folders

if TYPE_CHECKING:
    from drilldown.experiment.experiment import Experiment


def study(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A study's name, or a folder of experiments.")],
    seeds: SeedsOption = DEFAULT_SEEDS,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    data: DataOption = None,
    runs: RunsOption = RUNS_DIR,
    workers: WorkersOption = 1,
    on: CrewOption = None,
    track: TrackOption = [],  # noqa: B006 - typer copies it
    dry_run: DryRunOption = False,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE.md", help="Write the README of the drill-down.")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Report files that cannot be trained, and train the others.")
    ] = False,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    _trust: TrustOption = False,
) -> None:
    """Train the missing runs of a study, and write its report.

    First print the number of missing runs and the estimated time. Stop at any moment; the same command resumes.
    Files that do not extend each other, such as those of a class, are compared as equals.
    """
    from drilldown.analysis.documents import study_document
    from drilldown.analysis.study import gather_study
    from drilldown.analysis.study_rows import STUDY_COLUMNS, study_rows
    from drilldown.experiment.studies import find_study
    from drilldown.report.study.handin import check_handin, write_handin
    from drilldown.report.study.writing import write_study_report
    from drilldown.runs.worklist import TasksFailedError, list_tasks
    from drilldown.terminal.comparisons import print_study
    from drilldown.terminal.console import make_console
    from drilldown.terminal.csv_table import print_csv

    check_one_format(as_json=as_json, as_csv=as_csv)
    check_dry_run(dry_run=dry_run, as_json=as_json, as_csv=as_csv)
    compute, folders = Compute(engine=engine, device=device, threads=threads), folders_from(data, runs)
    if markdown is not None:
        check_handin(markdown)
    chosen = find_study(study)
    experiments, problems = _read_files(chosen.steps, overrides, folders.runs, keep_going=keep_going)
    changes = [part for override in overrides for part in ("--set", override)]
    command = ["drilldown", "study", study, "--seeds", str(seeds), *changes, *["--keep-going"] * keep_going]
    tasks = list_tasks(experiments, range(seeds), folders.runs)
    if dry_run:

        def write_report(temporary: Folders) -> None:
            found = gather_study(chosen, temporary.runs, shlex.join(command), overrides, experiments)
            write_study_report(found, temporary.data)
            if markdown is not None:
                write_handin(found, temporary.runs / markdown.name)

        left = sum(not task.ended for task in tasks)
        try_experiments(experiments, write_report, compute, folders, runs=left, crew=on)
        _raise_all(problems)
        return
    try:
        train_all(
            tasks, chosen.name, command, compute, folders,
            workers=workers, crew=on, keep_going=keep_going, as_json=as_json or as_csv, track=track,
        )  # fmt: skip
    except TasksFailedError as error:
        if not keep_going:
            raise
        failed = {outcome.task.experiment.path: str(outcome) for outcome in error.outcomes}
        problems |= {path.stem: DrilldownError(reason) for path, reason in failed.items() if path}
    try:
        evidence = gather_study(chosen, folders.runs, shlex.join(command), overrides, experiments)
    except DrilldownError as error:  # without any run
        raise DrilldownError(*(problem for one in (*problems.values(), error) for problem in one.problems)) from None
    page = write_study_report(evidence, folders.data).html
    if markdown is not None:
        write_handin(evidence, markdown)
    texts = {step: str(problem) for step, problem in problems.items()}
    if as_json:
        failures = [{"step": step, "problem": text} for step, text in texts.items()]
        print_json({**study_document(evidence), "problems": failures, "report": str(page)})
    elif as_csv:
        print_csv(STUDY_COLUMNS, study_rows(evidence, texts))
    else:
        screen = make_console(stderr=False)
        print_study(screen, evidence)
        screen.print(f"report  {page}")
        if markdown is not None:
            screen.print(f"README  {markdown}")
    _raise_all(problems)


def _read_files(
    files: Sequence[Path], overrides: list[str], runs_dir: Path, *, keep_going: bool
) -> tuple[list[Experiment], dict[str, DrilldownError]]:
    """Reads the experiments of a study; where the study keeps going, the errors of bad files are returned, by step."""
    from drilldown.analysis.seeds import Seeds
    from drilldown.experiment.loading import read_experiment
    from drilldown.runs.pool import reason_text

    experiments: list[Experiment] = []
    problems: dict[str, DrilldownError] = {}
    for file in files:
        try:
            experiment = read_experiment(file, overrides)
            if keep_going:
                experiment.model_summary  # noqa: B018 - builds the network
                Seeds.of(experiment, runs_dir)  # reads its runs, which may be damaged
        except Exception as error:
            if not keep_going:
                raise
            known = error if isinstance(error, DrilldownError) else DrilldownError(reason_text(error))
            texts = map(str, known.problems)  # an own module that is missing names its file, and not the experiment's
            problems[file.stem] = DrilldownError(*(text if str(file) in text else f"{file}: {text}" for text in texts))
            print_notice(f"left out: {file}")
        else:
            experiments.append(experiment)
    if not experiments:
        _raise_all(problems)
    return experiments, problems


def _raise_all(problems: dict[str, DrilldownError]) -> None:
    """Raises the problems of all files as one error; does nothing where there are none."""
    if problems:
        raise DrilldownError(*(problem for error in problems.values() for problem in error.problems))


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
    track: TrackOption = [],  # noqa: B006 - typer copies it
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    _trust: TrustOption = False,
) -> None:
    """Ablation: the effect of removing each component.

    Train the missing runs of the experiment and of each variation, then show the effects.
    """
    from drilldown.analysis.ablation import list_variations, measure_ablation
    from drilldown.analysis.documents import ablation_document
    from drilldown.analysis.seeds import Seeds
    from drilldown.experiment.loading import load_experiment
    from drilldown.report.ablation import ablation_sentences, write_ablation_report
    from drilldown.runs.worklist import list_tasks
    from drilldown.terminal.comparisons import print_ablation
    from drilldown.terminal.console import make_console

    check_dry_run(dry_run=dry_run, as_json=as_json)
    compute, folders = Compute(engine=engine, device=device, threads=threads), folders_from(data, runs)
    full = load_experiment(experiment)
    variations, _ = list_variations(full)
    if not variations:
        raise DrilldownError(f"{full.name}: no component can be removed")
    experiments = [full, *(variation.experiment for variation in variations)]
    command = ["drilldown", "ablate", experiment, "--seeds", str(seeds)]
    tasks = list_tasks(experiments, range(seeds), folders.runs)
    if dry_run:

        def write_report(temporary: Folders) -> None:
            found = measure_ablation(Seeds.of(full, temporary.runs), temporary.runs)
            write_ablation_report(found, temporary.runs)

        left = sum(not task.ended for task in tasks)
        try_experiments(experiments, write_report, compute, folders, runs=left, crew=on)
        return
    train_all(tasks, full.name, command, compute, folders, workers=workers, crew=on, as_json=as_json, track=track)
    result = measure_ablation(Seeds.of(full, folders.runs), folders.runs)
    page = write_ablation_report(result, folders.runs)
    if as_json:
        print_json({**ablation_document(result), "report": str(page)})
        return
    screen = make_console(stderr=False)
    print_ablation(screen, result, ablation_sentences(result))
    screen.print(f"report  {page}")
