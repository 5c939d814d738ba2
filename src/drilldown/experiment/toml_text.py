"""Writing TOML as people write experiments: small tables inline, one block of layers per line; no library does this."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping


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


def _blocks(value: object) -> str:
    assert isinstance(value, list)
    return "[\n" + "".join(f"  {_value(block)},\n" for block in value) + "]"


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
