"""Experiments or runs side by side: what differs, and what the difference was worth."""

from __future__ import annotations

import os
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drilldown import difference, loading
from drilldown.difference import Difference
from drilldown.effects import Effect, paired
from drilldown.errors import DrilldownError, Problem
from drilldown.experiment import Experiment
from drilldown.runs import Run, find
from drilldown.seeds import Seeds, incomparable

TO_LOOK = 5
"""Seeds: one is an anecdote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """One experiment against the first."""

    difference: Difference
    ingredients: tuple[str, ...]
    accuracy: Effect | None
    """In points, of the mean of the last epochs; this one minus the first, paired by seed."""
    loss: Effect | None
    """In nats, likewise."""
    why_not: str | None
    """Why there is no effect, where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One of those that are compared."""

    letter: str
    reference: str
    """As it was given."""
    seeds: Seeds
    against: Against | None
    """None for the first."""
    missing: str | None
    """The command that would make its figures firmer."""

    @property
    def experiment(self) -> Experiment:
        """What was, or would be, trained."""
        return self.seeds.experiment


def compare(references: Sequence[str], root: Path) -> list[Subject]:
    """Reads experiments and runs, and sets each against the first.

    *Arguments*: `references`: experiments, by name or file, which stand for all of their runs under `root`; a run's
    folder, or `last`, which stands for that run; a folder of several seeds. `root`: the folder of all runs.

    *Raises* DrilldownError where there are fewer than two, or one is neither.
    """
    if len(references) < 2:
        raise DrilldownError(
            Problem(found=f"{len(references)} to compare", expected="two experiments or runs, or more")
        )
    read = [_read(reference, root) for reference in references]
    first = read[0][0]
    return [
        Subject(
            letter=_letter(index),
            reference=reference,
            seeds=seeds,
            against=_against(first, seeds) if index else None,
            missing=_missing(reference, seeds, one_run=one_run),
        )
        for index, (reference, (seeds, one_run)) in enumerate(zip(references, read, strict=True))
    ]


def _read(reference: str, root: Path) -> tuple[Seeds, bool]:
    """The runs that a reference stands for, and whether it is a single one that was named."""
    folder = Path(reference)
    if reference == "last" or os.path.isfile(folder / "experiment.toml"):
        run = find(reference, root)
        return Seeds.among(run.experiment, [run]), True
    inside = [Run(file.parent) for file in sorted(folder.glob("seed-*/experiment.toml"))] if folder.is_dir() else []
    if inside:
        return Seeds.among(inside[0].experiment, inside), False
    return Seeds.of(loading.load(reference), root), False


def _against(first: Seeds, seeds: Seeds) -> Against:
    why_not = incomparable(first, seeds)
    accuracy = loss = None
    if why_not is None:
        hold = min(first.hold, seeds.hold)
        accuracy = paired(first.accuracies(hold), seeds.accuracies(hold))
        loss = paired(first.losses(hold), seeds.losses(hold))
        if accuracy is None:
            why_not = "no seed that both have finished"
    return Against(
        difference=difference.between(first.experiment, seeds.experiment),
        ingredients=difference.ingredients(first.experiment, seeds.experiment),
        accuracy=accuracy,
        loss=loss,
        why_not=why_not,
    )


def _missing(reference: str, seeds: Seeds, *, one_run: bool) -> str | None:
    if seeds.n >= TO_LOOK:
        return None
    if one_run:
        return f"name the experiment, not one of its runs, for figures over seeds ({seeds.experiment.name})"
    if seeds.finished and os.path.isdir(reference):
        return f"train more seeds of {seeds.experiment.name}"
    return f"drilldown run {reference} --seeds {TO_LOOK}"


def _letter(index: int) -> str:
    return string.ascii_uppercase[index] if index < len(string.ascii_uppercase) else str(index + 1)
