"""The page of a study: one file that holds the pages of its runs too, packed, each opened by a click."""

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
from drilldown.report.study.markdown import engines
from drilldown.runs.run import FinishedRun


def study_page(evidence: StudyEvidence, data_dir: Path | None = None) -> str:
    """The page of a study.

    *Arguments*: `data_dir`: where datasets lie. The pages of single runs show images; without the dataset, or where
    a run's weights are not kept, they are left out, and this page says why.
    """
    finished = [one for step in evidence.measured for one in step.seeds.finished]
    pages, obstacle = _pages([one for one in finished if one.run.has_model], data_dir)
    without = sum(not one.run.has_model for one in finished)
    if without and not obstacle:
        obstacle = f"the weights of {without} of {len(finished)} runs are not kept, only their records"
    worth = [step for step in evidence.steps if step.change]
    effects = [(step.change.accuracy, step.change.loss) if step.change else (None, None) for step in worth]
    last = evidence.steps[-1]
    return build_page(
        "study.html.j2",
        scripts=["page.js", "study.js"],
        opens=SCRIPTS,
        data={"pages": pages},
        evidence=evidence,
        last=last,
        sentences=study_sentences(evidence),
        charts=study_charts(evidence) if evidence.measured else (),
        worth=list(zip(worth, *(effect_whiskers(side) for side in zip(*effects, strict=True)), strict=True)),
        ablations=[_ablation(one) for one in evidence.ablations],
        pages=pages,
        key=page_key,
        obstacle=obstacle,
        engines=engines(evidence),
        total=sum(step.seeds.n for step in evidence.steps),
        held_out=any(step.seeds.split != "test" for step in evidence.steps),
        holds=sorted({step.seeds.hold for step in evidence.steps}),
    )


def page_key(run: FinishedRun) -> str:
    """What a run's page is found by."""
    return f"{run.run.path.parent.name}/{run.seed}"


def _pages(runs: Sequence[FinishedRun], data_dir: Path | None) -> tuple[dict[str, str], str]:
    """The pages of runs, gzip in base64; and why there are none, where it is so."""
    found: dict[str, str] = {}
    datasets: dict[str, Dataset] = {}
    try:
        for one in runs:
            name = one.run.experiment.recipe.dataset
            datasets[name] = datasets.get(name) or load_dataset(name, data_dir)
            page = run_page(gather_run(one.run, dataset=datasets[name]))
            found[page_key(one)] = base64.b64encode(gzip.compress(page.encode(), mtime=0)).decode()
    except DrilldownError as error:
        return {}, str(error)
    return found, ""


def _ablation(found: Ablation) -> dict[str, Any]:
    effects: list[Effect | None] = [removal.effect for removal in found.removals]
    return {
        "full": found.full,
        "removals": list(zip(found.removals, effect_whiskers(effects), strict=True)),
        "skipped": found.skipped,
        "sentences": ablation_sentences(found),
    }
