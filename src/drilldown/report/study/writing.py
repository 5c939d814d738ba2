"""Writes the report of a study into the folder of its runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from drilldown.analysis.study import StudyEvidence
from drilldown.files import write_atomically
from drilldown.report.folder import ReportFiles, write_figures, writing_report
from drilldown.report.study.figures import study_figures
from drilldown.report.study.html import study_page
from drilldown.report.study.markdown import study_markdown
from drilldown.report.study.run_pages import collect_pages
from drilldown.runs.run import FinishedRun


def write_study_report(evidence: StudyEvidence, data_dir: Path | None = None) -> ReportFiles:
    """Writes `report.html`, `report.md` with its figures, and `summaries.jsonl` into the folder of the study's runs.

    *Arguments*: `data_dir`: the first place to look for the dataset, which the pages of runs need.

    *Raises* DrilldownError where the folder cannot be written.
    """
    pages = collect_pages(evidence, data_dir)
    with writing_report(evidence.folder):
        if evidence.measured:
            write_figures(evidence.folder, study_figures(evidence))
        write_atomically(evidence.folder / "summaries.jsonl", summaries_as_lines(evidence).encode())
        report = ReportFiles(evidence.folder / "report.html", evidence.folder / "report.md")
        write_atomically(report.markdown, study_markdown(evidence).encode())
        write_atomically(report.html, study_page(evidence, pages).encode())
    return report


def summaries_as_lines(evidence: StudyEvidence) -> str:
    """The documents of `summaries` as text, one JSON document per line."""
    return "".join(json.dumps(summary, ensure_ascii=False) + "\n" for summary in summaries(evidence))


def _figures(run: FinishedRun) -> dict[str, Any]:
    """The summary of a run without the checksums of its files, which do not lie beside this list."""
    return {key: value for key, value in run.summary.to_json().items() if key != "files"}


def summaries(evidence: StudyEvidence) -> list[dict[str, Any]]:
    """The summaries of all finished and diverged runs, by step and seed, as JSON documents."""
    documents: list[dict[str, Any]] = []
    for step in evidence.steps:
        by_seed: dict[int, dict[str, Any]] = {
            run.seed: {**_figures(run), "status": "finished"} for run in step.seeds.finished
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
        documents += [by_seed[seed] for seed in sorted(by_seed)]
    return documents
