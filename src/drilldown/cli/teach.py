"""The command that makes a teacher of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from drilldown.cli.options import DataOption, RunsOption, TrustOption, folders_from, print_notice
from drilldown.settings import RUNS_DIR
from drilldown.wording import count_text


def teach(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help='The folders of finished runs, or "last".')],
    file: Annotated[Path, typer.Argument(metavar="FILE.npz", help="The file to write; it must not exist.")],
    temperature: Annotated[
        float, typer.Option("--temperature", metavar="T", help="Divide logits by T; above 1, classes are more equal.")
    ] = 1.0,
    data: DataOption = None,
    runs_dir: RunsOption = RUNS_DIR,
    _trust: TrustOption = False,
) -> None:
    """Make a teacher of finished runs.

    Another network can learn from it. The file has the mean of the runs' probabilities for all training images. An
    experiment learns them in place of the labels with `teacher = "FILE.npz"` in its recipe. Its reports say so, and
    what the teacher cost.
    """
    from drilldown.runs.finding import find_run
    from drilldown.runs.teach import teach as write_teacher
    from drilldown.terminal.console import echo

    folders = folders_from(data, runs_dir)
    found = [find_run(run, folders.runs) for run in runs]
    teacher = write_teacher(found, file, temperature=temperature, data_dir=folders.data)
    echo(f'wrote {file}\nruns with teacher = "{file}" will say: {teacher}')
    if teacher.held_out:
        print_notice(f"all of its runs held out the same {count_text(teacher.held_out, 'training image')}")
    else:
        print_notice("it was trained on all training images: the validation accuracy of a student flatters itself")
