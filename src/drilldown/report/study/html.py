"""The page of a study: one HTML file, which also contains the packed pages of its runs."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drilldown.analysis.ablation import Ablation
from drilldown.analysis.study import StudyEvidence
from drilldown.data.dataset import Dataset
from drilldown.data.loading import load_dataset
from drilldown.errors import DrilldownError
from drilldown.evaluation.effects import Effect
from drilldown.report.ablation import ablation_sentences
from drilldown.report.page import build_page
from drilldown.report.run.evidence import gather_run
from drilldown.report.run.html import SCRIPTS, run_page
from drilldown.report.study.analysis import study_sentences
from drilldown.report.study.charts import effect_whiskers, study_charts
from drilldown.report.study.markdown import engine_texts
from drilldown.report.svg import TALL, WIDE, Drawing
from drilldown.runs.run import FinishedRun


def study_page(evidence: StudyEvidence, data_dir: Path | None = None) -> str:
    """The page of a study.

    The pages of single runs show images. Without the dataset, or where the weights of a run were deleted, these pages
    are left out, and the page of the study says why.

    *Arguments*: `data_dir`: the first place to look for datasets.
    """
    finished = [run for step in evidence.measured for run in step.seeds.finished]
    pages, obstacle = _pack_pages([run for run in finished if run.run.has_model], data_dir)
    without = sum(not run.run.has_model for run in finished)
    if without and not obstacle:
        obstacle = f"the weights of {without} of {len(finished)} runs are not kept, only their records"
    changed = [step for step in evidence.steps if step.change]
    effects = [(step.change.accuracy, step.change.loss) if step.change else (None, None) for step in changed]
    last = evidence.steps[-1]
    return build_page(
        "study.html.j2",
        scripts=["page.js", "study.js"],
        opens=SCRIPTS,
        data={"pages": pages},
        evidence=evidence,
        last=last,
        sentences=study_sentences(evidence),
        charts=_drawings(evidence) if evidence.measured else (),
        effects=list(zip(changed, *(effect_whiskers(column) for column in zip(*effects, strict=True)), strict=True)),
        ablations=[_ablation(ablation) for ablation in evidence.ablations],
        pages=pages,
        key=page_key,
        obstacle=obstacle,
        engines=engine_texts(evidence),
        total=sum(step.seeds.n for step in evidence.steps),
        held_out=any(step.seeds.split != "test" for step in evidence.steps),
        holds=sorted({step.seeds.hold for step in evidence.steps}),
    )


def page_key(run: FinishedRun) -> str:
    """The name of a run's page within the page of its study."""
    return f"{run.run.path.parent.name}/{run.seed}"


def _drawings(evidence: StudyEvidence) -> list[Drawing]:
    accuracy, loss, parameters = study_charts(evidence)
    return [Drawing(accuracy, WIDE, TALL), Drawing(loss), Drawing(parameters)]


def _pack_pages(runs: Sequence[FinishedRun], data_dir: Path | None) -> tuple[dict[str, str], str]:
    """The pages of runs by `page_key`, gzip in base64; without the dataset, no pages and the reason."""
    pages: dict[str, str] = {}
    datasets: dict[str, Dataset] = {}
    try:
        for run in runs:
            name = run.run.experiment.recipe.dataset
            datasets[name] = datasets.get(name) or load_dataset(name, data_dir)
            page = run_page(gather_run(run.run, dataset=datasets[name]))
            pages[page_key(run)] = base64.b64encode(gzip.compress(page.encode(), mtime=0)).decode()
    except DrilldownError as error:
        return {}, str(error)
    return pages, ""


def _ablation(ablation: Ablation) -> dict[str, Any]:
    effects: list[Effect | None] = [removal.effect for removal in ablation.removals]
    return {
        "full": ablation.full,
        "removals": list(zip(ablation.removals, effect_whiskers(effects), strict=True)),
        "skipped": ablation.skipped,
        "sentences": ablation_sentences(ablation),
    }
