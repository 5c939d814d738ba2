"""Writes the report of a study beside its runs: page, text with figures, and the summaries of its runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from drilldown.files import write_whole
from drilldown.report.study import figures, html, markdown
from drilldown.report.study.evidence import StudyEvidence
from drilldown.report.writing import Report, alone_in


def write(evidence: StudyEvidence, data_folder: Path | None = None) -> Report:
    """Writes `report.html`, `report.md` with its figures, and `summaries.jsonl` into the folder of the study's runs.

    *Raises* DrilldownError where the folder cannot be written.
    """
    with alone_in(evidence.folder):
        if evidence.measured:
            folder = evidence.folder / "figures"
            folder.mkdir(exist_ok=True)
            for name, content in figures.of_study(evidence).items():
                write_whole(folder / name, content)
        write_whole(evidence.folder / "summaries.jsonl", summaries_as_lines(evidence).encode())
        report = Report(evidence.folder / "report.html", evidence.folder / "report.md")
        write_whole(report.markdown, markdown.render(evidence).encode())
        write_whole(report.html, html.render(evidence, data_folder).encode())
    return report


def summaries_as_lines(evidence: StudyEvidence) -> str:
    """The same as `summaries`, a JSON document a line."""
    return "".join(json.dumps(summary, ensure_ascii=False) + "\n" for summary in summaries(evidence))


def summaries(evidence: StudyEvidence) -> list[dict[str, Any]]:
    """What each run that came to an end says of itself, step by step and seed by seed; failures are not left out."""
    said: list[dict[str, Any]] = []
    for step in evidence.steps:
        by_seed: dict[int, dict[str, Any]] = {
            one.seed: {**one.summary, "status": "finished"} for one in step.seeds.finished
        }
        for run in step.seeds.diverged:
            by_seed[run.seed] = {
                "experiment": step.experiment.name,
                "title": step.experiment.title,
                "seed": run.seed,
                "fingerprint": step.experiment.fingerprint,
                "status": "diverged",
                "reason": run.divergence,
            }
        said += [by_seed[seed] for seed in sorted(by_seed)]
    return said
