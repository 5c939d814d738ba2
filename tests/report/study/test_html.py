"""The page of a study in a real browser: it shows the figures of the runs, and opens their pages."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from drilldown import load
from drilldown.analysis.study import StudyEvidence, gather_study
from drilldown.experiment.budget import Budget
from drilldown.experiment.studies import Study
from drilldown.report.run.writing import write_run_report
from drilldown.report.study import run_pages
from drilldown.report.study.html import study_page
from drilldown.report.study.markdown import study_markdown
from drilldown.report.study.run_pages import RunPages, collect_pages
from drilldown.report.study.writing import write_study_report
from drilldown.runs.perform import perform
from drilldown.settings import Compute, Folders
from support.browser import HOSTILE_SHOWN, Open, Opened
from support.study import STEPS, write_study

TORCH = Compute(engine="torch", threads=1)
SEEDS = 3
EPOCHS = 3


@pytest.fixture(scope="module")
def file(evidence: StudyEvidence) -> Path:
    return write_study_report(evidence).html


@pytest.fixture
def page(open_page: Open, file: Path) -> Page:
    return open_page(file, viewport={"width": 1100, "height": 900}).page


def test_the_ladder_has_the_figures_of_the_runs(page: Page, evidence: StudyEvidence) -> None:
    rows = page.locator(".ladder tbody tr")
    expect(rows).to_have_count(3)
    for index, step in enumerate(evidence.steps):
        row = rows.nth(index)
        correct = [tally for run in step.seeds.finished for tally in run.summary.last_correct]
        expect(row).to_contain_text(f"{100 * sum(correct) / (len(correct) * 60):.3f}")
        expect(row).to_contain_text(f"{sum(run.passed for run in step.seeds.finished)} of {SEEDS}")
        expect(row).to_contain_text(f"{step.experiment.model_summary.parameters:,}")
    expect(rows.nth(0)).to_contain_text("99.50")
    expect(rows.nth(1)).to_contain_text("reconstructed")


def test_the_effect_of_a_step_is_shown_with_its_interval(page: Page, evidence: StudyEvidence) -> None:
    row = page.locator("#effects tbody tr").nth(1)
    change = evidence.steps[2].change
    assert change is not None
    assert change.accuracy is not None
    expect(row).to_contain_text(f"{change.accuracy.mean:+.3f}")
    expect(row).to_contain_text(f"[{change.accuracy.low:+.3f}, {change.accuracy.high:+.3f}]")
    expect(row).to_contain_text("3 changes at once")


def test_the_ablation_is_in_the_page(page: Page, evidence: StudyEvidence) -> None:
    (ablation,) = evidence.ablations
    rows = page.locator("#ablation tbody tr")
    expect(rows).to_have_count(len(ablation.removals))
    assert {removal.component for removal in ablation.removals} == {"batch norm", "momentum"}
    for index, removal in enumerate(ablation.removals):
        expect(rows.nth(index)).to_contain_text(removal.component)


def test_the_ablation_takes_the_runs_of_a_step_that_is_already_trained(evidence: StudyEvidence) -> None:
    plain = next(removal for removal in evidence.ablations[0].removals if removal.component == "batch norm")
    assert plain.seeds.experiment.name == "climb/01-plain"
    assert [run.run for run in plain.seeds.finished] == [run.run for run in evidence.steps[0].seeds.finished]


def test_the_values_of_an_epoch_are_shown_by_pointer_and_by_keyboard(page: Page, evidence: StudyEvidence) -> None:
    finished = evidence.steps[0].seeds.finished
    first = sum(float(run.epochs[0].test.accuracy) for run in finished) / len(finished)
    shown = page.locator("#curves .key").first.locator("b").first
    chart = page.locator(".chart > svg").first
    box = chart.bounding_box()
    assert box is not None
    chart.hover(position={"x": box["width"] * 0.1, "y": box["height"] / 2})
    expect(page.locator("#epoch-shown")).to_have_text("1")
    expect(shown).to_have_text(f"{first:.2f} %")
    slider = page.locator("#epoch")
    slider.focus()
    slider.press("End")
    expect(page.locator("#epoch-shown")).to_have_text(str(EPOCHS))
    assert "01-plain" in (slider.get_attribute("aria-valuetext") or "")


def test_a_click_on_its_name_hides_and_shows_a_step(page: Page) -> None:
    name = page.locator("#curves .key").first.get_by_role("button", name="02-norm")
    line = page.locator("#curves svg polyline.step-1").first
    expect(line).to_be_visible()
    name.press("Enter")
    expect(name).to_have_attribute("aria-pressed", "false")
    expect(line).to_be_hidden()
    expect(page.locator("svg g.spread", has_text="02-norm")).to_be_hidden()
    expect(page.locator("#curves svg polygon.band.step-1")).to_be_hidden()
    expect(page.locator("#curves svg polyline.step-0").first).to_be_visible()
    name.press("Enter")
    expect(line).to_be_visible()


@pytest.mark.parametrize("by", ["click", "keyboard"])
def test_a_runs_page_opens_with_its_network_in_it(page: Page, evidence: StudyEvidence, by: str) -> None:
    run = evidence.steps[2].seeds.finished[1]
    link = page.locator("#steps article").nth(2).get_by_role("link", name="seed 1")
    with page.context.expect_page() as opening:
        if by == "click":
            link.click()
        else:
            link.focus()
            link.press("Enter")
    own = opening.value
    complaints: list[str] = []
    own.on("console", lambda message: complaints.append(message.text))
    expect(own.locator("h1")).to_have_text("Wider")
    expect(own.locator(".eyebrow")).to_contain_text("seed 1")
    expect(own.locator("#epochs tbody tr")).to_have_count(EPOCHS)
    expect(own.locator(".figures")).to_contain_text(f"{run.summary.accuracy.final:.2f}")
    # The network answers: an example of the run's own, read as PyTorch read it.
    example = own.locator("#examples button").first
    example.click()
    predicted = own.locator("#prediction").inner_text()
    index = int(re.search(r"\d+", example.get_attribute("aria-label") or "")[0])  # type: ignore[index]
    assert int(predicted) == int(run.run.logits()[index].argmax())
    assert complaints == []


def test_text_from_files_stays_text(page: Page) -> None:
    assert page.evaluate("typeof hacked") == "undefined"
    article = page.locator("#steps article").nth(1)
    assert " ".join(article.locator(".goal-text").inner_text().split()) == HOSTILE_SHOWN
    assert page.locator("img").count() == 0


def test_the_page_fits_a_telephone_and_prints(browser: Browser, file: Path) -> None:
    small = Opened(browser, file, viewport={"width": 360, "height": 740})
    assert small.page.evaluate("document.documentElement.scrollWidth") <= 360
    small.page.emulate_media(media="print")
    expect(small.page.locator(".ladder")).to_be_visible()
    expect(small.page.locator("#curves .key").first).to_contain_text("02-norm")  # a legend is no mere button
    expect(small.page.locator("#curves .key button").first).to_be_visible()
    small.close()


def test_without_scripts_all_figures_are_there(browser: Browser, file: Path) -> None:
    bare = Opened(browser, file, java_script_enabled=False)
    expect(bare.page.locator(".ladder tbody tr")).to_have_count(3)
    expect(bare.page.locator("noscript")).to_be_visible()
    expect(bare.page.locator("#steps a[data-page]").first).to_be_hidden()
    bare.context.close()


def test_without_the_dataset_the_page_says_why_it_contains_no_runs(
    evidence: StudyEvidence, tmp_path: Path, browser: Browser
) -> None:
    letters = evidence.folder.parent.parent / "letters"
    away = letters.rename(letters.with_name("away"))
    try:
        text = study_page(evidence, collect_pages(evidence))
    finally:
        away.rename(letters)
    (tmp_path / "page.html").write_text(text, "utf-8")
    opened = Opened(browser, tmp_path / "page.html")
    expect(opened.page.locator("#steps")).to_contain_text("The pages of the runs are missing")
    expect(opened.page.locator("[data-page]")).to_have_count(0)
    expect(opened.page.locator(".ladder tbody tr")).to_have_count(3)
    assert opened.complaints == []
    opened.close()


def test_a_large_study_links_the_pages_of_its_runs(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path, steps=1)
    runs = [
        perform(load(study / "01-plain.toml"), seed=seed, folders=Folders(runs=tmp_path / "runs")) for seed in (0, 1)
    ]
    write_run_report(runs[0])
    (runs[1].path / "report.html").write_text("the page of an earlier training")
    written = (runs[0].path / "report.html").stat().st_mtime_ns
    monkeypatch.setattr(run_pages, "MAX_PACKED_BYTES", 100_000)
    report = write_study_report(gather_study(Study(study), tmp_path / "runs")).html
    assert report.stat().st_size < 100_000
    assert (runs[0].path / "report.html").stat().st_mtime_ns == written
    opened = Opened(browser, report)
    expect(opened.page.locator("#steps")).to_contain_text("The pages of 2 runs would make this file too large")
    for seed in (0, 1):
        with opened.context.expect_page() as new:
            opened.page.get_by_role("link", name=f"seed {seed}").click()
        expect(new.value.locator(".eyebrow")).to_contain_text(f"seed {seed}")
    assert opened.complaints == []
    opened.close()


def test_runs_without_weights_are_in_the_ladder_but_have_no_page(tmp_path: Path, browser: Browser) -> None:
    study = write_study(tmp_path, steps=1)
    runs = [
        perform(load(study / "01-plain.toml"), seed=seed, folders=Folders(runs=tmp_path / "runs")) for seed in (0, 1)
    ]
    (runs[0].path / "weights.safetensors").unlink()
    opened = Opened(browser, write_study_report(gather_study(Study(study), tmp_path / "runs")).html)
    expect(opened.page.locator("#steps")).to_contain_text("the weights of 1 of 2 runs are not kept, only their records")
    expect(opened.page.locator("#steps .runs li")).to_have_count(2)
    expect(opened.page.locator("[data-page]")).to_have_count(1)
    assert opened.complaints == []
    opened.close()


def test_a_study_with_a_single_run_has_a_page(tmp_path: Path, browser: Browser) -> None:
    study = write_study(tmp_path)
    perform(load(study / "01-plain.toml"), compute=TORCH, folders=Folders(runs=tmp_path / "runs"))
    opened = Opened(browser, write_study_report(gather_study(Study(study), tmp_path / "runs")).html)
    expect(opened.page.locator(".ladder tbody tr").first).to_contain_text("one seed, an anecdote")
    expect(opened.page.locator("#verdict")).to_contain_text("has not been trained yet")
    expect(opened.page.locator("#steps")).to_contain_text("not trained yet")
    assert opened.complaints == []
    opened.close()


def test_steps_are_told_apart_by_more_than_colour(page: Page) -> None:
    dots = [page.locator(f"#curves svg path.dot.step-{n}").first.get_attribute("d") for n in range(len(STEPS))]
    assert len(set(dots)) == len(STEPS)
    dashes = page.evaluate(
        "[0, 1, 2].map((n) => getComputedStyle(document.querySelector(`polyline.step-${n}`)).strokeDasharray)"
    )
    assert len(set(dashes)) == len(STEPS)


def with_experiments(evidence: StudyEvidence, **changes: object) -> StudyEvidence:
    """The study with changed experiments."""
    steps = tuple(
        replace(step, seeds=replace(step.seeds, experiment=step.experiment.model_copy(update=changes)))
        for step in evidence.steps
    )
    return replace(evidence, steps=steps)


def test_reported_figures_show_only_where_a_source_reported_some(evidence: StudyEvidence) -> None:
    own = with_experiments(evidence, reported=None, reconstructed=False)
    for text in (study_page(own, RunPages()), study_markdown(own)):
        for words in ("eported", "ithin the spread", "author", "the source", "we "):
            assert words not in text
    page, text = study_page(evidence, RunPages()), study_markdown(evidence)
    assert "reported, %" in page
    assert "reported train / test" in text
    assert "within the spread" in page
    assert "within the spread" in text


def test_many_runs_of_a_step_are_folded(evidence: StudyEvidence, open_page: Open) -> None:
    first = evidence.steps[0]
    many = replace(first.seeds, finished=first.seeds.finished * 5)
    page = open_page(study_page(replace(evidence, steps=(replace(first, seeds=many),)), RunPages())).page
    runs = page.locator("#steps .runs")
    expect(runs).to_be_hidden()
    page.locator("#steps summary", has_text="15 runs").click()
    expect(runs).to_be_visible()


def test_a_step_without_a_budget_is_not_said_to_meet_one(evidence: StudyEvidence, open_page: Open) -> None:
    page = open_page(study_page(with_experiments(evidence, budget=Budget()), RunPages())).page
    expect(page.locator("#verdict h2")).to_contain_text("The last step has no budget")


def test_paper_cuts_no_table(page: Page) -> None:
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 680, "height": 900})  # A4 with margins of 1.5 cm
    ends = page.locator("main table").evaluate_all("all => all.map((table) => table.getBoundingClientRect().right)")
    assert len(ends) > 3
    assert max(ends) <= 680
