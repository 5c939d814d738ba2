"""The command that exports a finished run to ONNX and C."""

from __future__ import annotations

from typing import Annotated

import typer

from drilldown.cli.options import (
    BUDGET_NOT_MET,
    DataOption,
    JsonOption,
    RunArgument,
    RunsOption,
    TrustOption,
    folders_from,
    print_json,
    print_notice,
)
from drilldown.export.names import ScheduleName
from drilldown.settings import RUNS_DIR


def export(
    run: RunArgument,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="FORMATS", help="onnx, onnx-int8, c, c-int8, with commas (default: all)."),
    ] = None,
    schedule: Annotated[
        ScheduleName,
        typer.Option(
            "--schedule", help="C: rows needs little memory, tight the least, layers keeps whole feature maps."
        ),
    ] = "rows",
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="TARGETS",
            help="Measure the int8 code for cortex-m0, cortex-m3, cortex-m4, cortex-m7, riscv32, avr or host.",
        ),
    ] = None,
    flash: Annotated[
        str | None,
        typer.Option("--flash", metavar="SIZE", help="Limit of code and constants on each target, such as 16k."),
    ] = None,
    ram: Annotated[
        str | None,
        typer.Option("--ram", metavar="SIZE", help="Limit of struct net and stack on each target, such as 4k."),
    ] = None,
    data: DataOption = None,
    runs: RunsOption = RUNS_DIR,
    as_json: JsonOption = False,
    _trust: TrustOption = False,
) -> None:
    """Export a run to ONNX and C.

    Write the files to export/ in the run's folder. Each file is judged on all test images first; exit code 3 if one
    fails its check, which is then not written, or if the int8 code exceeds a limit on a target.
    """
    from drilldown.export.exporting import export_run
    from drilldown.export.formats import parse_formats
    from drilldown.export.targets.catalogue import parse_targets
    from drilldown.export.targets.limits import Limits, parse_size
    from drilldown.runs.finding import find_run
    from drilldown.runs.folder import EXPORT
    from drilldown.terminal.console import make_console
    from drilldown.terminal.exports import print_export

    folders = folders_from(data, runs)
    formats = None if to is None else parse_formats(to)
    targets = parse_targets(target or [])
    limits = Limits(
        flash=None if flash is None else parse_size(flash, "--flash"),
        ram=None if ram is None else parse_size(ram, "--ram"),
    )
    found = find_run(run, folders.runs)
    exported = export_run(found, formats, schedule, folders.data, targets, limits, on_step=print_notice)
    if as_json:
        print_json({**exported.to_json(), "path": str(found.path / EXPORT)})
    else:
        print_export(make_console(stderr=False), exported)
        print_notice(f"stored in {found.path / EXPORT}; to show it in the report: drilldown report {found.path}")
    if not exported.passed:
        raise typer.Exit(BUDGET_NOT_MET)
