"""The line of each key in a TOML file, for messages; the standard parser does not tell it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

KeyPath = tuple[str | int, ...]
"""The keys and array indices that lead to a value, such as ("network", "layers", 3)."""

# Strings and comments come first, so that headers and keys inside them are ignored.
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?!")|' + r"'''.*?'''(?!')" + r'|"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'" + r"|#[^\n]*"
    r"|(?P<open>[\[{])|(?P<close>[\]}])|(?P<newline>\n)|(?P<equals>=)|(?P<comma>,)|[^\s\[\]{}=,#\"']+",
    re.DOTALL,
)
_HEADER = re.compile(r"\[*((?:\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\]\"'\n])*)")


def line_of(text: str, key_path: KeyPath) -> int | None:
    """Returns the line, counted from 1, of a key or an array item; if it is missing, of the nearest table above it.

    *Arguments*: `text`: a TOML document. `key_path`: keys and array indices.

    *Returns* None where the document has no such table.

    >>> text = 'title = "a"' + chr(10) + '[recipe]' + chr(10) + 'epochs = 3'
    >>> line_of(text, ("recipe", "epochs"))
    3
    """
    lines = _lines(text)
    for length in range(len(key_path), 0, -1):
        if key_path[:length] in lines:
            return lines[key_path[:length]]
    return None


@lru_cache(maxsize=8)
def _lines(text: str) -> dict[KeyPath, int]:
    """Returns the line of each key path; cached, because messages about one file need many lines."""
    lines: dict[KeyPath, int] = {}
    line, counted = 1, 0
    for key_path, offset in _offsets(text):
        line, counted = line + text.count("\n", counted, offset), offset
        lines[key_path] = line
    return lines


@dataclass(slots=True)
class _Value:
    """An array or an inline table that is open."""

    path: KeyPath
    is_array: bool
    item: int = 0
    """The index of an array's item."""
    key: tuple[str, ...] = ()
    """The key of an inline table's item; empty before its equals sign."""
    key_start: int | None = None

    @property
    def inner(self) -> KeyPath:
        """The key path of the item."""
        return (*self.path, self.item) if self.is_array else (*self.path, *self.key)


def _offsets(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Yields the key path of each key and of each array item, with its offset in the text."""
    table: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    line_start = 0
    values: list[_Value] = []
    for match in _TOKEN.finditer(text):
        start = match.start()
        if values:
            yield from _in_value(text, match, values)
        elif match["newline"]:
            line_start, key = match.end(), ()
        elif match["open"] and key:
            values.append(_Value((*table, *key), match.group() == "["))
        elif match["open"] and not text[line_start:start].strip():
            header = _HEADER.match(text, match.end())
            table = _split(header[1] if header else "")
            yield table, start
        elif match["equals"] and not key:
            before_equals = text[line_start:start]
            first = line_start + len(before_equals) - len(before_equals.lstrip())
            key = _split(before_equals)
            for length in range(1, len(key) + 1):
                yield (*table, *key[:length]), first


def _in_value(text: str, match: re.Match[str], values: list[_Value]) -> Iterator[tuple[KeyPath, int]]:
    """Yields the key paths that begin with a token inside of an array or an inline table."""
    value, start = values[-1], match.start()
    if match["close"]:
        values.pop()
    elif match["comma"]:
        value.item, value.key, value.key_start = value.item + 1, (), None
    elif match["equals"]:
        if value.key_start is not None and not value.key:
            value.key = _split(text[value.key_start : start])
            yield value.inner, value.key_start
    elif not match["newline"] and not match.group().startswith("#"):
        if value.is_array:
            yield value.inner, start
        elif value.key_start is None:
            value.key_start = start
        if match["open"]:
            values.append(_Value(value.inner, match.group() == "["))


def _split(dotted: str) -> tuple[str, ...]:
    """Returns the parts of a dotted key, as the parser reads them; empty if it is not a valid key."""
    parts: list[str] = []
    try:
        value: Any = tomllib.loads(f"{dotted} = 0")
        while isinstance(value, dict):
            ((part, value),) = value.items()
            parts.append(part)
    except ValueError:
        return ()
    return tuple(parts)
