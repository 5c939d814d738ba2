"""A study's report as Markdown."""

from __future__ import annotations

import jinja2

from drilldown.report.markdown import text
from drilldown.report.study import analysis
from drilldown.report.study.evidence import Step, StudyEvidence
from drilldown.verdict import PassRate, Spread

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("drilldown.report", "templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render(evidence: StudyEvidence) -> str:
    """The report's text."""
    engines = sorted(
        {
            f"{one.summary['engine']} on {one.summary['device']}, {one.summary['threads']} threads"
            for step in evidence.steps
            for one in step.seeds.finished
        }
    )
    return _TEMPLATES.get_template("study.md.j2").render(
        evidence=evidence,
        sentences=analysis.sentences(evidence),
        engines=engines,
        holds=sorted({step.seeds.hold for step in evidence.steps}),
        held_out=any(step.seeds.split != "test" for step in evidence.steps),
        total=sum(step.seeds.n for step in evidence.steps),
    )


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


def reported(step: Step) -> str:
    """What the author claims: train / test."""
    said = step.experiment.reported
    if said is None:
        return ""
    return " / ".join("—" if value is None else f"{value:.2f}" for value in (said.train, said.test))


def within(step: Step) -> str:
    """Whether the author's best test accuracy lies within the spread of our seeds."""
    if step.as_reported is None or step.expected is None:
        return ""
    low, high = step.expected
    return f"{'✓ in' if step.as_reported else '✗ not in'} {low:.2f}–{high:.2f}"


_TEMPLATES.filters.update(text=text, code=code, interval=interval, rate=rate, reported=reported, within=within)
