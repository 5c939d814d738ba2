"""The page of a study: one file that holds the pages of its runs too, packed, each opened by a click."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drilldown import data
from drilldown.ablation import Ablation
from drilldown.effects import Effect
from drilldown.errors import DrilldownError
from drilldown.report import ablation as ablation_report
from drilldown.report import evidence as of_run
from drilldown.report import html
from drilldown.report.study import analysis, charts, markdown
from drilldown.report.study.evidence import StudyEvidence
from drilldown.seeds import Finished


def render(evidence: StudyEvidence, data_folder: Path | None = None) -> str:
    """The page of a study.

    *Arguments*: `data_folder`: where datasets lie. The pages of single runs show images; without the dataset, or where
    a run's weights are not kept, they are left out, and this page says why.
    """
    finished = [one for step in evidence.measured for one in step.seeds.finished]
    pages, obstacle = _pages([one for one in finished if one.run.has_model], data_folder)
    without = sum(not one.run.has_model for one in finished)
    if without and not obstacle:
        obstacle = f"the weights of {without} of {len(finished)} runs are not kept, only their records"
    worth = [step for step in evidence.steps if step.change]
    effects = [(step.change.accuracy, step.change.loss) if step.change else (None, None) for step in worth]
    last = evidence.steps[-1]
    return html.page(
        "study.html.j2",
        scripts=["page.js", "study.js"],
        opens=html.SCRIPTS,
        data={"pages": pages},
        evidence=evidence,
        last=last,
        sentences=analysis.sentences(evidence),
        charts=charts.of_study(evidence) if evidence.measured else (),
        worth=list(zip(worth, *(charts.whiskers(side) for side in zip(*effects, strict=True)), strict=True)),
        ablations=[_ablation(one) for one in evidence.ablations],
        pages=pages,
        key=key,
        obstacle=obstacle,
        engines=markdown.engines(evidence),
        total=sum(step.seeds.n for step in evidence.steps),
        held_out=any(step.seeds.split != "test" for step in evidence.steps),
        holds=sorted({step.seeds.hold for step in evidence.steps}),
    )


def key(run: Finished) -> str:
    """What a run's page is found by."""
    return f"{run.run.path.parent.name}/{run.seed}"


def _pages(runs: Sequence[Finished], data_folder: Path | None) -> tuple[dict[str, str], str]:
    """The pages of runs, gzip in base64; and why there are none, where it is so."""
    found: dict[str, str] = {}
    datasets: dict[str, data.Dataset] = {}
    try:
        for one in runs:
            name = one.run.experiment.recipe.dataset
            datasets[name] = datasets.get(name) or data.load(name, data_folder)
            page = html.render(of_run.gather(one.run, dataset=datasets[name]))
            found[key(one)] = base64.b64encode(gzip.compress(page.encode(), mtime=0)).decode()
    except DrilldownError as error:
        return {}, str(error)
    return found, ""


def _ablation(found: Ablation) -> dict[str, Any]:
    effects: list[Effect | None] = [loss.effect for loss in found.losses]
    return {
        "full": found.full,
        "losses": list(zip(found.losses, charts.whiskers(effects), strict=True)),
        "skipped": found.skipped,
        "sentences": ablation_report.sentences(found),
    }
