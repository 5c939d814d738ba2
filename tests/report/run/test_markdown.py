"""The Markdown report on a run: complete and escaped."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from drilldown import Run
from drilldown.report.run.evidence import gather_run
from drilldown.report.run.markdown import run_markdown
from drilldown.report.text import escape_text


@pytest.fixture(scope="module")
def page(run: Run) -> str:
    return run_markdown(gather_run(run))


def test_the_report_has_all_its_sections(run: Run, page: str) -> None:
    for heading in (
        "Target", "Analysis", "Changes from", "Curves", "Network", "Augmented training images", "Misclassified",
        "Reproduce",
    ):  # fmt: skip
        assert f"## {heading}" in page
    assert "| `recipe.batch_size` | 32 | 16 |" in page
    assert "+ conv 3x3 6, bn, relu, dropout 0.1" in page
    assert "- conv 3x3 4, bn, relu, dropout 0.1" in page
    for epoch in run.epochs:
        assert f"| {epoch.epoch} |" in page
    assert "training accuracy, no augmentation, eval mode" in page
    assert "99.46" in page


def test_text_from_files_stays_text(page: str) -> None:
    before_toml = page.split("## Reproduce")[0]
    assert "<script>" not in before_toml
    assert re.search(r"(?<!\\)\]\(http", before_toml) is None
    title = next(line for line in page.splitlines() if line.startswith("# "))
    assert re.search(r"(?<!\\)\|", title) is None


def test_a_step_without_changes_says_so(run: Run, page: str) -> None:
    sentence = "No setting and no layer changed"
    assert sentence not in page
    evidence = gather_run(run)
    unchanged = replace(evidence, experiment=evidence.experiment.located(parent=evidence.experiment))
    assert sentence in run_markdown(unchanged)


def test_control_characters_of_a_title_do_not_reach_a_terminal_that_shows_the_report() -> None:
    assert escape_text("\x1b[31mred\x1b[0m \x9b \u202e") == r"\\x1b\[31mred\\x1b\[0m \\u009b \\u202e"
