"""The report on a run as Markdown; its figures are PNG files."""

from __future__ import annotations

from drilldown.evaluation.verdict import meets_bar
from drilldown.experiment.difference import find_difference
from drilldown.report.run.analysis import run_sentences
from drilldown.report.run.evidence import RunEvidence
from drilldown.report.text import TEXT_TEMPLATES


def run_markdown(evidence: RunEvidence) -> str:
    """The report on a run, as Markdown."""
    experiment, bar = evidence.experiment, evidence.experiment.budget.accuracy
    changed = find_difference(experiment.parent, experiment) if experiment.parent else None
    return TEXT_TEMPLATES.get_template("run.md.j2").render(
        evidence=evidence,
        names=evidence.dataset.names,
        experiment=experiment,
        model_summary=experiment.model_summary,
        changed=changed,
        met=[bar is not None and meets_bar(epoch, bar) for epoch in evidence.epochs],
        sentences=run_sentences(evidence),
        split=evidence.verdict.split,
        toml=experiment.to_toml().strip(),
    )
