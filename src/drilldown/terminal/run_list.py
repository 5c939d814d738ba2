"""The list of runs; it needs no PyTorch, so that it appears at once."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from drilldown.errors import DrilldownError
from drilldown.runs.folder import DAMAGED, RunFolder
from drilldown.terminal.console import mark, print_rows
from drilldown.wording import count_text


def print_runs(target: Console, runs: Sequence[RunFolder]) -> list[DrilldownError]:
    """Prints one line per run; returns the errors of damaged runs."""
    rows, errors = [], []
    for run in runs:
        try:
            rows.append((*_run_cells(target, run), str(run.path)))
        except DrilldownError as error:
            rows.append((DAMAGED, "", "", str(run.path)))
            errors.append(error)
    print_rows(target, ("status", "result", ">last %", "run"), rows)
    return errors


def _run_cells(target: Console, run: RunFolder) -> tuple[str, str, str]:
    """Returns status, verdict and last accuracy; for an unfinished run, the number of finished epochs."""
    status, summary = run.status, run.summary
    if summary is not None:
        passed = summary.verdict.passed
        result = f"{mark(target, passed)} {'met' if passed else 'not met'}"
        if summary.teacher:
            result += ", with a teacher"
        return status, result, f"{summary.accuracy.final:.2f}"
    epochs = run.epochs
    last = f"{float(epochs[-1].test.accuracy):.2f}" if epochs else ""
    return status, count_text(len(epochs), "epoch"), last
