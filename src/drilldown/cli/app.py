"""The command line: parse, call, print. The modules that a command calls do its work.

Commands import slow modules only when they run, so that `--help` answers at once.
"""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from drilldown.cli import audit, crew, data, inspect, lr, new, run, search, study

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"drilldown {metadata.version('drilldown')}")
        raise typer.Exit


@app.callback()
def _drilldown(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,  # read by __main__.py
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A lab for image classifiers that are tiny on purpose."""


app.command()(run.run)
app.command()(run.resume)
app.command()(lr.lr)
app.command()(study.study)
app.command()(inspect.summary)
app.command()(inspect.report)
app.command()(inspect.compare)
app.command()(study.ablate)
app.command()(search.search)
app.command(name="runs")(inspect.list_runs)
app.command()(inspect.verdict)
app.command()(audit.audit)
app.command()(data.predict)
app.command()(data.data)
app.command()(new.new)
app.command(name="list")(new.list_experiments)
app.command()(inspect.bench)
app.command()(crew.crew)
app.command()(crew.worker)
