"""The arguments and options that several commands share."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from drilldown.errors import DrilldownError, Problem
from drilldown.settings import RUNS_DIR, Compute, DeviceName, EngineName, Folders

BUDGET_NOT_MET = 3
"""The exit code of `verdict` and `run --check` where the budget is not met, and of `export` where a check fails."""
AUTO_WORKERS = 0
"""`--workers auto`."""
MOST_WORKERS = 256


def _worker_count(value: str | int) -> int:
    """Reads the value of `--workers`; a command's default comes as a number."""
    if isinstance(value, int):
        return value
    text = value
    if text == "auto":
        return AUTO_WORKERS
    if text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_WORKERS:
        return int(text)
    raise DrilldownError(
        Problem(place="--workers", found=f'found "{text}"', expected=f'a number from 1 to {MOST_WORKERS}, or "auto"')
    )


ExperimentArgument = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help="A file, study/step, or a study (its last step).")
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help='A run\'s folder, or "last".')]
Overrides = Annotated[list[str], typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change a setting; repeatable.")]
DataOption = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="First folder to search for datasets.")]
RunsOption = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Folder of all runs.")]
EngineOption = Annotated[EngineName, typer.Option("--engine", help="Training engine.")]
DeviceOption = Annotated[DeviceName, typer.Option("--device", help="Training device.")]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", metavar="N", help="CPU threads (default: all; PyTorch: measured).")
]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers", metavar="N", parser=_worker_count,
        help='Train N runs at once, each in a process of its own; "auto": one per core or GPU.',
    ),
]  # fmt: skip
CrewOption = Annotated[
    Path | None, typer.Option("--on", metavar="FILE", help="Train on the machines of the crew with this file.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Try everything with two batches, in seconds; keep nothing.")
]


def _tracker_name(value: str) -> str:
    """Checks a value of `--track`."""
    from drilldown.tracking.tracker import check_trackers

    return check_trackers([value], "--track")[0]


TrackOption = Annotated[
    list[str],
    typer.Option(
        "--track", metavar="TRACKER", parser=_tracker_name,
        help="Mirror the runs in a tracker: tensorboard, mlflow or wandb; repeatable.",
    ),
]  # fmt: skip
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print a table for spreadsheets on standard output.")]
SeedsOption = Annotated[
    int, typer.Option("--seeds", min=1, max=1000, metavar="N", help="Train each experiment with seeds 0 to N-1.")
]


def _trust(given: bool) -> None:
    if given:
        from drilldown.trust import trust_all

        trust_all()


TrustOption = Annotated[
    bool, typer.Option("--trust", callback=_trust, help="Execute model.py of runs from other machines.")
]

DEFAULT_SEEDS = 5
"""The number of seeds for a study or an ablation; one seed is an anecdote."""


def folders_from(data: Path | None, runs: Path = RUNS_DIR) -> Folders:
    """Returns the folders that the options name; raises DrilldownError where the folder of datasets does not exist."""
    if data is not None and not os.path.isdir(data):  # Path.is_dir raises where a name is too long
        raise DrilldownError(Problem(file=data, found="no such folder", expected="the folder that --data names"))
    return Folders(data=data, runs=runs)


def command_text(command: list[str], compute: Compute, folders: Folders) -> str:
    """Returns a command to copy, with the options that differ from their defaults."""
    options = {
        "runs": None if folders.runs == RUNS_DIR else folders.runs,
        "data": folders.data,
        "engine": None if compute.engine == "auto" else compute.engine,
        "device": None if compute.device == "auto" else compute.device,
        "threads": compute.threads,
    }
    given = [part for name, value in options.items() if value is not None for part in (f"--{name}", str(value))]
    return shlex.join([*command, *given])


def workers_options(workers: int, crew: Path | None) -> list[str]:
    """Returns the options that give these workers; empty for one on this machine."""
    if crew is not None:
        return ["--on", str(crew)]
    return [] if workers == 1 else ["--workers", str(workers) if workers else "auto"]


def track_options(track: Sequence[str]) -> list[str]:
    """Returns the options that name these trackers."""
    return [part for name in track for part in ("--track", name)]


def check_one_format(*, as_json: bool, as_csv: bool) -> None:
    """Raises DrilldownError where two formats are asked for."""
    if as_json and as_csv:
        raise DrilldownError(Problem(found="--json and --csv are both given", expected="one of them"))


def check_dry_run(*, dry_run: bool, as_json: bool, as_csv: bool = False) -> None:
    """Raises DrilldownError where figures are asked for that a dry run does not have."""
    if dry_run and (as_json or as_csv):
        given = "--json" if as_json else "--csv"
        raise DrilldownError(Problem(found=f"--dry-run and {given} are both given", expected="one of them"))


def print_notice(text: str) -> None:
    """Prints to standard error."""
    from drilldown.terminal.console import echo

    echo(text, stderr=True)


def print_json(document: Any) -> None:
    """Prints a JSON document to standard output."""
    from drilldown.terminal.console import echo

    echo(json.dumps(document, indent=2, ensure_ascii=False))
