"""The commands about experiment files: new, list."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from drilldown.cli.options import TrustOption
from drilldown.errors import DrilldownError, Problem


def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The experiment file to write; .toml may be left out.")],
    source: Annotated[str | None, typer.Option("--from", metavar="EXPERIMENT", help="Copy this experiment.")] = None,
    parent: Annotated[
        str | None, typer.Option("--extends", metavar="EXPERIMENT", help="Write the next step after this experiment.")
    ] = None,
    _trust: TrustOption = False,
) -> None:
    """Write a new experiment file.

    It starts with a small first network, or with a copy of another experiment, and has comments. With --extends, it is
    the next step of a study: it holds only the settings that change.
    """
    from drilldown.experiment.loading import load_experiment
    from drilldown.experiment.template import first_experiment, write_next_step, write_template
    from drilldown.files import is_utf8
    from drilldown.runs.finding import is_run
    from drilldown.runs.run import Run
    from drilldown.terminal.console import echo

    if file.name.strip(". ") and not file.suffix:
        file = file.with_suffix(".toml")
    if file.suffix != ".toml":
        reason = f'the name ends in "{file.suffix}"' if file.suffix else "the name has no ending"
        example = file.with_suffix(".toml") if file.suffix else "mine.toml"
        raise DrilldownError(Problem(file=file, found=reason, expected="a .toml file", suggestion=f"such as {example}"))
    if not is_utf8(str(file)):
        raise DrilldownError(Problem(file=file, found="the name is not UTF-8", expected="a name in UTF-8"))
    if source and parent:
        raise DrilldownError(Problem(found="--from and --extends are both given", expected="one of them"))
    if parent:
        loaded = load_experiment(parent)
        write_next_step(loaded, file)
        did = f"wrote {file}, which extends {loaded.name}; write the change into it, then"
    elif source:
        loaded = Run(Path(source)).experiment if is_run(Path(source)) else load_experiment(source)
        write_template(loaded, file)
        did = f"wrote {file}, which trains like {loaded.name}; change it, then"
    else:
        write_template(first_experiment(), file)
        did = f"wrote {file} with a small first network; train it with"
    echo(f"{did}\ndrilldown run {shlex.quote(str(file))}")


def list_experiments() -> None:
    """List studies and their steps, yours first."""
    from drilldown.experiment.studies import available_studies
    from drilldown.terminal.console import make_console
    from drilldown.terminal.study_list import print_studies

    print_studies(make_console(stderr=False), available_studies())
