"""A study's report as Markdown."""

from __future__ import annotations

from drilldown.analysis.study import StudyEvidence, StudyStep
from drilldown.report.ablation import ablation_sentences
from drilldown.report.study.analysis import study_sentences
from drilldown.report.text import TEXT_TEMPLATES
from drilldown.wording import count_text


def study_markdown(evidence: StudyEvidence) -> str:
    """The report on a study, as Markdown."""
    return TEXT_TEMPLATES.get_template("study.md.j2").render(
        evidence=evidence,
        sentences=study_sentences(evidence),
        engines=engine_texts(evidence),
        claims=evidence.has_claims,
        judged_claims=evidence.has_judged_claims,
        holds=sorted({step.seeds.hold for step in evidence.steps}),
        held_out=any(step.seeds.split != "test" for step in evidence.steps),
        ablations=[(ablation, ablation_sentences(ablation)) for ablation in evidence.ablations],
        total=sum(step.seeds.n for step in evidence.steps),
    )


def engine_texts(evidence: StudyEvidence) -> list[str]:
    """The engines, devices and threads that trained the runs, in words."""
    return sorted(
        {
            f"{run.summary.engine} on {run.summary.device}, {count_text(run.summary.threads, 'thread')}"
            for step in evidence.steps
            for run in step.seeds.finished
        }
    )


def reported(step: StudyStep) -> str:
    """The accuracies that the source reports: train / test; empty where it reports none."""
    claim = step.experiment.reported
    if claim is None or (claim.train is None and claim.test is None):
        return ""
    figures = " / ".join("—" if value is None else f"{value:.2f}" for value in (claim.train, claim.test))
    return figures + claim.aside


def within(step: StudyStep) -> str:
    """Whether the reported test accuracy lies in the prediction interval of the seeds, with the interval."""
    if step.as_reported is None or step.expected is None:
        return ""
    low, high = step.expected
    return f"{'✓ in' if step.as_reported else '✗ not in'} {low:.2f}–{high:.2f}"


TEXT_TEMPLATES.filters.update(reported=reported, within=within)
