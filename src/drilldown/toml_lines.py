"""Where a key stands in a TOML file: the standard parser does not say, and a message without a line is half a one."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Strings and comments first, so that what looks like a header or key inside of them is passed over.
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|' + r"'''.*?'''" + r'|"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'" + r"|#[^\n]*"
    r"|(?P<open>[\[{])|(?P<close>[\]}])|(?P<newline>\n)|(?P<equals>=)",
    re.DOTALL,
)


def line_of(text: str, place: tuple[str | int, ...]) -> int | None:
    """The line (from 1) of a key, or of an item of an array of strings; of the nearest table above it otherwise.

    >>> text = 'title = "a"' + chr(10) + '[recipe]' + chr(10) + 'epochs = 3'
    >>> line_of(text, ("recipe", "epochs"))
    3
    """
    positions = dict(_positions(text))
    for length in range(len(place), 0, -1):
        offset = positions.get(place[:length])
        if offset is not None:
            return text.count("\n", 0, offset) + 1
    return None


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
                header = text[match.end() :].split("]", 1)[0].strip(" []\t")
                table = _split(header)
                yield table, match.start()
                depth -= 1  # a header's bracket is closed below without having opened a value
            depth, item = depth + 1, 0 if depth == 0 else item
        elif match["close"]:
            depth = max(0, depth - 1)
        elif match["equals"]:
            if depth == 0 and not key:
                start = (
                    line_start + len(text[line_start : match.start()]) - len(text[line_start : match.start()].lstrip())
                )
                key = _split(text[line_start : match.start()])
                for length in range(1, len(key) + 1):
                    yield (*table, *key[:length]), start
        elif depth == 1 and key and not match.group().startswith("#"):
            yield (*table, *key, item), match.start()
            item += 1


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
