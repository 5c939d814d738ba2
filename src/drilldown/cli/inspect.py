"""The commands that train no runs: they show, compare, predict and write."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from drilldown.cli.options import (
    DataOption,
    ExperimentArgument,
    JsonOption,
    Overrides,
    RunArgument,
    RunsOption,
    TrustOption,
    folders_from,
    print_json,
    print_notice,
)
from drilldown.errors import DrilldownError, Problem, TrainingDivergedError
from drilldown.settings import RUNS_DIR
from drilldown.wording import count_text

BUDGET_NOT_MET = 3
"""The exit code of `drilldown verdict` where the budget is not met."""


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


def report(
    subject: Annotated[
        str,
        typer.Argument(metavar="RUN|STUDY|SEARCH", help='The folder of a run or a search, "last", or a study.'),
    ],
    data: DataOption = None,
    runs: RunsOption = RUNS_DIR,
    _trust: TrustOption = False,
) -> None:
    """Write report.html and report.md of a run, a study or a search.

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
    _trust: TrustOption = False,
) -> None:
    """Compare experiments or runs with the first one.

    Show the difference of each from the first, and its effect over the seeds that both have.
    """
    from drilldown.analysis import comparison
    from drilldown.terminal.comparisons import print_comparison
    from drilldown.terminal.console import make_console

    compared = comparison.compare(*subjects, runs_dir=runs)
    print_comparison(make_console(stderr=False), compared)
    for subject in compared:
        if subject.missing:
            print_notice(f"{subject.letter} has {count_text(subject.seeds.n, 'seed')}; for more: {subject.missing}")


def list_runs(runs: RunsOption = RUNS_DIR, as_json: JsonOption = False) -> None:
    """List the runs on disk, newest first."""
    from drilldown.runs.folder import RunFolder, run_paths
    from drilldown.terminal.console import make_console
    from drilldown.terminal.run_list import print_runs

    if runs != RUNS_DIR and not os.path.isdir(runs):
        reason = "is not a folder" if os.path.exists(runs) else "no such folder"
        raise DrilldownError(Problem(file=runs, found=reason, expected="the folder that --runs names"))
    errors: list[DrilldownError] = []
    listed = [RunFolder(path) for path in run_paths(runs, errors.append)]
    if as_json:
        print_json([_run_document(run.path) for run in listed])
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
) -> None:
    """Print the verdict; exit code 3 if the budget is not met.

    Judge a run, or all runs of an experiment: then four of five seeds must meet the budget.
    """
    from drilldown.runs.finding import is_run

    if subject == "last" or is_run(Path(subject)):
        if overrides:
            raise DrilldownError(Problem(place="--set", found=f"{subject} is a run", expected="an experiment"))
        met = _run_verdict(subject, runs)
    else:
        met = _experiment_verdict(subject, overrides, runs)
    if not met:
        raise typer.Exit(BUDGET_NOT_MET)


def _run_verdict(subject: str, runs_dir: Path) -> bool:
    from drilldown.runs.finding import find_run
    from drilldown.runs.folder import DIVERGED, FINISHED, RUNNING
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
    verdict = run.read().verdict
    print_verdict(make_console(stderr=False), verdict)
    return verdict.passed


def _experiment_verdict(subject: str, overrides: list[str], runs_dir: Path) -> bool:
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
    screen = make_console(stderr=False)
    print_seeds(screen, seeds)
    if seeds.unfinished:
        print_notice(f"left out: {count_text(len(seeds.unfinished), 'unfinished run')}")
    screen.print(f"budget {'met' if rate.met else 'not met'}: {rate}; {rate.needed} needed")
    return rate.met


def predict(
    run: RunArgument,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Picture files, one digit each.")],
    runs: RunsOption = RUNS_DIR,
    _trust: TrustOption = False,
) -> None:
    """Classify pictures, prepared in the same way as MNIST's digits."""
    import torch

    from drilldown.data.pictures import read_picture
    from drilldown.runs.finding import find_run
    from drilldown.terminal.console import make_console
    from drilldown.terminal.tables import print_predictions

    trained = find_run(run, runs)
    trained.check_finished()
    (_, height, width), _ = trained.experiment.image
    prepared: dict[Path, torch.Tensor] = {}
    problems: list[Problem] = []
    for file in dict.fromkeys(images):  # each file once, in the given order
        try:
            prepared[file] = read_picture(file, height, width)
        except DrilldownError as error:  # the other pictures are still read
            problems += error.problems
    if prepared:
        logits = trained.predict(torch.stack([*prepared.values()]))
        print_predictions(make_console(stderr=False), [*prepared], logits)
    if problems:
        raise DrilldownError(*problems)


def data(
    name: Annotated[
        str, typer.Argument(help="mnist, fashion-mnist, kmnist, glyphs or a folder of IDX files.")
    ] = "mnist",
    preview: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw samples of each class.")] = None,
    folder: DataOption = None,
) -> None:
    """Fetch, verify and describe a dataset."""
    from drilldown.data.loading import load_dataset
    from drilldown.terminal.console import echo, make_console
    from drilldown.terminal.live import LiveDisplay
    from drilldown.terminal.tables import print_dataset

    folders = folders_from(folder)
    live = LiveDisplay()
    try:
        dataset = load_dataset(name, folders.data, on_download=live.on_download)
    finally:
        live.stop()
    print_dataset(make_console(stderr=False), dataset)
    if preview is not None:
        from drilldown.files import explain_file_errors
        from drilldown.report.pictures import figure_png
        from drilldown.report.run.figures import draw_classes

        with explain_file_errors(preview):
            preview.write_bytes(figure_png(draw_classes(dataset)))
        echo(f"wrote samples to {preview}")


def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The experiment file to write.")],
    source: Annotated[str, typer.Option("--from", metavar="EXPERIMENT", help="The experiment to copy.")] = "under-8k",
    _trust: TrustOption = False,
) -> None:
    """Write a new experiment file, a copy of another with comments."""
    from drilldown.experiment.loading import load_experiment
    from drilldown.experiment.template import write_template
    from drilldown.files import is_utf8
    from drilldown.runs.finding import is_run
    from drilldown.runs.run import Run
    from drilldown.terminal.console import echo

    if file.suffix != ".toml":
        reason = f'the name ends in "{file.suffix}"' if file.suffix else "the name has no ending"
        example = file.with_suffix(".toml") if file.name.strip(". ") else "mine.toml"
        raise DrilldownError(Problem(file=file, found=reason, expected="a .toml file", suggestion=f"such as {example}"))
    if not is_utf8(str(file)):
        raise DrilldownError(Problem(file=file, found="the name is not UTF-8", expected="a name in UTF-8"))
    loaded = Run(Path(source)).experiment if is_run(Path(source)) else load_experiment(source)
    write_template(loaded, file)
    quoted = shlex.quote(str(file))
    echo(f"wrote {file}, which trains like {loaded.name}; change it, then\ndrilldown run {quoted}")


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
    from drilldown.data.loading import load_dataset
    from drilldown.experiment.loading import load_experiment
    from drilldown.terminal.console import make_console
    from drilldown.terminal.tables import print_timings

    folders = folders_from(data)
    loaded = load_experiment(experiment, overrides)
    dataset = load_dataset(loaded.recipe.dataset, folders.data)

    def print_epoch(number: int, name: str, seconds: float) -> None:
        print_notice(f"{f'round {number} of {ROUNDS}' if number else 'warm-up'}: {name} {seconds:.2f} s")

    benchmark = measure_speed(loaded, dataset, on_epoch=print_epoch)
    if as_json:
        print_json(benchmark_document(loaded, benchmark))
    else:
        print_timings(make_console(stderr=False), loaded, benchmark)
