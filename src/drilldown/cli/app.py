"""The command line: parse, call, print. The modules that a command calls do its work.

Commands import slow modules only when they run, so that `--help` answers at once.
"""

from __future__ import annotations

from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from drilldown.cli import audit, crew, data, export, inspect, lr, new, run, search, study, teach
from drilldown.data.progress import show_reading


class _Commands(TyperGroup):
    """The commands; the name of one of them has two words."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command by the first word, or by the first two."""
        two = " ".join(args[:2])
        return super().resolve_command(ctx, [two, *args[2:]] if two in self.commands else args)


app = typer.Typer(
    cls=_Commands,
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
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,  # noqa: ARG001 - read by __main__.py
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A lab for image classifiers that are tiny on purpose."""
    show_reading(_show_reading)


def _show_reading(what: str, done: int, total: int) -> None:
    """Shows that a dataset is read, which can happen in each command."""
    from drilldown.terminal.reading import show

    show(what, done, total)


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
app.command()(export.export)
app.command()(teach.teach)
app.command()(data.predict)
app.command()(data.data)
app.command(name="data convert")(data.convert)
app.command()(new.new)
app.command(name="list")(new.list_experiments)
app.command()(inspect.bench)
app.command()(crew.crew)
app.command()(crew.worker)
