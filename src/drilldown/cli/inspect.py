"""The commands that show results: summary, report, compare, runs, verdict, bench."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from drilldown.cli.options import (
    BUDGET_NOT_MET,
    CsvOption,
    DataOption,
    ExperimentArgument,
    JsonOption,
    Overrides,
    RunsOption,
    TrustOption,
    check_one_format,
    folders_from,
    print_json,
    print_notice,
)
from drilldown.errors import DrilldownError, Problem, TrainingDivergedError
from drilldown.settings import RUNS_DIR
from drilldown.wording import count_text


def summary(
    experiment: ExperimentArgument,
    overrides: Overrides = [],  # noqa: B006
    as_json: JsonOption = False,
    _trust: TrustOption = False,
) -> None:
    """Show an experiment's layer table.

    Shapes, parameters, multiply-adds, receptive field ("sees"), and memory.
    """
    from drilldown.experiment.loading import load_experiment
    from drilldown.terminal.console import make_console
    from drilldown.terminal.tables import print_model_summary

    loaded = load_experiment(experiment, overrides)
    if as_json:
        print_json(loaded.model_summary.to_json())
    else:
        print_model_summary(make_console(stderr=False), loaded)
    for notice in loaded.model_summary.notices:
        print_notice(notice)


def report(
    subject: Annotated[
        str,
        typer.Argument(metavar="RUN|STUDY|SEARCH", help='The folder of a run or a search, "last", or a study.'),
    ],
    data: DataOption = None,
    runs: RunsOption = RUNS_DIR,
    _trust: TrustOption = False,
) -> None:
    """Write the report of a run, a study or a search.

    report.html is a single file; report.md has its figures in a folder beside it. Print the path of report.html.
    """
    from drilldown.analysis.study import gather_study, is_folder_of_runs
    from drilldown.experiment.studies import find_study
    from drilldown.report.run.writing import write_run_report
    from drilldown.report.search.writing import write_stored_search_report
    from drilldown.report.study.writing import write_study_report
    from drilldown.runs.finding import find_run, is_run
    from drilldown.search.stored import is_search_folder
    from drilldown.terminal.console import echo

    folders = folders_from(data, runs)
    folder = Path(subject)
    if is_search_folder(folder):
        echo(write_stored_search_report(folder).html)
        return
    if is_folder_of_runs(folder):
        files = write_study_report(gather_study(folder, folder.parent), folders.data)
    elif subject == "last" or (os.path.isdir(folder) and not any(folder.glob("*.toml"))) or is_run(folder):
        files = write_run_report(find_run(subject, folders.runs), folders.data)
    else:
        evidence = gather_study(find_study(subject), folders.runs, f"drilldown study {subject}")
        files = write_study_report(evidence, folders.data)
    echo(files.html)


def compare(
    subjects: Annotated[list[str], typer.Argument(metavar="A B...", help="Experiments or runs, two or more.")],
    runs: RunsOption = RUNS_DIR,
    as_json: JsonOption = False,
    _trust: TrustOption = False,
) -> None:
    """Compare experiments or runs with the first one.

    Show the difference of each from the first, and its effect over the seeds that both have.
    """
    from drilldown.analysis import comparison
    from drilldown.analysis.documents import comparison_document
    from drilldown.terminal.comparisons import print_comparison
    from drilldown.terminal.console import make_console

    compared = comparison.compare(*subjects, runs_dir=runs)
    if as_json:
        print_json(comparison_document(compared))
    else:
        print_comparison(make_console(stderr=False), compared)
    for subject in compared:
        if subject.missing:
            print_notice(f"{subject.letter} has {count_text(subject.seeds.n, 'seed')}; for more: {subject.missing}")


def list_runs(runs: RunsOption = RUNS_DIR, as_json: JsonOption = False, as_csv: CsvOption = False) -> None:
    """List the runs on disk, newest first."""
    from drilldown.runs.folder import RunFolder, run_paths
    from drilldown.runs.row import RUN_COLUMNS, run_row
    from drilldown.terminal.console import make_console
    from drilldown.terminal.csv_table import print_csv
    from drilldown.terminal.run_list import print_runs

    check_one_format(as_json=as_json, as_csv=as_csv)
    if runs != RUNS_DIR and not os.path.isdir(runs):
        reason = "is not a folder" if os.path.exists(runs) else "no such folder"
        raise DrilldownError(Problem(file=runs, found=reason, expected="the folder that --runs names"))
    errors: list[DrilldownError] = []
    listed = [RunFolder(path) for path in run_paths(runs, errors.append)]
    if as_json:
        print_json([_run_document(run.path) for run in listed])
    elif as_csv:
        print_csv(RUN_COLUMNS, [run_row(run) for run in listed])
    elif listed:
        errors += print_runs(make_console(stderr=False), listed)
    for error in errors:
        print_notice(str(error))
    if not listed and not errors:
        print_notice(f"no runs in {runs} yet; train the first with: drilldown run")


def _run_document(path: Path) -> dict[str, Any]:
    """Returns the document of a run in `runs --json`; for a run whose files cannot be read, the problem."""
    from drilldown.runs.folder import DAMAGED, RunFolder

    run = RunFolder(path)
    try:
        summary = run.summary
        return {**(summary.to_json() if summary else {}), "path": str(path), "status": run.status}
    except DrilldownError as error:
        return {"path": str(path), "status": DAMAGED, "problem": str(error)}


def verdict(
    subject: Annotated[str, typer.Argument(metavar="RUN|EXPERIMENT", help="A run, or all runs of an experiment.")],
    overrides: Overrides = [],  # noqa: B006
    runs: RunsOption = RUNS_DIR,
    as_json: JsonOption = False,
) -> None:
    """Print the verdict; exit code 3 if the budget is not met.

    Judge a run, or all runs of an experiment: then four of five seeds must meet the budget.
    """
    from drilldown.runs.finding import is_run

    if subject == "last" or is_run(Path(subject)):
        met = _run_verdict(subject, overrides, runs, as_json=as_json)
    else:
        met = _experiment_verdict(subject, overrides, runs, as_json=as_json)
    if not met:
        raise typer.Exit(BUDGET_NOT_MET)


def _run_verdict(subject: str, overrides: list[str], runs_dir: Path, *, as_json: bool) -> bool:
    from drilldown.analysis.documents import interval_document, run_document
    from drilldown.runs.finding import find_run, rebudget
    from drilldown.runs.folder import DIVERGED, FINISHED, RUNNING
    from drilldown.runs.interval import judged_interval
    from drilldown.terminal.console import make_console
    from drilldown.terminal.tables import print_verdict

    run = find_run(subject, runs_dir)
    status = run.status
    if status == DIVERGED:
        raise TrainingDivergedError(f"{run.path}: {run.divergence}")
    if status == RUNNING:
        raise DrilldownError(f"{run.path}: the run is still training; repeat the command when it has finished")
    if status != FINISHED:
        raise DrilldownError(f"{run.path}: the run is {status}; resume with: drilldown resume {run.path}")
    judged, interval = rebudget(run, overrides).read(), judged_interval(run)
    if as_json:
        print_json({**run_document(judged), "test_interval": interval_document(interval)})
    else:
        screen = make_console(stderr=False)
        print_verdict(screen, judged.verdict)
        if judged.summary.teacher_text:
            screen.print(judged.summary.teacher_text)
        screen.print(f"test accuracy {judged.summary.test}, 95 % interval {interval}")
    return judged.passed


def _experiment_verdict(subject: str, overrides: list[str], runs_dir: Path, *, as_json: bool) -> bool:
    from drilldown.analysis.documents import seeds_document
    from drilldown.analysis.seeds import Seeds
    from drilldown.experiment.loading import load_experiment
    from drilldown.runs.run import Run
    from drilldown.terminal.comparisons import print_seeds
    from drilldown.terminal.console import make_console

    experiment = load_experiment(subject, overrides)
    seeds = Seeds.of(experiment, runs_dir)
    rate = seeds.rate
    if rate is None:
        folder = Run.of(experiment, 0, runs_dir).path.parent
        raise DrilldownError(f"{folder}: no finished runs of {experiment.name}; train it with: drilldown run {subject}")
    if seeds.unfinished:
        print_notice(f"left out: {count_text(len(seeds.unfinished), 'unfinished run')}")
    if as_json:
        print_json(seeds_document(seeds))
    else:
        screen = make_console(stderr=False)
        print_seeds(screen, seeds)
        screen.print(f"budget {'met' if rate.met else 'not met'}: {rate}; {rate.needed} needed")
    return rate.met


def bench(
    experiment: ExperimentArgument = "under-8k",
    overrides: Overrides = [],  # noqa: B006
    data: DataOption = None,
    as_json: JsonOption = False,
    _trust: TrustOption = False,
) -> None:
    """Time an epoch against plain PyTorch pipelines.

    The pipelines take turns in one process, so changes in the machine's speed hardly affect the ratios.
    """
    from drilldown.benchmark.measure import ROUNDS, benchmark_document, measure_speed
    from drilldown.experiment.loading import load_experiment
    from drilldown.terminal.console import make_console
    from drilldown.terminal.tables import print_timings

    folders = folders_from(data)
    loaded = load_experiment(experiment, overrides)
    dataset = loaded.recipe.load_without_writers(folders.data)

    def print_epoch(number: int, name: str, seconds: float) -> None:
        print_notice(f"{f'round {number} of {ROUNDS}' if number else 'warm-up'}: {name} {seconds:.2f} s")

    benchmark = measure_speed(loaded, dataset, on_epoch=print_epoch)
    if as_json:
        print_json(benchmark_document(loaded, benchmark))
    else:
        print_timings(make_console(stderr=False), loaded, benchmark)
