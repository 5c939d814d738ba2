"""The report of a search as Markdown; its figures are PNG files."""

from __future__ import annotations

from collections.abc import Sequence

from drilldown.report.search.analysis import Command
from drilldown.report.search.evidence import SearchEvidence
from drilldown.report.search.html import report_context
from drilldown.report.text import TEXT_TEMPLATES


def search_markdown(evidence: SearchEvidence, commands: Sequence[Command], figures: Sequence[str]) -> str:
    """The report of a search, as Markdown; `figures`: the names of the files beside it."""
    return TEXT_TEMPLATES.get_template("search.md.j2").render(figures=figures, **report_context(evidence, commands))
