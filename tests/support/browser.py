"""A real browser for the tests of pages: Chromium, as the system has it, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, Route, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


@contextmanager
def launched() -> Iterator[Browser]:
    """Chromium without a window; without it the test is skipped, and fails where it must not be (CI)."""
    executable = os.environ.get("DRILLDOWN_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        reason = "no Chromium: install it (Debian: apt-get install chromium) or name it in DRILLDOWN_CHROMIUM"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright:
        # The sandbox needs rights that containers do not give; the pages are our own.
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page opened from disk with no network, and all that it asked for and complained of."""

    def __init__(self, browser: Browser, file: Path, **options: Any) -> None:
        self.file = file
        self.requests: list[str] = []
        self.failures: list[str | None] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(offline=True, **options)
        self.context.route("**/*", self._only_files)
        self.context.add_init_script(WATCH)
        self.page: Page = self.context.new_page()
        self.page.on("request", self._note)
        self.page.on("requestfailed", lambda request: self.failures.append(request.failure))
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(file.as_uri())

    def _note(self, request: Request) -> None:
        self.requests.append(request.url)

    def _only_files(self, route: Route) -> None:
        if route.request.url.startswith("file:"):
            route.continue_()
        else:
            route.abort()

    @property
    def violations(self) -> list[str]:
        return list(self.page.evaluate("window.violations ?? []"))

    def close(self) -> None:
        self.context.close()
