"""A study's report as Markdown."""

from __future__ import annotations

from drilldown.report import ablation
from drilldown.report.markdown import TEMPLATES
from drilldown.report.study import analysis
from drilldown.report.study.evidence import Step, StudyEvidence


def render(evidence: StudyEvidence) -> str:
    """The report's text."""
    return TEMPLATES.get_template("study.md.j2").render(
        evidence=evidence,
        sentences=analysis.sentences(evidence),
        engines=engines(evidence),
        holds=sorted({step.seeds.hold for step in evidence.steps}),
        held_out=any(step.seeds.split != "test" for step in evidence.steps),
        ablations=[(found, ablation.sentences(found)) for found in evidence.ablations],
        total=sum(step.seeds.n for step in evidence.steps),
    )


def engines(evidence: StudyEvidence) -> list[str]:
    """What trained the runs."""
    return sorted(
        {
            f"{one.summary['engine']} on {one.summary['device']}, {one.summary['threads']} "
            f"thread{'' if one.summary['threads'] == 1 else 's'}"
            for step in evidence.steps
            for one in step.seeds.finished
        }
    )


def reported(step: Step) -> str:
    """What the author claims: train / test."""
    said = step.experiment.reported
    if said is None:
        return ""
    figures = " / ".join("—" if value is None else f"{value:.2f}" for value in (said.train, said.test))
    return figures + said.aside


def within(step: Step) -> str:
    """Whether the author's test accuracy lies within the spread of our seeds."""
    if step.as_reported is None or step.expected is None:
        return ""
    low, high = step.expected
    return f"{'✓ in' if step.as_reported else '✗ not in'} {low:.2f}–{high:.2f}"


TEMPLATES.filters.update(reported=reported, within=within)
