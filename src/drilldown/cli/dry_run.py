"""The option `--dry-run`: tries every experiment of a command with two batches, and the command's report."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drilldown.cli.options import print_notice
from drilldown.errors import DrilldownError, Problem
from drilldown.settings import Compute, Folders

if TYPE_CHECKING:
    from drilldown.experiment.experiment import Experiment


def try_experiments(
    experiments: Sequence[Experiment],
    write_report: Callable[[Folders], object],
    compute: Compute,
    folders: Folders,
    *,
    runs: int,
    crew: Path | None,
    seed: int = 0,
) -> None:
    """Tries experiments and their report in a temporary folder, and prints each result.

    *Arguments*: `write_report`: writes the command's report, from the runs in the folders that it is given. `runs`: the
    number of runs that the command will train. `crew`: its file is read; the machines are not asked.

    *Raises* DrilldownError at the end, with everything that would fail.
    """
    from drilldown.runs.dry_run import check_space
    from drilldown.terminal.console import echo
    from drilldown.wording import count_text, duration_text

    if crew is not None:
        from drilldown.workers.crew import read_crew  # imports Dask, which takes half a second

        read_crew(crew)
    started = time.monotonic()
    try:
        folder = tempfile.TemporaryDirectory(prefix="drilldown-", ignore_cleanup_errors=True)
    except OSError as error:
        raise DrilldownError(
            Problem(
                file=tempfile.gettempdir(),
                found=f"no temporary folder can be made ({error.strerror})",
                suggestion="name another place in the environment variable TMPDIR",
            )
        ) from None
    with folder as name:
        temporary = Folders(data=folders.data, runs=Path(name))
        failed = _try_each(experiments, temporary.runs, compute, folders, seed)
        passed = len(experiments) - len(failed)
        if passed:
            try:
                _try_report(write_report, temporary)
                needed = check_space(folders.runs, temporary.runs, runs, passed)
            except DrilldownError as error:
                failed.append(error)
    if failed:
        if len(experiments) == 1:
            raise failed[0]
        raise DrilldownError(*(problem for error in failed for problem in error.problems))
    echo(
        f"dry run passed in {duration_text(time.monotonic() - started)}; {count_text(runs, 'run')} will take about "
        f"{needed / 1e6:,.1f} MB in {folders.runs}; nothing was left there"
    )


def _try_each(
    experiments: Sequence[Experiment], temporary: Path, compute: Compute, folders: Folders, seed: int
) -> list[DrilldownError]:
    """Trains two batches of each experiment; returns the errors."""
    from drilldown.runs.callback import Callback
    from drilldown.runs.dry_run import rehearse
    from drilldown.terminal.console import echo

    class Notices(Callback):
        def on_notice(self, text: str) -> None:
            print_notice(text)

    failed = []
    for experiment in experiments:
        started = time.monotonic()
        try:
            _, training = rehearse(
                experiment, temporary, seed=seed, compute=compute, folders=folders, callback=Notices()
            )
        except DrilldownError as error:
            failed.append(error)
            echo(f"failed  {experiment.name}")
        else:
            engine = f"{training.engine.name} on {training.engine.device.type}"
            echo(f"passed  {experiment.name}: {engine}, {time.monotonic() - started:.1f} s")
    return failed


def _try_report(write_report: Callable[[Folders], object], folders: Folders) -> None:
    """Writes the report, and prints warnings, for instance about characters that no font has."""
    from drilldown.terminal.console import echo

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        write_report(folders)
    echo("passed  report")
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        print_notice(f"the report has a warning: {text}")
