"""A study's report as Markdown."""

from __future__ import annotations

from drilldown.analysis.study import StudyEvidence, StudyStep
from drilldown.report.ablation import ablation_sentences
from drilldown.report.study.analysis import study_sentences
from drilldown.report.text import TEXT_TEMPLATES
from drilldown.wording import count_text


def study_markdown(evidence: StudyEvidence) -> str:
    """The report's text."""
    return TEXT_TEMPLATES.get_template("study.md.j2").render(
        evidence=evidence,
        sentences=study_sentences(evidence),
        engines=engines(evidence),
        holds=sorted({step.seeds.hold for step in evidence.steps}),
        held_out=any(step.seeds.split != "test" for step in evidence.steps),
        ablations=[(found, ablation_sentences(found)) for found in evidence.ablations],
        total=sum(step.seeds.n for step in evidence.steps),
    )


def engines(evidence: StudyEvidence) -> list[str]:
    """What trained the runs."""
    return sorted(
        {
            f"{one.summary.engine} on {one.summary.device}, {count_text(one.summary.threads, 'thread')}"
            for step in evidence.steps
            for one in step.seeds.finished
        }
    )


def reported(step: StudyStep) -> str:
    """What the author claims: train / test."""
    said = step.experiment.reported
    if said is None:
        return ""
    figures = " / ".join("—" if value is None else f"{value:.2f}" for value in (said.train, said.test))
    return figures + said.aside


def within(step: StudyStep) -> str:
    """Whether the author's test accuracy lies within the spread of our seeds."""
    if step.as_reported is None or step.expected is None:
        return ""
    low, high = step.expected
    return f"{'✓ in' if step.as_reported else '✗ not in'} {low:.2f}–{high:.2f}"


TEXT_TEMPLATES.filters.update(reported=reported, within=within)
