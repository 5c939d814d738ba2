"""The Markdown report: `report.md` beside the run's files, with its figures as PNG."""

from __future__ import annotations

import jinja2

from drilldown import difference
from drilldown.report import analysis
from drilldown.report.evidence import Evidence
from drilldown.verdict import meets

_TEMPLATES = jinja2.Environment(
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
    return _TEMPLATES.get_template("run.md.j2").render(
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


_TEMPLATES.filters["text"] = text
