"""Writing TOML as people write experiments: small tables inline, one block of layers per line; no library does this."""

from __future__ import annotations

import json
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
    lines = [f"{key} = {_value(value)}" for key, value in document.items() if not isinstance(value, Mapping)]
    for name, table in document.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{name}]"]
            lines += [f"{key} = {_blocks(value) if key == 'layers' else _value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _blocks(value: object) -> str:
    assert isinstance(value, list)
    return "[\n" + "".join(f"  {_value(block)},\n" for block in value) + "]"


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_value(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):  # TOML has the escapes of JSON, and one more
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    assert isinstance(value, int | float)
    return repr(value)
