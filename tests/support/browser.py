"""A real browser for the tests of pages: Chromium, as the system has it, driven by Playwright."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route, sync_playwright

HOSTILE = (
    '</title></script><script>hacked = 1</script><img src=x onerror="hacked = 1"> {{ 7 * 7 }} '
    "&lt;b&gt; 'quoted' “ \u2028 ]]> <!-- | [x](http://a) `code` # "
)
"""Text that a careless report would take for HTML, Markdown, a template or the end of a script."""
HOSTILE_SHOWN = " ".join(HOSTILE.split())
"""The same text as a browser shows it."""
CLOSE = 1e-4
"""The largest difference allowed between a browser's logits and PyTorch's."""
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


@contextmanager
def launched() -> Iterator[Browser]:
    """Starts Chromium without a window. Where there is none, the test is skipped; on CI it fails."""
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
    """A page opened from disk without a network; records its requests and its error messages."""

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
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(file.as_uri())

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

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


Open = Callable[..., Opened]
"""Opens a file, or text as a file; takes Playwright's options of a browser context."""


def base64_text(content: bytes) -> str:
    """Bytes as text that a page's `bytesOf` reads."""
    return base64.b64encode(content).decode()
