"""The line of each key in a TOML file, for messages; the standard parser does not tell it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

# Strings and comments come first, so that headers and keys inside them are ignored.
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?!")|' + r"'''.*?'''(?!')" + r'|"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'" + r"|#[^\n]*"
    r"|(?P<open>[\[{])|(?P<close>[\]}])|(?P<newline>\n)|(?P<equals>=)|(?P<comma>,)|[^\s\[\]{}=,#\"']+",
    re.DOTALL,
)
_HEADER = re.compile(r"\[*((?:\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\]\"'\n])*)")


def line_of(text: str, key_path: tuple[str | int, ...]) -> int | None:
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
def _lines(text: str) -> dict[tuple[str | int, ...], int]:
    """Returns the line of each key path; cached, because messages about one file need many lines."""
    lines: dict[tuple[str | int, ...], int] = {}
    line, counted = 1, 0
    for key_path, offset in _offsets(text):
        line, counted = line + text.count("\n", counted, offset), offset
        lines[key_path] = line
    return lines


def _offsets(text: str) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """Yields the key path of each key and of each array item, with its offset in the text."""
    table: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    depth = item = line_start = 0
    for match in _TOKEN.finditer(text):
        if match["newline"]:
            if depth == 0:
                line_start, key = match.end(), ()
        elif match["open"]:
            if depth == 0 and not key and not text[line_start : match.start()].strip():
                header = _HEADER.match(text, match.end())
                table = _split(header[1] if header else "")
                yield table, match.start()
                depth -= 1  # the header's closing bracket below does not end a value
            elif depth == 1 and key:
                yield (*table, *key, item), match.start()
            depth, item = depth + 1, 0 if depth == 0 else item
        elif match["close"]:
            depth = max(0, depth - 1)
        elif match["equals"]:
            if depth == 0 and not key:
                before_equals = text[line_start : match.start()]
                start = line_start + len(before_equals) - len(before_equals.lstrip())
                key = _split(before_equals)
                for length in range(1, len(key) + 1):
                    yield (*table, *key[:length]), start
        elif match["comma"]:
            item += depth == 1
        elif depth == 1 and key and not match.group().startswith("#"):
            yield (*table, *key, item), match.start()


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
