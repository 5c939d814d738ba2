"""Errors that the user can correct: one message with file, place, found, expected and suggestion."""

from __future__ import annotations

import difflib
import linecache
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One error in a user's input, as one line.

    >>> print(Problem(file=Path("my.toml"), line=7, place="recipe.epochs", found="found -1",
    ...               expected="a whole number of at least 1"))
    my.toml:7: recipe.epochs: found -1; expected a whole number of at least 1
    """

    found: str
    """The wrong thing, as a clause: `found -1`, `unknown key "epoch"`."""
    expected: str | None = None
    """The right thing, as a noun phrase."""
    suggestion: str | None = None
    """A way to correct it, as a clause."""
    place: str | None = None
    """The key, layer or byte within the file."""
    file: Path | str | None = None
    line: int | None = None

    def __str__(self) -> str:
        file = None if self.file is None else f"{self.file}:{self.line}" if self.line else str(self.file)
        where = ": ".join(part for part in (file, self.place) if part)
        return f"{where}: {self.message}" if where else self.message

    @property
    def message(self) -> str:
        """The line without file and place."""
        expected = f"expected {self.expected}" if self.expected else None
        return "; ".join(part for part in (self.found, expected, self.suggestion) if part)


class DrilldownError(Exception):
    """An error that the user can correct. The command line prints it without a traceback.

    *Arguments*: one or more problems; a plain string is a problem without a place.

    >>> drilldown.load("under-9k")
    Traceback (most recent call last):
    drilldown.errors.DrilldownError: no experiment "under-9k"; ... did you mean "under-8k"?
    """

    exit_code = 2

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = tuple(Problem(found=p) if isinstance(p, str) else p for p in problems)
        super().__init__("\n".join(map(str, self.problems)))

    def _render_traceback_(self) -> list[str]:
        """The lines that a notebook shows in place of a traceback: the cell's line, and the message."""
        for frame, line in traceback.walk_tb(self.__traceback__):
            if frame.f_globals.get("__name__") == "__main__":
                source = linecache.getline(frame.f_code.co_filename, line).strip()
                return [f"line {line}: {source}", f"{type(self).__name__}: {self}"]
        return [f"{type(self).__name__}: {self}"]


class InvalidValueError(ValueError):
    """A problem as a ValueError. Validators raise it, so that pydantic finds all errors of a file at once."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class CannotTrainError(DrilldownError):
    """This experiment cannot be trained here; others perhaps can, so a list of runs and a search continue with them.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.batch_size=1_000_000"])
    >>> drilldown.Training(experiment)
    Traceback (most recent call last):
    drilldown.errors.CannotTrainError: recipe.batch_size: batches of 1,000,000; expected at most ...
    """


class TrainingDivergedError(DrilldownError):
    """The loss stopped being a finite number.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.optimizer.lr=1e9"])
    >>> for epoch in drilldown.Training(experiment, compute=drilldown.Compute(engine="torch")):
    ...     print(epoch)
    Traceback (most recent call last):
    drilldown.errors.TrainingDivergedError: the loss is nan in epoch 1, step ... a warm-up may help
    """

    exit_code = 4


def check_argument(name: str, value: object, kind: type | tuple[type, ...], expected: str) -> None:
    """Checks the type of an argument that people write in a notebook.

    *Raises* DrilldownError where it is wrong.

    >>> check_argument("experiment", "under-8k", Path, "an experiment")
    Traceback (most recent call last):
    drilldown.errors.DrilldownError: experiment: found "under-8k"; expected an experiment
    """
    if not isinstance(value, kind):
        found = f'found "{value}"' if isinstance(value, str) else f"found an object of the class {type(value).__name__}"
        raise DrilldownError(Problem(place=name, found=found, expected=expected))


def did_you_mean(name: str, choices: Iterable[str]) -> str | None:
    """A suggestion for a misspelt name, or None where no choice is similar.

    >>> did_you_mean("cnov", ["bn", "conv", "gap"])
    'did you mean "conv"?'
    """
    similar = difflib.get_close_matches(name.lower(), list(choices), n=1, cutoff=0.5)
    return f'did you mean "{similar[0]}"?' if similar else None


def quoted(names: Iterable[str]) -> str:
    """Names as a list for a message.

    >>> quoted(["sgd", "adam"])
    '"sgd", "adam"'
    """
    return ", ".join(f'"{name}"' for name in names)
