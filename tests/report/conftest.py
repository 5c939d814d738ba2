"""A browser for the tests of pages, and pages that are opened in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from support.browser import Open, Opened, launched


@pytest.fixture(scope="module")  # Playwright holds an event loop, which tests of notebooks must not meet
def browser() -> Iterator[Browser]:
    with launched() as started:
        yield started


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a file, or text as a file; at the end, checks that the page requested nothing and reported no error."""
    opened: list[Opened] = []

    def open_(page: Path | str, **options: Any) -> Opened:
        if isinstance(page, str):
            (tmp_path / "page.html").write_text(page, "utf-8")
            page = tmp_path / "page.html"
        opened.append(Opened(browser, page, **options))
        return opened[-1]

    yield open_
    for item in opened:
        complaints, requests, violations = item.complaints, item.requests, item.violations
        item.close()
        assert complaints == []
        assert violations == []
        assert {url for url in requests if not url.startswith(("data:", "blob:"))} == {item.file.as_uri()}
