"""The drawing pad: a drawing is prepared and predicted as Python does it, and each layer shows its maps."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from playwright.sync_api import Page, expect

from drilldown import Run
from drilldown.data.conventions import Conventions
from drilldown.data.framing import fit_whole
from drilldown.data.loading import load_dataset
from drilldown.data.preparation import place_ink
from drilldown.errors import DrilldownError
from drilldown.report.page import build_page
from drilldown.report.run.evidence import gather_run
from support.browser import CLOSE, Open, base64_text


def drawings() -> Iterator[np.ndarray]:
    """Drawings of all proportions: large and small, off centre, symmetric, a dot, a full square."""
    generator = np.random.default_rng(3)
    for height, width in ((280, 280), (280, 280), (100, 60), (15, 12), (33, 90), (300, 7)):
        ink = np.zeros((height, width), np.float32)
        for _ in range(3):
            top, left = generator.integers(0, height), generator.integers(0, width)
            bottom, right = generator.integers(top, height) + 1, generator.integers(left, width) + 1
            ink[top:bottom, left:right] = generator.uniform(60, 255, (bottom - top, right - left))
        ink[height // 2, width // 2] = 255
        yield ink
    bar = np.zeros((280, 280), np.float32)
    bar[40:240, 105:175] = 255  # 7 pixels wide when scaled: its mass lies midway between two
    yield bar
    dot = np.zeros((280, 280), np.float32)
    dot[3, 277] = 200
    yield dot
    yield np.full((20, 20), 255, np.float32)


CONVENTIONS = (
    Conventions(single=False),
    Conventions(widest=40.0),
    Conventions(polarity="dark-on-light", box=0.9, centre="middle", widest=40.0),
    Conventions(sizes=(0.2, 0.9), offset=0.4),
    Conventions(framing="whole"),
    Conventions(polarity=None, framing="whole"),
)


@pytest.mark.parametrize("conventions", CONVENTIONS, ids=str)
def test_drawings_are_prepared_as_pictures_are(conventions: Conventions, open_page: Open) -> None:
    opened = open_page(build_page("base.html.j2", scripts=["network.js", "prepare.js"], data={})).page
    problems = 0
    for ink in drawings():
        for height, width in ((28, 28), (28, 20), (32, 48)):
            found = opened.evaluate(
                """([ink, size, conventions]) => {
                  const { image, problem } = prepare(new Float32Array(bytesOf(ink).buffer), ...size, conventions);
                  return { image: [...image], problem };
                }""",
                [base64_text(ink.tobytes()), [ink.shape[1], ink.shape[0], width, height], conventions.to_json()],
            )
            expected = prepared_in_python(ink, height, width, conventions)
            assert (found["problem"] is not None) == (expected is None), (ink.shape, found["problem"])
            if expected is None:
                problems += 1
                continue
            difference = np.abs(np.array(found["image"], int) - expected.flatten().numpy().astype(int))
            assert difference.max() <= 1, (ink.shape, height, width)
    assert (problems > 0) == (conventions.framing == "box" and conventions.single)


def prepared_in_python(ink: np.ndarray, height: int, width: int, conventions: Conventions) -> torch.Tensor | None:
    """The image of a drawing; None where the drawing is refused."""
    try:
        is_whole = conventions.framing == "whole"
        image = fit_whole(ink, height, width) if is_whole else place_ink(ink, height, width, conventions)
    except DrilldownError:
        return None
    return 255 - image if conventions.polarity == "dark-on-light" else image


def test_several_objects_on_the_pad_are_not_classified(page: Page) -> None:
    draw(page, (0.2, 0.2), (0.2, 0.8))
    draw(page, (0.8, 0.2), (0.8, 0.8))
    expect(page.locator("#confidence")).to_have_text("several objects: draw only one")
    expect(page.locator("#prediction")).to_have_text("–")


def check_prediction(page: Page, run: Run) -> None:
    """The drawing on the pad is prepared and predicted as in Python, and the page shows the same probabilities."""
    page.wait_for_timeout(150)  # longer than the page waits for a slow network
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    ink, seen = page.evaluate("[[...pad.ink], [...pad.image]]")
    image = place_ink(np.array(ink, np.float32).reshape(280, 280), 28, 28, run.conventions())
    assert np.abs(np.array(seen, int) - image.flatten().numpy().astype(int)).max() <= 1
    (mean,), (std,) = run.normalisation
    pixels = torch.tensor(seen).view(1, 1, 28, 28) / 255
    with torch.inference_mode():
        shares = run.model()((pixels - mean) / std).softmax(1)[0]
    assert page.inner_text("#prediction") == str(int(shares.argmax()))
    shown = [float(text.removesuffix(" %")) for text in page.locator("#probabilities td:last-child").all_inner_texts()]
    assert len(shown) == 10
    assert np.allclose(shown, 100 * shares.numpy(), atol=0.06)
    assert page.locator("#probabilities .best th").inner_text() == page.inner_text("#prediction")


def draw(page: Page, *points: tuple[float, float]) -> None:
    """Draws a line through points, in shares of the pad."""
    page.locator("#paper").scroll_into_view_if_needed()
    box = page.locator("#paper").bounding_box()
    assert box is not None
    for number, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=6)
        if number == 0:
            page.mouse.down()
    page.mouse.up()


def test_a_digit_drawn_with_the_mouse_is_classified(page: Page, run: Run) -> None:
    draw(page, (0.3, 0.2), (0.7, 0.2), (0.45, 0.85))  # a seven; it replaces the first example
    check_prediction(page, run)
    draw(page, (0.35, 0.55), (0.65, 0.5))  # its bar: strokes add up
    check_prediction(page, run)
    expect(page.locator("#status")).to_have_text(re.compile(r"Prediction: \d, "))
    page.click("#clear")
    expect(page.locator("#prediction")).to_have_text("–")
    assert page.evaluate("Math.max(...pad.ink, ...pad.image)") == 0


def test_a_digit_drawn_with_the_keyboard_is_classified(page: Page, run: Run) -> None:
    page.focus("#paper")
    page.keyboard.press("Delete")
    page.keyboard.press(" ")
    for key in ["ArrowDown"] * 12 + ["ArrowLeft"] * 5:
        page.keyboard.press(key)
    check_prediction(page, run)
    assert page.evaluate("pad.ink.filter((amount) => amount > 0).length") > 24 * 8 * 12
    page.keyboard.press("Delete")
    expect(page.locator("#prediction")).to_have_text("–")


def test_a_digit_drawn_with_a_finger_is_classified(open_page: Open, run: Run) -> None:
    opened = open_page(run.path / "report.html", viewport={"width": 375, "height": 800}, has_touch=True, is_mobile=True)
    opened.page.locator("#paper").tap()
    check_prediction(opened.page, run)
    on_canvas = opened.page.evaluate(
        "[...document.getElementById('input').getContext('2d').getImageData(0, 0, 28, 28).data]"
        ".filter((_, at) => at % 4 == 3)"
    )
    assert on_canvas == opened.page.evaluate("[...pad.image]")


def test_examples_are_the_test_images(page: Page, run: Run) -> None:
    dataset = load_dataset(run.experiment.recipe.dataset)
    buttons = page.locator("#examples button")
    assert buttons.count() > 5
    wrong = {image.index for image in gather_run(run).misclassified}
    for number in range(buttons.count()):
        buttons.nth(number).press("Enter")
        label = buttons.nth(number).get_attribute("aria-label") or ""
        index = int(re.findall(r"\d+", label)[0])
        assert page.evaluate("[...pad.image]") == dataset.test.images[index].flatten().tolist()
        logits = torch.tensor(page.evaluate("[...pad.logits]"))
        assert float((logits - run.logits()[index]).abs().max()) < CLOSE
        assert ("misclassified" in label) == (index in wrong)
        assert (page.inner_text("#prediction") != str(int(dataset.test.labels[index]))) == (index in wrong)
        assert page.locator("#examples [aria-pressed=true]").count() == 1


def test_each_layer_shows_its_feature_maps(page: Page) -> None:
    rows = page.locator(".layer:visible")
    assert [row.split("\n")[:2] for row in rows.all_inner_texts()] == [
        ["conv 3x3 6, bn, relu, dropout 0.1", "6 maps of 26×26"],
        ["maxpool 4", "6 maps of 6×6"],
        ["gap", "6 numbers"],
        ["linear 10", "10 numbers"],
    ]
    assert rows.nth(0).locator("canvas").count() == 6
    page.locator("#every-layer").press(" ")
    assert rows.count() == 8
    assert "bn1: bn" in rows.nth(1).inner_text()
    label = rows.nth(1).locator(".maps").get_attribute("aria-label") or ""
    assert re.fullmatch(r"bn1: bn: 6 maps of 26×26, values from .+ to .+", label)
