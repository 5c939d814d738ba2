"""The page of a search: one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drilldown.network.blocks import block_lines
from drilldown.report.page import build_page
from drilldown.report.search.analysis import Command, extent_text, search_sentences
from drilldown.report.search.answer import STAMP, STAMP_REASON
from drilldown.report.search.charts import search_charts
from drilldown.report.search.evidence import SearchEvidence, value_text
from drilldown.report.search.importance_text import importance_caveat
from drilldown.report.search.parallel import parallel_coordinates
from drilldown.report.svg import TALL, WIDE, Drawing


def search_page(evidence: SearchEvidence, commands: Sequence[Command]) -> str:
    """The page of a search; `commands`: how to go on."""
    charts = search_charts(evidence)
    return build_page(
        "search.html.j2",
        scripts=["page.js"],
        data={},
        front=[Drawing(chart) for chart in charts[:2]],
        race=[Drawing(chart, WIDE, TALL) for chart in charts[2:]],
        parallel=parallel_coordinates(evidence),
        **report_context(evidence, commands),
    )


def report_context(evidence: SearchEvidence, commands: Sequence[Command]) -> dict[str, Any]:
    """The variables that the page and the Markdown have in common."""
    base = evidence.search.base
    return {
        "evidence": evidence,
        "answer": evidence.answer,
        "title": base.title,
        "aim": aim_text(evidence),
        "extent": extent_text(evidence),
        "sentences": search_sentences(evidence),
        "stamp": STAMP if evidence.on_test else None,
        "stamp_reason": STAMP_REASON,
        "importance": [*evidence.importance.items()] if evidence.importance else [],
        "caveat": importance_caveat(evidence),
        "winner_changes": winner_changes(evidence),
        "layers": list(block_lines(evidence.search.space.layers(evidence.answer.candidate.values)))
        if evidence.answer
        else [],
        "commands": commands,
        "decisions": {
            "accepted": "confirmed", "rejected": "not confirmed", "undecided": "not confirmed: too few seeds",
            "measured": "measured", None: "not finished",
        },
    }  # fmt: skip


def aim_text(evidence: SearchEvidence) -> str:
    """The aim of the search, in words, and the teacher of its candidates."""
    teacher = evidence.search.base.recipe.teacher_text
    return f"{_aim_text(evidence)} Each candidate {teacher}." if teacher else _aim_text(evidence)


def _aim_text(evidence: SearchEvidence) -> str:
    limit, _ = evidence.state.limits[0]
    budget = evidence.search.base.budget
    smallest = evidence.state.settings.goal == "smallest"
    aim = "The fewest parameters that meet the budget" if smallest else f"The lowest {evidence.split} loss"
    chip = f", and {budget.chip_text}" if budget.chip_text else ""
    if budget.accuracy is None:
        return f"{aim}, with at most {limit:,} parameters{chip}."
    epochs = "the last epoch" if budget.hold == 1 else f"each of the last {budget.hold} epochs"
    return f"{aim}, with at most {limit:,} parameters{chip}. The budget asks for {budget.accuracy:g} % in {epochs}."


def winner_changes(evidence: SearchEvidence) -> list[tuple[str, str, str]]:
    """Name, original value and winner's value of each dimension that has an effect on the winner."""
    if evidence.answer is None:
        return []
    values = evidence.answer.candidate.values
    used = evidence.search.space.used(values)
    return [
        (name, value_text(evidence.original[name]), value_text(values[name]))
        for name in evidence.search.space.dimensions
        if name in used
    ]
