"""Who gave a value of an experiment: its file, the one that it extends, or a `--set`. Messages point there."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drilldown.errors import Problem
from drilldown.experiment.toml_lines import line_of

LONGEST_PART = 300
"""Characters of each part of a message."""
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Who gave a value: a file, or a `--set`."""

    label: Path | str
    text: str = ""

    def problem(self, place: KeyPath, problem: Problem) -> Problem:
        """The problem with file and line filled in."""
        line = line_of(self.text, place) if self.text else None
        # What a message quotes may hold anything; it stays one line all the same.
        return dataclasses.replace(
            problem,
            file=self.label,
            line=line,
            place=problem.place and one_line(problem.place),
            found=one_line(problem.found),
            expected=problem.expected and one_line(problem.expected),
            suggestion=problem.suggestion and one_line(problem.suggestion),
        )


@dataclass(frozen=True, slots=True)
class Source:
    """What a file says, inheritance and overrides applied, and who said which part."""

    values: dict[str, Any]
    origins: dict[KeyPath, Origin]
    own: Origin

    def origin(self, place: KeyPath) -> Origin:
        """Who gave the value at a place: the deepest entry that covers it."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.origins:
                return self.origins[place[:length]]
        return self.own


def one_line(text: str) -> str:
    """Without line breaks and other control characters, and without the middle of what is long.

    >>> one_line("two" + chr(10) + "lines")
    'two\\\\nlines'
    """
    if len(text) > LONGEST_PART:
        text = f"{text[: LONGEST_PART // 2]} … {text[-LONGEST_PART // 2 :]}"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
