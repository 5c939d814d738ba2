"""The list of studies and steps; it reads only titles, so that it answers at once."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from drilldown.experiment.studies import Study
from drilldown.terminal.console import print_rows

UNREADABLE = "cannot be read; try drilldown summary"


def print_studies(target: Console, studies: Sequence[Study]) -> None:
    """Prints the steps of each study with their titles."""
    for index, study in enumerate(studies):
        if index:
            target.print()
        place = "part of drilldown" if study.is_shipped else f"in {study.path.resolve()}"
        target.print(Text.assemble((study.name, "bold"), f"  {place}"))
        rows = [(f"{study.name}/{step.stem}", _title(step)) for step in study.steps]
        print_rows(target, ("experiment", "title"), rows)


def _title(file: Path) -> str:
    if not file.is_file():  # reading a pipe would wait for ever
        return UNREADABLE
    try:
        return str(tomllib.loads(file.read_text("utf-8-sig")).get("title", "no title"))
    except (OSError, ValueError, RecursionError):
        return UNREADABLE
