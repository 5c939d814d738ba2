"""The misclassified images in the page of a run: sorted, filtered, and reached from the confusion matrix."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from drilldown.report.run.html import UNFOLDED


@pytest.fixture
def page(page: Page) -> Page:
    """The report of the run with all its images unfolded."""
    page.locator("summary", has_text="The other").click()
    return page


def gallery(page: Page) -> list[dict[str, str]]:
    """The data attributes of the images that are visible, in their order."""
    return list(page.locator(".gallery li:visible").evaluate_all("all => all.map((item) => ({ ...item.dataset }))"))


def test_misclassified_images_are_sorted_and_filtered_by_keyboard(page: Page) -> None:
    every = gallery(page)
    assert len(every) > 20
    assert [float(m["confidence"]) for m in every] == sorted((float(m["confidence"]) for m in every), reverse=True)
    page.focus("#sort")
    page.keyboard.press("ArrowDown")
    assert [float(m["confidence"]) for m in gallery(page)] == sorted(float(m["confidence"]) for m in every)
    page.keyboard.press("ArrowDown")
    assert [int(m["index"]) for m in gallery(page)] == sorted(int(m["index"]) for m in every)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    truth = page.input_value("#truth")
    chosen = gallery(page)
    assert {m["truth"] for m in chosen} == {truth}
    assert len(chosen) == sum(m["truth"] == truth for m in every)
    assert page.inner_text("#shown") == f"{len(chosen)} of {len(every)}"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    predicted = page.input_value("#predicted")
    assert {(m["truth"], m["predicted"]) for m in gallery(page)} <= {(truth, predicted)}
    page.select_option("#truth", "")
    assert len(gallery(page)) == sum(m["predicted"] == predicted for m in every)


def test_a_cell_of_the_confusion_matrix_shows_its_images(page: Page) -> None:
    image = gallery(page)[0]
    page.locator(".confusion tbody tr").nth(int(image["truth"])).locator("td").nth(int(image["predicted"])).click()
    assert {(m["truth"], m["predicted"]) for m in gallery(page)} == {(image["truth"], image["predicted"])}


def test_beyond_a_few_rows_the_images_are_folded(page: Page) -> None:
    every = len(gallery(page))
    fold = page.locator("#misclassified details")
    summary = fold.locator("summary")
    assert summary.inner_text() == f"The other {every - UNFOLDED} images"
    summary.click()
    assert len(gallery(page)) == UNFOLDED
    truth = gallery(page)[0]["truth"]
    page.select_option("#truth", truth)
    few = len(gallery(page))
    assert few < UNFOLDED
    expect(fold).to_be_hidden()
    assert page.inner_text("#shown") == f"{few} of {every}"
    page.select_option("#truth", "")
    expect(fold).to_be_visible()
