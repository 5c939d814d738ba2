"""Experiments or runs side by side: their differences, and the effects."""

from __future__ import annotations

import os
import shlex
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from drilldown.analysis.seeds import Seeds, measure_effect, why_incomparable
from drilldown.errors import DrilldownError, Problem, check_argument
from drilldown.evaluation.effects import Effect
from drilldown.experiment.difference import Difference, changed_components, find_difference
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import load_experiment
from drilldown.runs.finding import find_run
from drilldown.runs.run import Run
from drilldown.settings import RUNS_DIR
from drilldown.shown import Shown

SEEDS_TO_COMPARE = 5
"""The number of seeds that a comparison suggests; one seed is an anecdote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One experiment, compared with the first."""

    difference: Difference
    components: tuple[str, ...]
    accuracy: Effect | None
    """This experiment minus the first, in points of the mean of the last epochs, paired by seed."""
    loss: Effect | None
    """This experiment minus the first, in nats of the mean of the last epochs, paired by seed."""
    why_not: str | None
    """The reason where there is no effect."""

    @property
    def effect_lines(self) -> tuple[str, ...]:
        """The effect of the difference, in lines."""
        if self.accuracy is None or self.loss is None:
            return (f"effect: unknown, {self.why_not}",)
        lines = (
            f"accuracy {self.accuracy.text(3)} points: {self.accuracy.verdict()}",
            f"loss     {self.loss.text(4)} nats: {self.loss.verdict()}",
        )
        if self.accuracy.has_interval:
            return (*lines, f"paired by seed, n = {self.accuracy.n}, 95 % t intervals")
        return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One of the experiments or runs that are compared."""

    letter: str
    reference: str
    """The reference as the user gave it; for an object, the name of its folder."""
    seeds: Seeds
    against: Contrast | None
    """None for the first."""
    missing: str | None
    """The command that would add seeds."""

    @property
    def experiment(self) -> Experiment:
        """The experiment that was, or would be, trained."""
        return self.seeds.experiment


@dataclass(frozen=True, slots=True)
class Comparison(Shown, Sequence[Subject]):
    """Experiments and runs side by side, each compared with the first."""

    subjects: tuple[Subject, ...]

    def __len__(self) -> int:
        return len(self.subjects)

    @overload
    def __getitem__(self, index: int) -> Subject: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Subject]: ...
    def __getitem__(self, index: int | slice) -> Subject | Sequence[Subject]:
        return self.subjects[index]

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(subject.reference for subject in self)}>"


def compare(*references: str | Path | Experiment | Run, runs_dir: Path | str = RUNS_DIR) -> Comparison:
    """Compares experiments and runs with the first of them.

    *Arguments*: `references`: an experiment (an object, a name or a file) means all of its runs under `runs_dir`; a
    run, its folder, or `last` means that run; a folder of several seeds means these runs. `runs_dir`: the folder of all
    runs.

    *Raises* DrilldownError where there are fewer than two references, or one is neither an experiment nor a run.

    >>> compare("eva5-s5/05", "eva5-s5/06")[1].against.components
    ('dropout',)
    """
    if len(references) < 2:
        raise DrilldownError(
            Problem(
                found=f"only {_reference_text(references[0])} to compare" if references else "nothing to compare",
                expected="two or more experiments or runs, as in drilldown compare eva5-s5/05 eva5-s5/06",
            )
        )
    read = [_read_seeds(reference, Path(runs_dir)) for reference in references]
    first = read[0][0]
    return Comparison(
        tuple(
            Subject(
                letter=_letter(index),
                reference=_reference_text(reference),
                seeds=seeds,
                against=_contrast(first, seeds) if index else None,
                missing=_missing_command(reference, seeds, Path(runs_dir), one_run=one_run),
            )
            for index, (reference, (seeds, one_run)) in enumerate(zip(references, read, strict=True))
        )
    )


def _reference_text(reference: str | Path | Experiment | Run) -> str:
    if isinstance(reference, Run):
        return f"{reference.name}, seed {reference.seed}"
    return f"{reference.name}-{reference.fingerprint}" if isinstance(reference, Experiment) else str(reference)


def _read_seeds(reference: str | Path | Experiment | Run, runs_dir: Path) -> tuple[Seeds, bool]:
    """Returns the runs that a reference names, and whether it is a single run."""
    if isinstance(reference, Experiment):
        return Seeds.of(reference, runs_dir), False
    if isinstance(reference, Run):
        return Seeds.among(reference.experiment, [reference]), True
    check_argument("compare", reference, (str, Path), "an experiment, a run, or the path or name of one")
    folder = Path(reference)
    if reference == "last" or os.path.isfile(folder / "experiment.toml"):
        run = find_run(reference, runs_dir)
        return Seeds.among(run.experiment, [run]), True
    files = sorted(folder.glob("seed-*/experiment.toml")) if os.path.isdir(folder) else []
    inside = [Run(file.parent) for file in files]
    if inside:
        return Seeds.among(inside[0].experiment, inside), False
    return Seeds.of(load_experiment(reference), runs_dir), False


def _contrast(first: Seeds, seeds: Seeds) -> Contrast:
    why_not = why_incomparable(first, seeds)
    if why_not is None and first.finished and first.paths == seeds.paths:
        why_not = "both stand for the same runs"
    accuracy, loss = (None, None) if why_not else measure_effect(first, seeds)
    if accuracy is None:
        why_not = why_not or "no seed that both have finished"
    return Contrast(
        difference=find_difference(first.experiment, seeds.experiment),
        components=changed_components(first.experiment, seeds.experiment),
        accuracy=accuracy,
        loss=loss,
        why_not=why_not,
    )


def _missing_command(
    reference: str | Path | Experiment | Run, seeds: Seeds, runs_dir: Path, *, one_run: bool
) -> str | None:
    if seeds.n >= SEEDS_TO_COMPARE:
        return None
    if one_run and seeds.unfinished:
        return f"drilldown resume {seeds.unfinished[0].path}"
    if one_run:
        return f"name the experiment, not one of its runs, for figures over seeds ({seeds.experiment.name})"
    if isinstance(reference, Experiment | Run) or (seeds.finished and os.path.isdir(reference)):
        return f"train more seeds of {seeds.experiment.name}"
    elsewhere = f" --runs {shlex.quote(str(runs_dir))}" if runs_dir != RUNS_DIR else ""
    return f"drilldown run {shlex.quote(str(reference))} --seeds {SEEDS_TO_COMPARE}{elsewhere}"


def _letter(index: int) -> str:
    return string.ascii_uppercase[index] if index < len(string.ascii_uppercase) else str(index + 1)
