"""The Markdown report: `report.md` beside the run's files, with its figures as PNG."""

from __future__ import annotations

import jinja2

from drilldown import difference
from drilldown.report import analysis
from drilldown.report.evidence import Evidence
from drilldown.verdict import PassRate, Spread, epochs_in_words, meets

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("drilldown.report", "templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render(evidence: Evidence) -> str:
    """The report's text."""
    experiment, bar = evidence.experiment, evidence.experiment.budget.accuracy
    changed = difference.between(experiment.parent, experiment) if experiment.parent else None
    return TEMPLATES.get_template("run.md.j2").render(
        evidence=evidence,
        experiment=experiment,
        anatomy=experiment.anatomy,
        changed=changed,
        met=[bar is not None and meets(epoch, bar) for epoch in evidence.epochs],
        sentences=analysis.sentences(evidence),
        part="validation" if evidence.verdict.split == "validation" else "test",
        toml=experiment.to_toml().strip(),
    )


def text(value: object) -> str:
    """Text from a file as Markdown that means just itself: no tables, HTML, links or line breaks of its own.

    >>> text("a|b <script>")
    'a\\\\|b &lt;script&gt;'
    """
    escaped = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\`*_{}[]#|!~" else c for c in escaped)


def code(value: object) -> str:
    """A name or path as code that no table is broken by.

    >>> code("a`|b")
    '`ab`'
    """
    return f"`{''.join(char for char in str(value) if char.isprintable() and char not in '`|')}`"


def interval(found: Spread | None, digits: int) -> str:
    """A figure over seeds with its 95 % interval, or nothing."""
    return found.text(digits) if found else ""


def rate(found: PassRate | None) -> str:
    """A pass rate with its 95 % interval.

    >>> rate(PassRate(4, 5))
    '4 of 5 (38–96 %)'
    """
    if found is None:
        return ""
    low, high = found.interval
    return f"{found.passed} of {found.n} ({100 * low:.0f}–{100 * high:.0f} %)"


TEMPLATES.filters.update(text=text, code=code, interval=interval, rate=rate, epochs=epochs_in_words)
