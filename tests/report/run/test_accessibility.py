"""The page of a run is for everyone: screen readers, keyboards, telephones, paper, and the colour-blind."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page

from drilldown import Run
from support.browser import Open


def test_the_page_has_structure_names_and_labels(page: Page) -> None:
    faults = page.evaluate(
        """() => {
            const faults = [], all = (selector) => [...document.querySelectorAll(selector)];
            const check = (right, what) => right || faults.push(what);
            check(document.documentElement.lang === "en", "lang");
            check(all("h1").length === 1, "one h1");
            for (const landmark of ["header", "nav[aria-label]", "main", "footer"]) {
                check(all(`body > ${landmark}`).length === 1, landmark);
            }
            let level = 1;
            for (const heading of all("h1, h2, h3, h4")) {
                check(+heading.tagName[1] <= level + 1, `order: ${heading.textContent}`);
                level = +heading.tagName[1];
            }
            for (const table of all("table")) {
                check(table.caption && table.caption.textContent.trim(), `caption: ${table.className}`);
                for (const head of table.querySelectorAll("th")) check(head.scope, `scope: ${head.textContent}`);
            }
            for (const image of all("img")) check(image.alt.trim(), "alt");
            for (const svg of all("svg")) {
                check(svg.getAttribute("aria-hidden") === "true" || svg.querySelector("title, desc"), "svg");
            }
            for (const field of all("input, select")) check(field.labels[0]?.textContent.trim(), field.id);
            for (const button of all("button")) {
                check((button.getAttribute("aria-label") ?? button.textContent).trim(), "button");
            }
            for (const scrolled of all(".wide, pre")) check(scrolled.ariaLabel && scrolled.tabIndex === 0, "scrolled");
            const ids = all("[id]").map((element) => element.id);
            check(new Set(ids).size === ids.length, "ids");
            for (const name of ["aria-labelledby", "aria-describedby", "for"]) {
                for (const element of all(`[${name}]`)) {
                    for (const id of element.getAttribute(name).split(" ")) check(ids.includes(id), `${name}=${id}`);
                }
            }
            for (const link of all("a[href^='#']")) check(ids.includes(link.hash.slice(1)), link.hash);
            check(all("[style], [onclick]").length === 0, "inline");
            return faults;
        }"""
    )
    assert faults == []


def test_the_keyboard_reaches_every_control_in_order_with_a_visible_focus(page: Page) -> None:
    reached, without_outline = [], []
    for _ in range(80):
        page.keyboard.press("Tab")
        name, outlined = page.evaluate(
            """() => {
                const element = document.activeElement, style = getComputedStyle(element);
                const name = element.id || element.dataset.copy || element.closest("[id]")?.id || element.className;
                const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
                return [element === document.body ? "" : name || element.tagName, outlined];
            }"""
        )
        if not name:
            break
        reached.append(name)
        if not outlined:
            without_outline.append(name)
    order = [
        "skip",
        "paper",
        "clear",
        "examples",
        "every-layer",
        "epoch",
        "network",
        "sort",
        "truth",
        "predicted",
        "toml",
    ]
    places = [reached.index(name) for name in order]
    assert places == sorted(places)
    assert without_outline == []


CONTRAST = """() => {
    const parse = (colour) => {
        const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
        return [r, g, b, a];
    };
    const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
        if (!element) return [255, 255, 255, 1];
        const own = parse(getComputedStyle(element).backgroundColor);
        return own[3] === 1 ? own : over(own, behind(element.parentElement));
    };
    const poor = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
        if (element.closest("script, .unseen")) continue;
        if (element.closest("svg") && element.tagName !== "text") continue;
        const style = getComputedStyle(element), paper = behind(element);
        const ink = over(parse(element.tagName === "text" ? style.fill : style.color), paper);
        const [a, b] = [light(ink), light(paper)].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) poor.push([ratio.toFixed(2), element.textContent.trim().slice(0, 30)]);
    }
    return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(scheme: str, open_page: Open, run: Run) -> None:
    opened = open_page(run.path / "report.html", color_scheme=scheme, reduced_motion="reduce").page
    paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) > 384) == (scheme == "light")
    opened.locator("#every-layer").check()
    opened.locator("summary", has_text="All epochs").click()
    assert opened.evaluate(CONTRAST) == []


def test_colour_is_never_the_only_cue(page: Page) -> None:
    dash = "(element) => getComputedStyle(element).strokeDasharray"
    accuracy = page.locator(".chart").first
    assert accuracy.locator("polyline.train").evaluate(dash) != accuracy.locator("polyline.test").evaluate(dash)
    assert accuracy.locator("rect.dot.train").count() > 1
    assert accuracy.locator("circle.dot.test").count() > 1
    assert accuracy.locator("text", has_text="bar 50 %").count() == 1
    assert accuracy.locator("text", has_text="last 2").count() == 1
    for text in page.locator(".mark").all_text_contents():
        assert text in ("✓met", "✗not met")
    assert {text[0] for text in page.locator(".diff ins").all_inner_texts()} == {"+"}
    assert {text[0] for text in page.locator(".diff del").all_inner_texts()} == {"-"}
    weight = "(element) => getComputedStyle(element).fontWeight"
    assert int(page.locator("#probabilities .best th").evaluate(weight)) >= 700


def test_nothing_moves_for_readers_who_want_no_motion(open_page: Open, run: Run) -> None:
    opened = open_page(run.path / "report.html", reduced_motion="reduce").page
    assert opened.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    assert opened.evaluate("getComputedStyle(document.querySelector('#probabilities rect')).transitionDuration") == "0s"


@pytest.mark.parametrize("width", [320, 375, 768])
def test_a_telephone_does_not_scroll_sideways(width: int, open_page: Open, run: Run) -> None:
    opened = open_page(
        run.path / "report.html", viewport={"width": width, "height": 700}, is_mobile=True, has_touch=True
    )
    opened.page.locator("#every-layer").check()
    opened.page.locator("summary", has_text="All epochs").click()
    inner, outer = opened.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert inner <= outer == width


def test_the_page_prints(page: Page) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    for control in (".sections", "#clear", "#examples", "#filters", "[data-copy]"):
        assert not page.locator(control).first.is_visible()
    assert not page.locator("#draw").is_visible()
    for content in ("#verdict", ".chart", ".network", ".confusion", ".gallery", "#toml"):
        assert page.locator(content).first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(CONTRAST) == []
    assert page.pdf(format="A4", print_background=True).startswith(b"%PDF")


def test_paper_shows_what_is_folded_and_cuts_no_table(page: Page) -> None:
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 680, "height": 900})  # A4 with margins of 1.5 cm
    for folded in ("#epochs", ".gallery >> nth=1"):
        assert page.locator(folded).bounding_box()
    widths = page.locator("main table").evaluate_all("all => all.map((table) => table.getBoundingClientRect().right)")
    assert len(widths) > 3
    assert max(widths) <= 680
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
