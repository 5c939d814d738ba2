"""The page of a study in a real browser: it says what the runs say, opens their pages, and asks for nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import Opened, launched
from playwright.sync_api import Browser, Page, expect
from support.study import STEPS, write_study

from drilldown import load
from drilldown.analysis.ablation import list_variations
from drilldown.analysis.study import StudyEvidence, gather_study
from drilldown.experiment.studies import Study
from drilldown.report.axes import AccuracyAxis
from drilldown.report.study.charts import effect_whiskers
from drilldown.report.study.html import study_page
from drilldown.report.study.writing import write_study_report
from drilldown.runs.perform import perform
from drilldown.runs.worklist import Watcher, list_tasks, plan_work, train_all

SEEDS = 3
HOSTILE = '</title></script><script>hacked = 1</script><img src=x onerror="hacked = 1"> {{ 7 * 7 }} `a` \u2028 ]]> <!--'
SHOWN = " ".join(HOSTILE.split())
EPOCHS = 3


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as started:
        yield started


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> StudyEvidence:
    """A study of three steps whose second has been taken apart, with prose that wants to be more than text."""
    folder = tmp_path_factory.mktemp("page")
    study = write_study(folder, epochs=EPOCHS)
    second = study / "02-norm.toml"
    quoted = json.dumps(HOSTILE)
    second.write_text(
        second.read_text().replace('title = "Batch norm"', f"title = {quoted}\ntarget = {quoted}\nremark = {quoted}")
    )
    experiments = [load(file) for file in Study(study).steps]
    variations, _ = list_variations(experiments[1])
    everything = [*experiments, *(variation.experiment for variation in variations)]
    plan = plan_work(list_tasks(everything, SEEDS, folder / "runs"))
    train_all(plan, Watcher(), engine="torch", threads=1)
    return gather_study(Study(study), folder / "runs", "drilldown study climb")


@pytest.fixture(scope="module")
def file(evidence: StudyEvidence) -> Path:
    return write_study_report(evidence).html


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Opened]:
    """The page, which must neither ask for anything nor complain."""
    one = Opened(browser, file, viewport={"width": 1100, "height": 900})
    yield one
    complaints, requests, violations = one.complaints, one.requests, one.violations
    one.close()
    assert complaints == []
    assert violations == []
    assert {url for url in requests if not url.startswith(("data:", "blob:"))} == {file.as_uri()}


@pytest.fixture
def page(opened: Opened) -> Page:
    return opened.page


def test_the_ladder_has_the_figures_of_the_runs(page: Page, evidence: StudyEvidence) -> None:
    rows = page.locator(".ladder tbody tr")
    expect(rows).to_have_count(3)
    for index, step in enumerate(evidence.steps):
        row = rows.nth(index)
        right = [tally for one in step.seeds.finished for tally in one.summary["last_correct"]]
        expect(row).to_contain_text(f"{100 * sum(right) / (len(right) * 60):.3f}")
        expect(row).to_contain_text(f"{sum(one.passed for one in step.seeds.finished)} of {SEEDS}")
        expect(row).to_contain_text(f"{step.experiment.model_summary.parameters:,}")
    expect(rows.nth(0)).to_contain_text("99.50")
    expect(rows.nth(1)).to_contain_text("reconstructed")


def test_what_a_step_was_worth_is_said_in_numbers_and_drawn_where_they_are(page: Page, evidence: StudyEvidence) -> None:
    row = page.locator("#worth tbody tr").nth(1)
    change = evidence.steps[2].change
    assert change is not None
    assert change.accuracy is not None
    expect(row).to_contain_text(f"{change.accuracy.mean:+.3f}")
    expect(row).to_contain_text(f"[{change.accuracy.low:+.3f}, {change.accuracy.high:+.3f}]")
    expect(row).to_contain_text("3 things at once")
    effects = [step.change.accuracy for step in evidence.steps if step.change]
    drawn = effect_whiskers(effects)
    for effect, whisker in zip(effects, drawn, strict=True):
        assert effect is not None
        assert whisker is not None
        # Zero and the ends of the interval lie as far apart on paper as in points.
        scale = (whisker.high - whisker.low) / (effect.high - effect.low)
        assert whisker.mean - whisker.zero == pytest.approx(scale * effect.mean, abs=0.02)
        assert whisker.low - whisker.zero == pytest.approx(scale * effect.low, abs=0.02)


def test_the_ablation_is_in_the_page(page: Page, evidence: StudyEvidence) -> None:
    (found,) = evidence.ablations
    rows = page.locator("#ablation tbody tr")
    expect(rows).to_have_count(len(found.removals))
    assert {removal.component for removal in found.removals} == {"batch norm", "momentum"}
    for index, loss in enumerate(found.removals):
        expect(rows.nth(index)).to_contain_text(removal.component)


def test_a_run_that_is_a_step_already_is_not_trained_again_for_the_ablation(evidence: StudyEvidence) -> None:
    plain = next(loss for removal in evidence.ablations[0].removals if removal.component == "batch norm")
    assert plain.seeds.experiment.name == "climb/01-plain"
    assert [one.run for one in plain.seeds.finished] == [one.run for one in evidence.steps[0].seeds.finished]


def test_an_epochs_values_are_read_by_pointer_and_by_keyboard(page: Page, evidence: StudyEvidence) -> None:
    finished = evidence.steps[0].seeds.finished
    first = sum(float(one.epochs[0].test.accuracy) for one in finished) / len(finished)
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


def test_a_step_is_hidden_and_shown_by_its_name(page: Page) -> None:
    name = page.locator("#curves .key").first.get_by_role("button", name="02-norm")
    line = page.locator("#curves svg polyline.step-1").first
    expect(line).to_be_visible()
    name.press("Enter")
    expect(name).to_have_attribute("aria-pressed", "false")
    expect(line).to_be_hidden()
    expect(page.locator("svg g.spread", has_text="02-norm")).to_be_hidden()
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
    own.on("console", lambda said: complaints.append(said.text))
    expect(own.locator("h1")).to_have_text("Wider")
    expect(own.locator(".eyebrow")).to_contain_text("seed 1")
    expect(own.locator("#epochs tbody tr")).to_have_count(EPOCHS)
    expect(own.locator(".figures")).to_contain_text(f"{run.summary['accuracy']['final']:.2f}")
    # The network answers: an example of the run's own, read as PyTorch read it.
    example = own.locator("#examples button").first
    example.click()
    answer = own.locator("#answer").inner_text()
    index = int(re.search(r"\d+", example.get_attribute("aria-label") or "")[0])  # type: ignore[index]
    assert int(answer) == int(run.run.logits()[index].argmax())
    assert complaints == []


def test_prose_from_files_is_text(page: Page) -> None:
    assert page.evaluate("typeof hacked") == "undefined"
    article = page.locator("#steps article").nth(1)
    assert " ".join(article.locator(".goal-text").inner_text().split()) == SHOWN
    assert page.locator("img").count() == 0


def test_it_can_be_read_on_a_telephone_and_printed(browser: Browser, file: Path) -> None:
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


def test_without_the_dataset_the_page_says_why_runs_cannot_be_opened(
    evidence: StudyEvidence, tmp_path: Path, browser: Browser
) -> None:
    letters = evidence.folder.parent.parent / "letters"
    away = letters.rename(letters.with_name("away"))
    try:
        text = study_page(evidence)
    finally:
        away.rename(letters)
    (tmp_path / "page.html").write_text(text, "utf-8")
    one = Opened(browser, tmp_path / "page.html")
    expect(one.page.locator("#steps")).to_contain_text("The pages of the runs are not in this file")
    expect(one.page.locator("[data-page]")).to_have_count(0)
    expect(one.page.locator(".ladder tbody tr")).to_have_count(3)
    assert one.complaints == []
    one.close()


def test_runs_kept_without_weights_are_in_the_ladder_and_have_no_page(tmp_path: Path, browser: Browser) -> None:
    study = write_study(tmp_path, steps=1)
    runs = [perform(load(study / "01-plain.toml"), seed=seed, runs=tmp_path / "runs") for seed in (0, 1)]
    (runs[0].path / "weights.safetensors").unlink()
    one = Opened(browser, write_study_report(gather_study(Study(study), tmp_path / "runs")).html)
    expect(one.page.locator("#steps")).to_contain_text("the weights of 1 of 2 runs are not kept, only their records")
    expect(one.page.locator("#steps .runs li")).to_have_count(2)
    expect(one.page.locator("[data-page]")).to_have_count(1)
    assert one.complaints == []
    one.close()


def test_a_study_of_one_run_and_of_none_finished_for_some_steps(tmp_path: Path, browser: Browser) -> None:
    study = write_study(tmp_path)
    perform(load(study / "01-plain.toml"), runs=tmp_path / "runs", engine="torch")
    one = Opened(browser, write_study_report(gather_study(Study(study), tmp_path / "runs")).html)
    expect(one.page.locator(".ladder tbody tr").first).to_contain_text("one seed, an anecdote")
    expect(one.page.locator("#verdict")).to_contain_text("has not been trained yet")
    expect(one.page.locator("#steps")).to_contain_text("not trained yet")
    assert one.complaints == []
    one.close()


def test_the_accuracy_axis_is_logarithmic_in_what_is_wrong_and_labelled_within_reach() -> None:
    axis = AccuracyAxis.around([0.5, 8.0])
    assert axis.height(8.0) > 0
    assert axis.height(0.5) < 1
    assert axis.height(1.0) - axis.height(2.0) == pytest.approx(axis.height(2.0) - axis.height(4.0))
    assert all(axis.height(100 - tick) == height and 0 <= height <= 1 for tick, height in axis.ticks.items())
    assert {99, 95} <= set(axis.ticks)


def test_steps_are_told_apart_by_more_than_colour(page: Page) -> None:
    dots = [page.locator(f"#curves svg path.dot.step-{n}").first.get_attribute("d") for n in range(len(STEPS))]
    assert len(set(dots)) == len(STEPS)
    dashes = page.evaluate(
        "[0, 1, 2].map((n) => getComputedStyle(document.querySelector(`polyline.step-${n}`)).strokeDasharray)"
    )
    assert len(set(dashes)) == len(STEPS)
