"""An extension of mkdocstrings: examples in docstrings become code blocks in place of quotations."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>>(?:.|\n(?!\n))*", re.MULTILINE)


class Doctests(griffe.Extension):
    """Puts a fence around each example, up to the next blank line."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(lambda match: f"```pycon\n{match[0]}\n```", obj.docstring.value)
