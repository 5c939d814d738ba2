"""Text for Markdown reports, escaped and formatted."""

from __future__ import annotations

import jinja2

from drilldown.evaluation.intervals import PassRate, Spread
from drilldown.wording import count_text

TEXT_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("drilldown.report", "templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def escape_text(value: object) -> str:
    """Text from a file as Markdown that means just itself: no tables, HTML, links or line breaks of its own.

    >>> escape_text("a|b <script>")
    'a\\\\|b &lt;script&gt;'
    """
    escaped = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\`*_{}[]#|!~" else c for c in escaped)


def code_text(value: object) -> str:
    """A name or path as code that no table is broken by.

    >>> code_text("a`|b")
    '`ab`'
    """
    return f"`{''.join(char for char in str(value) if char.isprintable() and char not in '`|')}`"


def interval_text(found: Spread | None, digits: int) -> str:
    """A figure over seeds with its 95 % interval, or nothing."""
    return found.text(digits) if found else ""


def rate_text(found: PassRate | None) -> str:
    """A pass rate with its 95 % interval.

    >>> rate_text(PassRate(4, 5))
    '4 of 5 (38–96 %)'
    """
    if found is None:
        return ""
    low, high = found.interval
    return f"{found.passed} of {found.n} ({100 * low:.0f}–{100 * high:.0f} %)"


TEXT_TEMPLATES.filters.update(
    text=escape_text,
    code=code_text,
    interval=interval_text,
    rate=rate_text,
    epochs=lambda count: count_text(count, "epoch"),
)
