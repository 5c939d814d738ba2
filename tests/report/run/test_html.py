"""The page of a run: it says what the run says, for any finished run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from drilldown import Compute, Folders, Run, load, perform
from drilldown.report.run.analysis import run_sentences
from drilldown.report.run.evidence import gather_run
from drilldown.report.run.html import run_page
from drilldown.report.svg import WIDTH
from support.browser import Open
from support.cli import world

TORCH = Compute(engine="torch")


def test_the_verdict_comes_first(page: Page, run: Run) -> None:
    assert re.match("(✓ Budget met|✗ Budget not met) on the test images", page.locator("main h2").first.inner_text())
    verdict = page.inner_text("#verdict")
    assert run.verdict is not None
    for line in run.verdict.lines:
        assert line.found in verdict
        assert line.by in verdict
        assert line.limit in verdict


def test_the_page_holds_the_same_facts_as_the_markdown(page: Page, run: Run) -> None:
    gathered = gather_run(run)
    analysis = page.inner_text("#analysis").replace("\N{NO-BREAK SPACE}", " ")
    for sentence in run_sentences(gathered):
        assert sentence.replace("`", "") in analysis
    changes = page.inner_text("#changes")
    assert "recipe.batch_size\t32\t16" in changes
    assert "+ conv 3x3 6, bn, relu, dropout 0.1" in changes
    assert "- conv 3x3 4, bn, relu, dropout 0.1" in changes
    for row in run.experiment.model_summary.layers:
        assert f"{row.name}\t{row.layer}\t{'×'.join(map(str, row.output))}" in page.inner_text(".network")
    cells = page.locator(".confusion tbody td").all_inner_texts()
    assert [int(text or 0) for text in cells] == gathered.confusion.flatten().tolist()
    assert page.locator(".gallery li").count() == len(gathered.misclassified)
    for name, version in run.read().summary.versions.items():
        assert f"{name}\n{version}" in page.inner_text(".versions")
    assert page.locator("#epochs tbody tr").count() == len(run.epochs)


def test_charts_show_the_values_of_an_epoch_on_hover_and_by_keyboard(page: Page, run: Run) -> None:
    chart = page.locator(".chart > svg").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    left, right = (float(chart.get_attribute(f"data-{side}") or 0) / WIDTH for side in ("left", "right"))

    def check_values(epoch: int) -> None:
        record = run.epochs[epoch - 1]
        assert page.inner_text("#epoch-shown") == str(epoch)
        accuracy, loss, rate = page.locator(".key").all_inner_texts()
        assert f"{float(record.test.accuracy):.2f} %" in accuracy
        assert f"{float(record.train.accuracy):.2f} %" in accuracy
        assert f"{record.test.loss:.4f}" in loss
        assert f"{record.train.loss:.4f}" in loss
        assert f"{record.lr:.3g}" in rate
        assert f"{record.test.correct:,} of {record.test.total:,}" in page.inner_text("#epoch-figures")

    check_values(len(run.epochs))
    for epoch in (2, 5):
        share = left + (epoch - 0.5) / len(run.epochs) * (right - left)
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        check_values(epoch)
        assert chart.locator(".cursor").get_attribute("hidden") is None
    page.focus("#epoch")
    page.keyboard.press("Home")
    check_values(1)
    page.keyboard.press("ArrowRight")
    check_values(2)
    spoken = page.get_attribute("#epoch", "aria-valuetext") or ""
    assert spoken.startswith("epoch 2: ")
    assert f"{run.epochs[1].test.correct:,} of" in spoken


def test_the_experiment_is_copied(open_page: Open, run: Run) -> None:
    opened = open_page(run.path / "report.html", permissions=["clipboard-read", "clipboard-write"])
    button = opened.page.locator("[data-copy=toml]")
    button.press("Enter")
    expect(button).to_have_text("Copied")
    assert opened.page.evaluate("navigator.clipboard.readText()").strip() == run.experiment.to_toml().strip()


def test_without_scripts_the_page_is_still_complete(open_page: Open, run: Run) -> None:
    opened = open_page(run.path / "report.html", java_script_enabled=False).page
    assert "switched off" in opened.inner_text("noscript")
    for control in ("#pad", "#examples", "#maps", "#filters", "#epoch", "[data-copy]"):
        assert not opened.locator(control).is_visible()
    opened.locator("summary", has_text="The other").click()
    assert opened.locator(".gallery li:visible").count() == len(gather_run(run).misclassified)
    assert f"{run.epochs[-1].test.correct:,} of" in opened.inner_text("#epoch-figures")


NO_BUDGET = "no budget"


@pytest.mark.parametrize(
    "changes",
    [
        ["recipe.epochs=1", "recipe.holdout=50"],
        ["recipe.epochs=17", NO_BUDGET],
        ["recipe.epochs=2", "budget.accuracy=100", "budget.hold=1"],
    ],
    ids=["one epoch, held out", "many epochs, no budget", "not met"],
)
def test_any_finished_run_has_a_page(changes: list[str], open_page: Open, tmp_path: Path) -> None:
    file = world(tmp_path)
    if NO_BUDGET in changes:
        file.write_text(file.read_text().partition("[budget]")[0])
    settings = [change for change in changes if change != NO_BUDGET]
    finished = perform(load(file, settings), compute=TORCH, folders=Folders(runs=tmp_path / "runs"))
    opened = open_page(run_page(gather_run(finished))).page
    assert opened.locator(".chart").count() == 3
    assert ("No budget is set" in opened.inner_text("#verdict")) == (NO_BUDGET in changes)
    assert ("validation accuracy" in opened.inner_text("#verdict")) == ("recipe.holdout=50" in changes)
    assert opened.inner_text("#prediction").isdigit()


def test_a_usual_page_is_small(run: Run) -> None:
    assert (run.path / "report.html").stat().st_size < 400_000
