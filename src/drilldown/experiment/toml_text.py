"""Writing TOML as people write experiments: small tables inline, one block of layers per line; no library does this."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

WIDTH = 100
"""The width, in characters, up to which a table of blocks stays on one line."""


def dump_toml(document: Mapping[str, object]) -> str:
    """Formats a document: plain values first, then each table with a header, and inner tables inline.

    >>> print(dump_toml({"title": "a", "recipe": {"epochs": 3, "optimizer": {"name": "sgd", "lr": 0.1}}}))
    title = "a"
    <BLANKLINE>
    [recipe]
    epochs = 3
    optimizer = { name = "sgd", lr = 0.1 }
    <BLANKLINE>
    """
    lines = [f"{_key(key)} = {_value(value)}" for key, value in document.items() if not isinstance(value, Mapping)]
    for name, table in document.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{_key(name)}]"]
            for key, value in table.items():
                lines.append(f"{_key(key)} = {_blocks(value) if key == 'layers' else _value(value)}")
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _blocks(value: object, indent: str = "") -> str:
    assert isinstance(value, list)
    return "[\n" + "".join(f"{indent}  {_block(block, indent + '  ')},\n" for block in value) + f"{indent}]"


def _block(block: object, indent: str) -> str:
    """A block on one line, or a long table with a line for each of its blocks."""
    text = _value(block)
    if isinstance(block, Mapping) and len(indent) + len(text) > WIDTH:
        # TOML allows line breaks only inside of the array.
        inside = (f"{_key(k)} = {_blocks(v, indent) if isinstance(v, list) else _value(v)}" for k, v in block.items())
        text = f"{{ {', '.join(inside)} }}"
    return text


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):  # TOML has the escapes of JSON, and one more
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    assert isinstance(value, int | float)
    return repr(value)
