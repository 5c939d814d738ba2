"""The command line: parse, call, print. What a command does stands in the module that it calls.

Heavy modules are imported by the commands that need them, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drilldown.errors import DrilldownError, Problem, TrainingDiverged

if TYPE_CHECKING:
    from drilldown.runs import Run
    from drilldown.worklist import Task

BUDGET_NOT_MET = 3

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ExperimentArgument = Annotated[str, typer.Argument(help="A file, study/step, or a study (its last step).")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help='A run\'s folder, or "last".')]
Overrides = Annotated[list[str], typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change a setting.")]
DataOption = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Where datasets lie.")]
RunsOption = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where runs are kept.")]
EngineOption = Annotated[str, typer.Option("--engine", help="auto, native or torch.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
ThreadsOption = Annotated[int | None, typer.Option("--threads", metavar="N", help="Of the CPU; all unless said.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
SeedsOption = Annotated[int, typer.Option("--seeds", min=1, max=1000, metavar="N", help="Seeds 0 to N-1 of each.")]
RUNS = Path("runs")
SEEDS = 5
"""One is an anecdote."""


@app.callback()
def _drilldown(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """A lab for image classifiers that are tiny on purpose."""


@app.command()
def run(
    experiment: ExperimentArgument = "under-8k",
    seed: Annotated[int | None, typer.Option(min=0, help="Train with this seed (0 unless said).")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, max=1000, metavar="N", help="Train with seeds 0 to N-1.")] = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    data: DataOption = None,
    runs: RunsOption = RUNS,
    again: Annotated[bool, typer.Option("--again", help="Repeat runs that are finished or diverged.")] = False,
) -> None:
    """Train an experiment to its verdict.

    Without a name, the flagship under-8k. A run that was interrupted goes on; one that is finished is shown.
    """
    from drilldown import display, lab, loading, screens
    from drilldown.runs import Run
    from drilldown.seeds import Seeds

    if seed is not None and seeds is not None:
        raise DrilldownError(Problem(found="--seed and --seeds are both given", expected="one of them"))
    _check_data_folder(data)
    loaded = loading.load(experiment, overrides)
    screen = display.console(stderr=False)
    chosen = range(seeds) if seeds else [seed or 0]
    for number in chosen:
        live = display.LiveDisplay()
        place = Run.of(loaded, number, runs)
        try:
            finished = lab.perform(
                loaded,
                seed=number,
                runs=runs,
                data_folder=data,
                engine=engine,
                device=device,
                threads=threads,
                again=again,
                observer=live,
            )
        except TrainingDiverged as error:
            live.stop()
            if len(chosen) == 1:
                raise
            _say(str(error))  # counts as a failure, and the other seeds go on
            continue
        except KeyboardInterrupt:
            live.stop()
            _say(_how_to_go_on(place, data_folder=data, engine=engine, device=device, threads=threads))
            raise
        finally:
            live.stop()
        pages = [finished.path / name for name in ("report.html", "report.md")]
        if again or (finished.has_model and not all(page.is_file() for page in pages)):
            from drilldown import report  # brings matplotlib with it: not before it is needed

            report.write(finished, data)
        display.print_result(screen, finished)
    if len(chosen) > 1:
        together = Seeds.among(loaded, [Run.of(loaded, number, runs) for number in chosen])
        screens.print_seeds(screen, together)
        screen.print(f"budget met: {together.rate}")
        if not together.finished:
            raise typer.Exit(TrainingDiverged.exit_code)


@app.command()
def resume(
    run: RunArgument,
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    data: DataOption = None,
    runs: RunsOption = RUNS,
) -> None:
    """Go on with an interrupted run.

    It ends with the result it would have had.
    """
    from drilldown import display, lab, report
    from drilldown.runs import find

    _check_data_folder(data)
    interrupted = find(run, runs)
    live = display.LiveDisplay()
    try:
        finished = lab.resume(
            interrupted, data_folder=data, engine=engine, device=device, threads=threads, observer=live
        )
    except KeyboardInterrupt:
        live.stop()
        _say(_how_to_go_on(interrupted, data_folder=data, engine=engine, device=device, threads=threads))
        raise
    finally:
        live.stop()
    report.write(finished, data)
    display.print_result(display.console(stderr=False), finished)


@app.command()
def study(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A study's name, or a folder of experiments.")],
    seeds: SeedsOption = SEEDS,
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    data: DataOption = None,
    runs: RunsOption = RUNS,
) -> None:
    """Run what a study still lacks, and report on it.

    It says first what is to do and about how long it takes. Stopped at any moment, it goes on where it was.
    """
    from drilldown import display, loading, screens, studies, worklist
    from drilldown.report import study as reports

    _check_data_folder(data)
    chosen = studies.find_study(study)
    experiments = [loading.read(file) for file in chosen.steps]
    command = ["drilldown", "study", study, "--seeds", str(seeds)]
    _carry_out(
        worklist.tasks(experiments, seeds, runs), chosen.name, command, runs=runs, data_folder=data, engine=engine,
        device=device, threads=threads,
    )  # fmt: skip
    evidence = reports.gather(chosen, runs, shlex.join(command))
    page = reports.write(evidence, data).html
    screen = display.console(stderr=False)
    screens.print_study(screen, evidence)
    screen.print(f"report  {page}")


@app.command()
def summary(experiment: ExperimentArgument, overrides: Overrides = [], as_json: JsonOption = False) -> None:  # noqa: B006
    """Show an experiment's layer table.

    Shapes, parameters, multiply-adds, receptive field ("sees"), and memory.
    """
    from drilldown import display, loading

    loaded = loading.load(experiment, overrides)
    if as_json:
        _print_json(loaded.anatomy.to_json())
    else:
        display.print_anatomy(display.console(stderr=False), loaded)


@app.command()
def report(
    subject: Annotated[str, typer.Argument(metavar="RUN|STUDY", help='A run\'s folder, "last", or a study.')],
    data: DataOption = None,
    runs: RunsOption = RUNS,
) -> None:
    """Write report.html and report.md.

    Of a run or a study; the first is one file with everything in it, the second has its figures beside it. Prints where
    the first lies.
    """
    from drilldown import report as reports
    from drilldown import studies
    from drilldown.report import study as study_reports
    from drilldown.runs import find

    _check_data_folder(data)
    folder = Path(subject)
    if study_reports.is_folder_of_runs(folder):
        typer.echo(study_reports.write(study_reports.gather(folder, folder.parent), data).html)
    elif subject == "last" or (os.path.isdir(folder) and not any(folder.glob("*.toml"))) or _is_run(folder):
        typer.echo(reports.write(find(subject, runs), data).html)
    else:
        evidence = study_reports.gather(studies.find_study(subject), runs, f"drilldown study {subject}")
        typer.echo(study_reports.write(evidence, data).html)


@app.command()
def compare(
    subjects: Annotated[list[str], typer.Argument(metavar="A B...", help="Experiments or runs, two or more.")],
    runs: RunsOption = RUNS,
) -> None:
    """Set experiments or runs side by side.

    What differs from the first, and what the difference was worth over the seeds that both have.
    """
    from drilldown import comparison, display, screens

    found = comparison.compare(*subjects, runs=runs)
    screens.print_comparison(display.console(stderr=False), found)
    for subject in found:
        if subject.missing:
            seeds = f"{subject.seeds.n} seed{'s' if subject.seeds.n != 1 else ''}"
            _say(f"{subject.letter} has {seeds}; for more: {subject.missing}")


@app.command()
def ablate(
    experiment: ExperimentArgument,
    seeds: SeedsOption = SEEDS,
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    data: DataOption = None,
    runs: RunsOption = RUNS,
) -> None:
    """Take one ingredient at a time out of a recipe.

    Trains what is still missing of the experiment and of each variation, then shows what was lost.
    """
    from drilldown import ablation, display, loading, screens, worklist
    from drilldown.report import ablation as reports
    from drilldown.seeds import Seeds

    _check_data_folder(data)
    full = loading.load(experiment)
    found, _ = ablation.variations(full)
    if not found:
        raise DrilldownError(f"{full.name}: there is no ingredient that could be taken out")
    experiments = [full, *(variation.experiment for variation in found)]
    _carry_out(
        worklist.tasks(experiments, seeds, runs), full.name, ["drilldown", "ablate", experiment, "--seeds", str(seeds)],
        runs=runs, data_folder=data, engine=engine, device=device, threads=threads,
    )  # fmt: skip
    result = ablation.gather(Seeds.of(full, runs), runs)
    page = reports.write(result, runs)
    screen = display.console(stderr=False)
    screens.print_ablation(screen, result, reports.sentences(result))
    screen.print(f"report  {page}")


@app.command(name="runs")
def list_runs(runs: RunsOption = RUNS, as_json: JsonOption = False) -> None:
    """List the runs on disk, newest first."""
    from drilldown import display
    from drilldown.runs import all_runs

    if runs != RUNS and not os.path.isdir(runs):
        found = "is no folder" if os.path.exists(runs) else "no such folder"
        raise DrilldownError(Problem(file=runs, found=found, expected="the folder that --runs names"))
    listed = all_runs(runs)
    if as_json:
        _print_json([_run_document(run) for run in listed])
    elif listed:
        for problem in display.print_runs(display.console(stderr=False), listed):
            _say(str(problem))
    else:
        _say(f"no runs in {runs} yet; drilldown run trains the first")


@app.command()
def verdict(
    subject: Annotated[str, typer.Argument(metavar="RUN|EXPERIMENT", help="A run, or all runs of an experiment.")],
    overrides: Overrides = [],  # noqa: B006
    runs: RunsOption = RUNS,
) -> None:
    """Print the verdict; exit 3 if it is no.

    On a run, or on all runs of an experiment: then four in five of its seeds must meet the budget.
    """
    from drilldown import display, loading, screens
    from drilldown.runs import DIVERGED, RUNNING, Run, find
    from drilldown.seeds import Seeds

    screen = display.console(stderr=False)
    if subject == "last" or _is_run(Path(subject)):
        if overrides:
            raise DrilldownError(Problem(place="--set", found=f"{subject} is a run", expected="an experiment"))
        one = find(subject, runs)
        if one.status == DIVERGED:
            raise TrainingDiverged(f"{one.path}: {one.divergence}")
        found = one.verdict
        if found is None and one.status == RUNNING:
            raise DrilldownError(f"{one.path}: the run is being trained; ask again when it has ended")
        if found is None:
            raise DrilldownError(f"{one.path}: the run is {one.status}; go on with: drilldown resume {one.path}")
        display.print_verdict(screen, found)
        met = found.passed
    else:
        experiment = loading.load(subject, overrides)
        seeds = Seeds.of(experiment, runs)
        rate = seeds.rate
        if rate is None:
            folder = Run.of(experiment, 0, runs).path.parent
            raise DrilldownError(
                f"{folder}: no finished runs of {experiment.name}; train it with drilldown run {subject}"
            )
        screens.print_seeds(screen, seeds)
        if seeds.unfinished:
            _say(f"left out: {len(seeds.unfinished)} unfinished")
        screen.print(f"budget {'met' if rate.met else 'not met'}: {rate}; {rate.needed} needed")
        met = rate.met
    if not met:
        raise typer.Exit(BUDGET_NOT_MET)


@app.command()
def predict(
    run: RunArgument,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Picture files, one digit each.")],
    runs: RunsOption = RUNS,
) -> None:
    """Classify pictures, prepared as MNIST's digits were."""
    import torch

    from drilldown import display, prepare
    from drilldown.runs import find

    found = find(run, runs)
    found.check_finished()
    (_, height, width), _ = found.experiment.image
    prepared: dict[Path, torch.Tensor] = {}
    problems: list[Problem] = []
    for file in dict.fromkeys(images):  # each once, in the order given
        try:
            prepared[file] = prepare.read(file, height, width)
        except DrilldownError as error:  # does not keep the others from being read
            problems += error.problems
    if prepared:
        scores = found.predict(torch.stack([*prepared.values()]))
        display.print_predictions(display.console(stderr=False), [*prepared], scores)
    if problems:
        raise DrilldownError(*problems)


@app.command()
def data(
    name: Annotated[
        str, typer.Argument(help="mnist, fashion-mnist, kmnist, glyphs or a folder of IDX files.")
    ] = "mnist",
    preview: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw samples of each class.")] = None,
    folder: DataOption = None,
) -> None:
    """Fetch, verify and describe a dataset."""
    from drilldown import data as datasets
    from drilldown import display, files
    from drilldown.report import figures

    _check_data_folder(folder)
    live = display.LiveDisplay()
    try:
        dataset = datasets.load(name, folder, progress=live.fetching)
    finally:
        live.stop()
    display.print_dataset(display.console(stderr=False), dataset)
    if preview is not None:
        with files.writing(preview):
            preview.write_bytes(figures.png(figures.classes(dataset)))
        typer.echo(f"samples drawn to {preview}")


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The experiment file to write.")],
    source: Annotated[str, typer.Option("--from", metavar="EXPERIMENT", help="What to start from.")] = "under-8k",
) -> None:
    """Start an experiment of your own.

    A copy of another one, with comments, to be changed.
    """
    from drilldown import loading, starter
    from drilldown.runs import Run

    if file.suffix != ".toml":
        found = f'the name ends in "{file.suffix}"' if file.suffix else "the name has no ending"
        better = file.with_suffix(".toml") if file.name.strip(". ") else "mine.toml"
        raise DrilldownError(Problem(file=file, found=found, expected="a .toml file", suggestion=f"such as {better}"))
    loaded = Run(Path(source)).experiment if _is_run(Path(source)) else loading.load(source)
    starter.write(loaded, file)
    typer.echo(f"wrote {file}, which trains as {loaded.name} does; change it, then\ndrilldown run {_quoted(file)}")


@app.command()
def bench(
    experiment: ExperimentArgument = "under-8k",
    overrides: Overrides = [],  # noqa: B006
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time an epoch against plain pipelines.

    Ratios of epochs that alternate within one run, so that they hold where the machine's speed drifts.
    """
    from drilldown import bench as benchmark
    from drilldown import data as datasets
    from drilldown import display, loading

    _check_data_folder(data)
    loaded = loading.load(experiment, overrides)
    dataset = datasets.load(loaded.recipe.dataset, data)

    def say(number: int, name: str, seconds: float) -> None:
        _say(f"{'warm-up' if not number else f'round {number} of {benchmark.ROUNDS}'}: {name} {seconds:.2f} s")

    timings = benchmark.measure(loaded, dataset, report=say)
    if as_json:
        _print_json(benchmark.document(loaded, timings))
    else:
        display.print_timings(display.console(stderr=False), loaded, timings)


def _carry_out(tasks: list[Task], name: str, command: list[str], *, runs: Path, **options: Any) -> None:
    """Trains what is to do, shown on standard error; `command`, with the options, goes on where it is interrupted."""
    from drilldown import screens, worklist

    live = screens.WorklistDisplay(name)
    plan = worklist.plan(tasks, options["engine"])
    live.planned(plan)
    try:
        worklist.carry_out(plan, live, **options)
    except KeyboardInterrupt:
        live.stop()
        done = sum(task.done for task in tasks)
        _say(f"interrupted: {done} of {len(tasks)} runs are there, and every epoch that was done is saved")
        _say(f"go on with: {_with_options(command, runs=runs, **options)}")
        raise
    finally:
        live.stop()


def _is_run(folder: Path) -> bool:
    return os.path.isfile(folder / "experiment.toml")  # Path's own raises where a name is too long


def _how_to_go_on(run: Run, **options: Any) -> str:
    if not run.path.exists():
        return "interrupted before training began; nothing was written"
    done = len(run.epochs)
    saved = f"{done} epochs are saved" if done != 1 else "1 epoch is saved"
    command = _with_options(["drilldown", "resume", str(run.path)], **options)
    return f"interrupted: {saved}, the one under way will be repeated\ngo on with: {command}"


def _with_options(
    command: list[str], *, runs: Path = RUNS, data_folder: Path | None = None, **options: str | int | None
) -> str:
    """A command to copy, with the options that were given and are no defaults."""
    given: dict[str, Path | str | int | None] = {"runs": None if runs == RUNS else runs, "data": data_folder, **options}
    for name, value in given.items():
        if value not in (None, "auto"):
            command = [*command, f"--{name}", str(value)]
    return shlex.join(command)


def _check_data_folder(folder: Path | None) -> None:
    if folder is not None and not os.path.isdir(folder):  # Path's own raises where a name is too long
        raise DrilldownError(Problem(file=folder, found="no such folder", expected="the folder that --data names"))


def _run_document(run: Run) -> dict[str, Any]:
    """What `runs --json` says of a run, and of one whose files cannot be read."""
    from drilldown.runs import DAMAGED

    try:
        return {**run.summary, "path": str(run.path), "status": run.status}
    except DrilldownError as error:
        return {"path": str(run.path), "status": DAMAGED, "problem": str(error)}


def _quoted(file: Path) -> str:
    """A path as it is written in a command."""
    return shlex.quote(str(file))


def _say(text: str) -> None:
    """A notice, on standard error."""
    typer.echo(text, err=True)


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
