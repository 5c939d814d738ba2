"""The command that evaluates finished runs on images that nobody could choose on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drilldown.cli.options import (
    DataOption,
    JsonOption,
    Overrides,
    RunsOption,
    TrustOption,
    folders_from,
    print_json,
    print_notice,
)
from drilldown.errors import DrilldownError, Problem
from drilldown.settings import RUNS_DIR
from drilldown.wording import count_text

if TYPE_CHECKING:
    from drilldown.runs.run import Run


def audit(
    subject: Annotated[
        str, typer.Argument(metavar="RUN|EXPERIMENT", help="A run on mnist, or all finished runs of an experiment.")
    ],
    overrides: Overrides = [],  # noqa: B006
    data: DataOption = None,
    runs: RunsOption = RUNS_DIR,
    as_json: JsonOption = False,
    _trust: TrustOption = False,
) -> None:
    """Evaluate a run on QMNIST's 50,000 further test images.

    Say how its accuracy on MNIST's test images compares. The result is stored in the run's folder. Never choose by an
    audit: images that decide are no longer an audit set.
    """
    from drilldown.analysis.audits import audit_seeds
    from drilldown.analysis.documents import audit_document, audited_seeds_document
    from drilldown.runs.audit import audit_run
    from drilldown.runs.finding import find_run, is_run
    from drilldown.terminal.audits import print_audit, print_audited_seeds
    from drilldown.terminal.console import make_console
    from drilldown.terminal.live import LiveDisplay

    folders, live, screen = folders_from(data, runs), LiveDisplay(as_json=as_json), make_console(stderr=False)
    if subject == "last" or is_run(Path(subject)):
        run = find_run(subject, folders.runs)
        if overrides:
            found = "--set is given with a run"
            raise DrilldownError(Problem(found=found, expected="no --set; it chooses among an experiment's variants"))
        try:
            audited = audit_run(run, folders.data, on_download=live.on_download)
        finally:
            live.stop()
        if as_json:
            print_json(audit_document(audited))
        else:
            print_audit(screen, audited)
            print_notice(f"stored in {run.path}; to show it in the report: drilldown report {run.path}")
        return
    finished = _finished_runs(subject, overrides, folders.runs)
    try:
        seeds = audit_seeds(finished, folders.data, on_download=live.on_download)
    finally:
        live.stop()
    if as_json:
        print_json(audited_seeds_document(seeds))
    else:
        print_audited_seeds(screen, seeds)


def _finished_runs(subject: str, overrides: list[str], runs_dir: Path) -> list[Run]:
    """Finds the finished runs of an experiment; raises DrilldownError where there are none."""
    from drilldown.experiment.loading import load_experiment
    from drilldown.runs.folder import FINISHED
    from drilldown.runs.run import Run

    experiment = load_experiment(subject, overrides)
    found = Run.all_of(experiment, runs_dir)
    finished = [run for run in found if run.status == FINISHED]
    if not finished:
        folder = Run.of(experiment, 0, runs_dir).path.parent
        raise DrilldownError(f"{folder}: no finished runs of {experiment.name}; train it with: drilldown run {subject}")
    if len(finished) < len(found):
        print_notice(f"left out: {count_text(len(found) - len(finished), 'run')} without a model")
    return finished
