"""The page of a search in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from drilldown.report.search.analysis import further_commands
from drilldown.report.search.evidence import SearchEvidence
from drilldown.report.search.html import search_page
from drilldown.search.running import load_state
from support.browser import HOSTILE_SHOWN, Open, Opened

COMMAND = "drilldown search stand.toml --candidates 24"
EVERYONE = ("best", "smallest", "nothing", "on_test")


def page_of(evidence: SearchEvidence) -> str:
    return search_page(evidence, further_commands(evidence, COMMAND, has_winner=True))


@pytest.fixture(scope="module")
def file(best: SearchEvidence, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page_of(best), "utf-8")
    return path


@pytest.fixture
def page(open_page: Open, file: Path) -> Page:
    return open_page(file, viewport={"width": 1200, "height": 900}).page


def test_the_answer_stands_first_with_both_figures(page: Page, best: SearchEvidence) -> None:
    answer = best.answer
    assert answer is not None
    assert answer.fresh is not None
    assert answer.differences is not None
    box = page.locator("#verdict .verdict")
    expect(box).to_have_class("verdict met")
    expect(box.locator("h2")).to_contain_text(answer.headline)
    rows = box.locator("tbody tr")
    for index, figures in enumerate((answer.fresh, answer.race)):
        expect(rows.nth(index)).to_contain_text(figures.accuracy_text)
        expect(rows.nth(index)).to_contain_text(figures.loss_text)
        expect(rows.nth(index)).to_contain_text(f"{figures.rate.passed} of {figures.rate.n}")
    expect(rows.nth(2)).to_contain_text(answer.differences[0])
    expect(page.locator("#analysis")).to_contain_text("No decision of the search used it.")


def test_everything_that_was_tried_is_in_the_table_with_the_reason(page: Page, best: SearchEvidence) -> None:
    bodies = page.locator(".candidates tbody")
    expect(bodies).to_have_count(len(best.rows))
    texts = [" ".join(text.split()) for text in bodies.all_inner_texts()]
    for row, text in zip(best.rows, texts, strict=True):
        assert f"{row.candidate.parameters:,}" in text
        assert f"{row.standing.state}: {row.standing.reason}" in text
        assert " ".join(row.candidate.origin.split()) in text
        assert all(f"{name} {value}" in text for name, value in row.changes)
        assert ("on the front" in text) == row.on_front
    expect(page.locator(".candidates .winner")).to_have_count(1)
    expect(page.locator(".candidates .winner")).to_contain_text("winner")


def test_charts_have_a_mark_for_each_candidate_and_each_training(page: Page, best: SearchEvidence) -> None:
    drawn = sum(row.race is not None and row.race.loss is not None and not row.race.diverged for row in best.rows)
    for number in (0, 1):  # the winner's fresh seeds are one more
        expect(page.locator("#front svg[role=img]").nth(number).locator(".dot")).to_have_count(drawn + 1)
    expect(page.locator("#dimensions .thread[points]")).to_have_count(drawn)
    expect(page.locator("#timeline svg[role=img] .dot")).to_have_count(best.trainings)
    assert best.importance is not None
    shares = [int(text) for text in page.locator(".importance td.number").all_inner_texts()]
    assert shares == [round(100 * share) for share in best.importance.values()] == sorted(shares, reverse=True)
    expect(page.locator("#dimensions")).to_contain_text("It does not say in which direction")


def test_text_from_files_stays_text(page: Page) -> None:
    assert page.evaluate("typeof hacked") == "undefined"
    assert HOSTILE_SHOWN in " ".join(page.inner_text("h1").split())
    assert " ".join(page.inner_text("main").split()).count(HOSTILE_SHOWN) == 2  # an origin, and a failure
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2


def test_commands_are_copied(page: Page, best: SearchEvidence) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    texts = page.locator("#continue pre").all_inner_texts()
    assert [text.strip() for text in texts] == [
        command.text for command in further_commands(best, COMMAND, has_winner=True)
    ]
    page.locator("#continue").get_by_role("button").first.press("Enter")
    expect(page.locator("#continue").get_by_role("button").first).to_have_text("Copied")


@pytest.mark.parametrize("name", EVERYONE)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_telephone(name: str, scheme: str, open_page: Open, request: pytest.FixtureRequest) -> None:
    page = open_page(
        page_of(request.getfixturevalue(name)), viewport={"width": 390, "height": 800}, color_scheme=scheme
    ).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    if name != "nothing":  # enough candidates and dimensions
        assert page.locator(".parallel").evaluate("(svg) => svg.clientWidth > 0")


@pytest.mark.parametrize("name", EVERYONE)
def test_the_page_has_structure_names_and_labels(name: str, open_page: Open, request: pytest.FixtureRequest) -> None:
    page = open_page(page_of(request.getfixturevalue(name))).page
    faults = page.evaluate(
        """() => {
            const faults = [], all = (selector) => [...document.querySelectorAll(selector)];
            let level = 1;
            for (const heading of all("h1, h2, h3")) {
                if (+heading.tagName[1] > level + 1) faults.push(`order: ${heading.textContent}`);
                level = +heading.tagName[1];
            }
            for (const table of all("table")) {
                if (!table.caption?.textContent.trim()) faults.push("caption");
                for (const head of table.querySelectorAll("th")) if (!head.scope) faults.push(head.textContent);
            }
            for (const svg of all("svg")) {
                if (svg.getAttribute("aria-hidden") !== "true" && !svg.querySelector("title")) faults.push("svg");
            }
            for (const scrolled of all(".wide, pre")) {
                if (!scrolled.ariaLabel || scrolled.tabIndex !== 0) faults.push(scrolled.className);
            }
            const ids = all("[id]").map((element) => element.id);
            if (new Set(ids).size !== ids.length) faults.push("ids");
            for (const link of all("a[href^='#']")) if (!ids.includes(link.hash.slice(1))) faults.push(link.hash);
            if (all("[style], [onclick]").length) faults.push("inline");
            return faults;
        }"""
    )
    assert faults == []


def test_a_search_on_the_test_images_is_stamped(open_page: Open, on_test: SearchEvidence, page: Page) -> None:
    expect(page.locator(".stamp")).to_have_count(0)
    stamped = open_page(page_of(on_test)).page
    stamp = stamped.locator(".stamp b")
    expect(stamp).to_have_text("Chosen on the test images")
    assert stamp.evaluate("(element) => parseFloat(getComputedStyle(element).fontSize)") >= 24
    expect(stamped.locator("footer")).to_contain_text("Chosen on the test images")
    expect(stamped.locator("#verdict")).to_contain_text("test images")


def test_limits_are_shown_for_the_smallest(open_page: Open, smallest: SearchEvidence, page: Page) -> None:
    expect(page.locator(".limits")).to_have_count(0)
    rows = open_page(page_of(smallest)).page.locator(".limits tbody tr")
    expect(rows).to_have_count(len(smallest.limits))
    for index, tried in enumerate(smallest.limits):
        expect(rows.nth(index)).to_contain_text(f"{tried.limit:,}")
        expect(rows.nth(index)).to_contain_text(tried.outcome)


def test_without_scripts_and_on_paper_everything_is_there(browser: Browser, file: Path, best: SearchEvidence) -> None:
    bare = Opened(browser, file, java_script_enabled=False)
    expect(bare.page.locator(".candidates tbody")).to_have_count(len(best.rows))
    bare.page.emulate_media(media="print")
    for part in ("#verdict", ".candidates", ".parallel", "#timeline svg", "#continue pre"):
        expect(bare.page.locator(part).first).to_be_visible()
    expect(bare.page.locator(".sections")).to_be_hidden()
    bare.close()


def test_a_search_that_has_just_begun_has_a_page(open_page: Open, best: SearchEvidence) -> None:
    for count in (0, 1, 2, 3):
        events = [*best.events[:count]]
        begun = SearchEvidence(best.search, load_state(best.search, events), events, best.folder)
        page = open_page(search_page(begun, further_commands(begun, COMMAND, has_winner=False))).page
        if count < 3:
            expect(page.locator("#verdict")).to_contain_text("No candidate has a result yet")
        else:
            expect(page.locator("#dimensions")).to_contain_text("Importance needs 20 candidates with results")
