"""The command that finds networks: search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from drilldown.cli.options import (
    CrewOption,
    DataOption,
    DeviceOption,
    EngineOption,
    ExperimentArgument,
    Overrides,
    RunsOption,
    ThreadsOption,
    TrustOption,
    WorkersOption,
    command_text,
    folders_from,
    print_notice,
    workers_options,
)
from drilldown.settings import RUNS_DIR, Compute
from drilldown.wording import count_text


def search(
    experiment: ExperimentArgument,
    candidates: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The largest number of candidates (default: 60).")
    ] = None,
    hours: Annotated[
        float | None, typer.Option(min=0.0, metavar="H", help="No new training begins after this time.")
    ] = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    data: DataOption = None,
    runs: RunsOption = RUNS_DIR,
    workers: WorkersOption = 1,
    on: CrewOption = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE.db", help="Write all candidates as an Optuna study.")
    ] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Try the same candidates for any number of workers.")
    ] = False,
    on_test: Annotated[
        bool, typer.Option("--on-test", help="Choose on the test images; the result flatters itself.")
    ] = False,
    _trust: TrustOption = False,
) -> None:
    """Find the best or the smallest network.

    Try candidates, race them over seeds, and confirm the winner on fresh seeds.

    EXPERIMENT is a search file, or any experiment: then its widths, depth, head and recipe are varied; or the folder of
    a search, which resumes it. Stop at any moment; the same command resumes.
    """
    from drilldown.report.search.writing import write_search_report
    from drilldown.search.export import check_export, export_study
    from drilldown.search.reading import read_search
    from drilldown.search.running import check_validation, run_search, search_folder
    from drilldown.search.stored import is_search_folder, read_stored_search
    from drilldown.terminal.console import make_console
    from drilldown.terminal.search import SearchDisplay, print_search
    from drilldown.workers.opening import open_pool

    compute, folders = Compute(engine=engine, device=device, threads=threads), folders_from(data, runs)
    limits = {"candidates": candidates, "hours": hours}
    own = [f"search.{name}={value}" for name, value in limits.items() if value is not None]
    stored = Path(experiment)
    if is_search_folder(stored):
        found, _ = read_stored_search(stored, [*overrides, *own])
    else:
        found = read_search(experiment, [*overrides, *own])
    check_validation(found, on_test=on_test)
    if export is not None:
        check_export(export)
    changes = [part for override in overrides for part in ("--set", override)]
    flags = [*["--deterministic"] * deterministic, *["--on-test"] * on_test]
    flags += [] if export is None else ["--export", str(export)]
    given = [part for name, value in limits.items() if value is not None for part in (f"--{name}", str(value))]
    command = ["drilldown", "search", experiment, *given, *changes, *flags, *workers_options(workers, on)]
    live = SearchDisplay(found.name)
    try:
        with open_pool(compute, folders, live, workers=workers, crew=on) as pool:
            state = run_search(found, pool, live, folders=folders, deterministic=deterministic, on_test=on_test)
    except KeyboardInterrupt:
        live.stop()
        print_notice("interrupted: every result and every finished epoch is saved")
        print_notice(f"resume with: {command_text(command, compute, folders)}")
        raise
    finally:
        live.stop()
    page = write_search_report(found, state, folders, command_text(command, compute, folders)).html
    screen = make_console(stderr=False)
    print_search(screen, found, state)
    screen.print(f"folder  {search_folder(found, folders.runs)}")
    screen.print(f"report  {page}")
    if export is not None:
        count = export_study(found, state, export)
        screen.print(f"export  {export}, {count_text(count, 'trial')}")
