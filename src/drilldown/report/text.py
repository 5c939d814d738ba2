"""Text for Markdown reports, escaped and formatted."""

from __future__ import annotations

import jinja2

from drilldown.evaluation.intervals import PassRate, Spread
from drilldown.report.prose import prose_markdown
from drilldown.wording import count_text, percent_text, visible_text

TEXT_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("drilldown.report", "templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def escape_text(value: object) -> str:
    """Escapes text from a file, so that Markdown shows it literally: no tables, HTML, links, line breaks or controls.

    >>> escape_text("a|b <script>")
    'a\\\\|b &lt;script&gt;'
    """
    escaped = visible_text(" ".join(str(value).split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\`*_{}[]#|!~" else c for c in escaped)


def code_text(value: object) -> str:
    """A name or path as code that is safe inside a table.

    >>> code_text("a`|b")
    '`ab`'
    """
    return f"`{''.join(char for char in str(value) if char.isprintable() and char not in '`|')}`"


def line_text(value: object) -> str:
    """Text inside a block of code, as one line that cannot end the block."""
    return visible_text(" ".join(str(value).splitlines()))


def interval_text(spread: Spread | None, digits: int) -> str:
    """A mean over seeds with its 95 % interval; empty without seeds."""
    return spread.text(digits) if spread else ""


def rate_text(rate: PassRate | None) -> str:
    """A pass rate with its 95 % interval; empty without seeds.

    >>> rate_text(PassRate(4, 5))
    '4 of 5 (38–96 %)'
    """
    if rate is None:
        return ""
    low, high = rate.interval
    return f"{rate.passed} of {rate.n} ({100 * low:.0f}–{100 * high:.0f} %)"


TEXT_TEMPLATES.filters.update(
    text=escape_text,
    code=code_text,
    line=line_text,
    interval=interval_text,
    rate=rate_text,
    prose=prose_markdown,
    counted=count_text,
    percent=percent_text,
)
