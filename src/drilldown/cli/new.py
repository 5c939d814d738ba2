"""The command that writes an experiment file: new."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from drilldown.cli.options import TrustOption
from drilldown.errors import DrilldownError, Problem


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
