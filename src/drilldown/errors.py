"""What a user did wrong, said once and well: file, place, what was found, what was expected, a suggestion."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake, as one line.

    >>> print(Problem(file=Path("my.toml"), line=7, place="recipe.epochs", found="found -1",
    ...               expected="a whole number of at least 1"))
    my.toml:7: recipe.epochs: found -1; expected a whole number of at least 1
    """

    found: str
    """What is there, as a clause: `found -1`, `unknown key "epoch"`."""
    expected: str | None = None
    """What would be right, as a noun phrase."""
    suggestion: str | None = None
    """What to do about it, as a clause of its own."""
    place: str | None = None
    """Key, layer or byte within the file."""
    file: Path | str | None = None
    line: int | None = None

    def __str__(self) -> str:
        file = None if self.file is None else f"{self.file}:{self.line}" if self.line else str(self.file)
        expected = f"expected {self.expected}" if self.expected else None
        where = ": ".join(part for part in (file, self.place) if part)
        what = "; ".join(part for part in (self.found, expected, self.suggestion) if part)
        return f"{where}: {what}" if where else what


class DrilldownError(Exception):
    """A mistake that its maker can mend. The command line prints it without a traceback.

    *Arguments*: one or more problems; a plain string is a problem without a place.

    >>> drilldown.load("under-9k")
    Traceback (most recent call last):
    drilldown.errors.DrilldownError: no experiment "under-9k"; ... did you mean "under-8k"?
    """

    exit_code = 2

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = tuple(Problem(found=p) if isinstance(p, str) else p for p in problems)
        super().__init__("\n".join(map(str, self.problems)))


class InvalidValueError(ValueError):
    """A problem as a ValueError: what a validator raises, so that all errors of a file are found at once."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class TrainingDivergedError(DrilldownError):
    """The loss stopped being a finite number.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.optimizer.lr=1e9"])
    >>> for epoch in drilldown.Training(experiment, compute=drilldown.Compute(engine="torch")):
    ...     print(epoch)
    Traceback (most recent call last):
    drilldown.errors.TrainingDivergedError: the loss is nan in epoch 1, step ... a warm-up may help
    """

    exit_code = 4


def did_you_mean(name: str, choices: Iterable[str]) -> str | None:
    """A suggestion for a misspelt name, or None where nothing is near.

    >>> did_you_mean("cnov", ["bn", "conv", "gap"])
    'did you mean "conv"?'
    """
    near = difflib.get_close_matches(name.lower(), list(choices), n=1, cutoff=0.5)
    return f'did you mean "{near[0]}"?' if near else None


def quoted(names: Iterable[str]) -> str:
    """Names as a list for a message.

    >>> quoted(["sgd", "adam"])
    '"sgd", "adam"'
    """
    return ", ".join(f'"{name}"' for name in names)
