"""A page is closed: text from files stays text, and its policy forbids the network and foreign code."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page

from drilldown import Run
from drilldown.report.page import build_page
from support.browser import HOSTILE, HOSTILE_SHOWN, Open, Opened


def test_text_from_files_stays_text(page: Page) -> None:
    for text in (page.inner_text("h1"), page.title(), page.inner_text(".target")):
        assert HOSTILE_SHOWN in " ".join(text.split())
    remarks = " ".join(" ".join(page.locator(".remark").all_inner_texts()).split())
    assert remarks.count(HOSTILE_SHOWN) == 2  # the source's note, and the experiment's own
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.locator("script").count() == 5  # the data and four of ours
    assert page.locator("main img:not([src^='data:image/png'])").count() == 0


def test_embedded_data_is_read_back_unchanged(open_page: Open) -> None:
    opened = open_page(build_page("base.html.j2", scripts=[], data={"text": HOSTILE + "\u2029<!--<script>"})).page
    assert (
        opened.evaluate("JSON.parse(document.getElementById('data').textContent).text")
        == HOSTILE + "\u2029<!--<script>"
    )


def test_the_policy_forbids_the_network_and_foreign_code(browser: Browser, run: Run) -> None:
    opened = Opened(browser, run.path / "report.html")
    for attempt in (
        "fetch('https://example.org/')",
        "new Promise((done, fail) => Object.assign(new Image(), { onload: done, onerror: () => fail(Error('refused')), "
        "src: 'https://example.org/x.png' }))",
        "new Promise((done, fail) => { const script = document.createElement('script'); "
        "script.textContent = 'hacked = 1'; document.body.append(script); "
        "setTimeout(() => (window.hacked ? done : fail)(Error('refused')), 50) })",
    ):
        with pytest.raises(Exception, match=r"refused|Failed to fetch|violates"):
            opened.page.evaluate(attempt)
    assert len(opened.violations) == 3
    assert set(opened.failures) <= {"csp"}  # stopped before the network was asked
    opened.close()
