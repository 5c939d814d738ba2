"""The misclassified images in the page of a run: sorted, filtered, and reached from the confusion matrix."""

from __future__ import annotations

from playwright.sync_api import Page


def gallery(page: Page) -> list[dict[str, str]]:
    """The data attributes of the images that are visible, in their order."""
    return list(page.locator("#gallery li:visible").evaluate_all("all => all.map((item) => ({ ...item.dataset }))"))


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
