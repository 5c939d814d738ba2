"""Where a key stands in a TOML file: the standard parser does not say, and a message without a line is half a one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

# Strings and comments first, so that what looks like a header or key inside of them is passed over.
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?!")|' + r"'''.*?'''(?!')" + r'|"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'" + r"|#[^\n]*"
    r"|(?P<open>[\[{])|(?P<close>[\]}])|(?P<newline>\n)|(?P<equals>=)|(?P<comma>,)|[^\s\[\]{}=,#\"']+",
    re.DOTALL,
)
_HEADER = re.compile(r"\[*((?:\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\]\"'\n])*)")


def line_of(text: str, place: tuple[str | int, ...]) -> int | None:
    """The line (from 1) of a key, or of an item of an array; of the nearest table above it otherwise.

    >>> text = 'title = "a"' + chr(10) + '[recipe]' + chr(10) + 'epochs = 3'
    >>> line_of(text, ("recipe", "epochs"))
    3
    """
    lines = _lines(text)
    for length in range(len(place), 0, -1):
        if place[:length] in lines:
            return lines[place[:length]]
    return None


@lru_cache(maxsize=8)
def _lines(text: str) -> dict[tuple[str | int, ...], int]:
    """Kept, since messages about one file ask for many lines."""
    lines: dict[tuple[str | int, ...], int] = {}
    line, counted = 1, 0
    for place, offset in _positions(text):
        line, counted = line + text.count("\n", counted, offset), offset
        lines[place] = line
    return lines


def _positions(text: str) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """Each key's full name and each array item's, with the offset at which it stands."""
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
                depth -= 1  # a header's bracket is closed below without having opened a value
            elif depth == 1 and key:
                yield (*table, *key, item), match.start()
            depth, item = depth + 1, 0 if depth == 0 else item
        elif match["close"]:
            depth = max(0, depth - 1)
        elif match["equals"]:
            if depth == 0 and not key:
                written = text[line_start : match.start()]
                start = line_start + len(written) - len(written.lstrip())
                key = _split(written)
                for length in range(1, len(key) + 1):
                    yield (*table, *key[:length]), start
        elif match["comma"]:
            item += depth == 1
        elif depth == 1 and key and not match.group().startswith("#"):
            yield (*table, *key, item), match.start()


def _split(dotted: str) -> tuple[str, ...]:
    """The parts of a dotted key, as the parser sees them; none where it does not."""
    parts: list[str] = []
    try:
        value: Any = tomllib.loads(f"{dotted} = 0")
        while isinstance(value, dict):
            ((part, value),) = value.items()
            parts.append(part)
    except ValueError:
        return ()
    return tuple(parts)
