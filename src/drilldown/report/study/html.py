"""The page of a study: one HTML file, which contains or links the pages of its runs."""

from __future__ import annotations

from typing import Any

from drilldown.analysis.ablation import Ablation
from drilldown.analysis.study import StudyEvidence
from drilldown.evaluation.effects import Effect
from drilldown.evaluation.verdict import is_judged
from drilldown.report.ablation import ablation_sentences
from drilldown.report.page import build_page
from drilldown.report.prose import prose_html
from drilldown.report.run.html import SCRIPTS
from drilldown.report.study.analysis import study_sentences
from drilldown.report.study.charts import effect_whiskers, study_charts
from drilldown.report.study.markdown import engine_texts
from drilldown.report.study.run_pages import RunPages, page_key
from drilldown.report.svg import TALL, WIDE, Drawing


def study_page(evidence: StudyEvidence, pages: RunPages) -> str:
    """The page of a study.

    *Arguments*: `pages`: the pages of its runs, which it contains or links.
    """
    changed = [step for step in evidence.steps if step.change]
    effects = [(step.change.accuracy, step.change.loss) if step.change else (None, None) for step in changed]
    last = evidence.steps[-1]
    return build_page(
        "study.html.j2",
        scripts=["page.js", "study.js"],
        opens=SCRIPTS,
        data={"pages": pages.packed},
        evidence=evidence,
        last=last,
        is_judged=is_judged(last.experiment.budget),
        claims=evidence.has_claims,
        judged_claims=evidence.has_judged_claims,
        prose=prose_html,
        sentences=study_sentences(evidence),
        charts=_drawings(evidence) if evidence.measured else (),
        effects=list(zip(changed, *(effect_whiskers(column) for column in zip(*effects, strict=True)), strict=True)),
        ablations=[_ablation(ablation) for ablation in evidence.ablations],
        pages=pages,
        key=page_key,
        engines=engine_texts(evidence),
        total=sum(step.seeds.n for step in evidence.steps),
        held_out=any(step.seeds.split != "test" for step in evidence.steps),
        holds=sorted({step.seeds.hold for step in evidence.steps}),
    )


def _drawings(evidence: StudyEvidence) -> list[Drawing]:
    accuracy, loss, parameters = study_charts(evidence)
    return [Drawing(accuracy, WIDE, TALL), Drawing(loss), Drawing(parameters)]


def _ablation(ablation: Ablation) -> dict[str, Any]:
    effects: list[Effect | None] = [removal.effect for removal in ablation.removals]
    return {
        "full": ablation.full,
        "removals": list(zip(ablation.removals, effect_whiskers(effects), strict=True)),
        "skipped": ablation.skipped,
        "sentences": ablation_sentences(ablation),
    }
