"""The origin of each value of an experiment: its file, a parent's file, or a `--set`; messages name it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drilldown.errors import Problem
from drilldown.experiment.toml_lines import KeyPath, line_of

LONGEST_PART = 300
"""The largest number of characters in each part of a message."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a value: a file, a `--set`, or a dictionary."""

    label: Path | str | None
    """The path of the file, or `--set` with its argument; None for a dictionary."""
    text: str = ""
    """The content of the file."""
    key_path: KeyPath | None = None
    """The key that gives the value, where it is not the value's own: a dimension of a search gives a setting."""

    def problem(self, key_path: KeyPath, problem: Problem) -> Problem:
        """Returns the problem with the file and the line of the key."""
        line = line_of(self.text, self.key_path or key_path) if self.text else None
        # Messages quote values, which can contain line breaks; a message must stay one line.
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
    """The values of an experiment file, after `extends` and `--set`, with their origins."""

    values: dict[str, Any]
    """The document as plain values."""
    origins: dict[KeyPath, Origin]
    """The origin of each inherited or overridden value."""
    own: Origin
    """The file itself, the origin of all other values."""

    def origin(self, key_path: KeyPath) -> Origin:
        """Returns the origin of a value, or of the nearest table above it."""
        for length in range(len(key_path), 0, -1):
            if key_path[:length] in self.origins:
                return self.origins[key_path[:length]]
        return self.own


def one_line(text: str) -> str:
    """Replaces line breaks and other control characters, and shortens a long text in the middle.

    >>> one_line("two" + chr(10) + "lines")
    'two\\\\nlines'
    """
    if len(text) > LONGEST_PART:
        text = f"{text[: LONGEST_PART // 2]} … {text[-LONGEST_PART // 2 :]}"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
