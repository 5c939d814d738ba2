"""The HTML report in a real browser: its network agrees with PyTorch, it asks for nothing, and anyone can use it."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.browser import Opened, launched
from playwright.sync_api import Browser, Page, expect
from torch import nn

from support.cli import world
from drilldown import load
from drilldown.data.glyphs import draw_glyphs
from drilldown.data.loading import load_dataset
from drilldown.data.pictures import centre_digit
from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.report.page import build_page
from drilldown.report.run import html
from drilldown.report.run.charts import WIDTH
from drilldown.report.run.embedded import embed_network, why_not_embedded
from drilldown.report.run.evidence import gather_run
from drilldown.report.run.html import run_page
from drilldown.report.run.writing import write_run_report
from drilldown.runs.perform import perform
from drilldown.runs.run import Run

HOSTILE = (
    '</title></script><script>hacked = 1</script><img src=x onerror="hacked = 1"> {{ 7 * 7 }} '
    "&lt;b&gt; 'quoted' “ \u2028 ]]> <!-- "
)
SHOWN = " ".join(HOSTILE.split())  # as a browser shows it
CLOSE = 1e-4
"""How far a browser's logits may be from PyTorch's."""
IMAGES = 1_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as started:
        yield started


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of an experiment that extends another, all of whose prose wants to be more than text."""
    folder = tmp_path_factory.mktemp("shown")
    world(folder, epochs=6, accuracy=50.0)
    quoted = json.dumps(HOSTILE)
    (folder / "wider.toml").write_text(
        f'extends = "tiny.toml"\ntitle = {quoted}\ntarget = {quoted}\nremark = {quoted}\n'
        '[network]\nlayers = ["conv 3x3 6, bn, relu, dropout 0.1", "maxpool 4", "gap", "linear 10"]\n'
        f"[recipe]\nbatch_size = 16\nema = 0.5\n[reported]\ntest = 99.46\nnote = {quoted}\n"
    )
    finished = perform(load(folder / "wider.toml"), runs=folder / "runs", engine="torch")
    write_run_report(finished)
    return finished


Open = Callable[..., Opened]


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a file, or text as a file, and makes sure that nothing was asked for and nothing complained of."""
    opened: list[Opened] = []

    def open_(page: Path | str, **options: Any) -> Opened:
        if isinstance(page, str):
            (tmp_path / "page.html").write_text(page, "utf-8")
            page = tmp_path / "page.html"
        opened.append(Opened(browser, page, **options))
        return opened[-1]

    yield open_
    for one in opened:
        complaints, requests, violations = one.complaints, one.requests, one.violations
        one.close()
        assert complaints == []
        assert violations == []
        assert {url for url in requests if not url.startswith("data:")} == {one.file.as_uri()}


@pytest.fixture
def page(open_page: Open, run: Run) -> Page:
    """The report of the run."""
    return open_page(run.path / "report.html", viewport={"width": 1200, "height": 900}).page


# The network.


def scores_in(page: Page, images: torch.Tensor) -> torch.Tensor:
    """What the page's network says of images (N, height, width), uint8: (N, classes)."""
    said = page.evaluate(
        """([text, size]) => {
            const network = readNetwork(JSON.parse(document.getElementById("data").textContent).network);
            const images = bytesOf(text);
            return Array.from({ length: images.length / size }, (_, n) => {
                return [...forward(network, images.subarray(n * size, (n + 1) * size)).at(-1).values];
            });
        }""",
        [base64.b64encode(images.contiguous().numpy().tobytes()).decode(), images[0].numel()],
    )
    return torch.tensor(said, dtype=torch.float64)


NETWORKS = {
    "the flagship": None,
    "every option": [
        "conv 5x5 12 stride=2 pad=2 bias, bn, relu",
        "conv 3x3 12 groups=4 pad=1, relu, dropout 0.1",
        "avgpool 2",
        "conv 3x3 16 groups=2 stride=3 pad=2 bias, bn",
        "flatten",
        "linear 20, bn, relu, dropout 0.5",
        "linear 10",
    ],
    "remainders": [
        "conv 2x2 5 stride=3",
        "bn, relu, maxpool 2",
        "conv 1x1 8 bias, avgpool 3",
        "conv 1x1 10 pad=1, bn",
        "gap",
    ],
}


def random_network(experiment: Experiment) -> nn.Module:
    """The experiment's network with statistics and scales as training leaves them: none of them at its default."""
    network = experiment.build(1)
    generator = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.5, 0.5), (module.running_var, 0.3, 2),
                (module.weight, 0.5, 1.5), (module.bias, -0.5, 0.5),
            ):  # fmt: skip
                assert tensor is not None
                tensor.data.uniform_(low, high, generator=generator)
    return network.eval()


def images_to_compare() -> tuple[torch.Tensor, float, float]:
    """Real ones where they are at hand, with the mean and deviation of their pixels."""
    if "DRILLDOWN_DATA" in os.environ:
        try:
            mnist = load_dataset("mnist")
            return mnist.test.images[:IMAGES], mnist.mean, mnist.std
        except DrilldownError:
            pass
    _, (images, _) = draw_glyphs(train=10, test=IMAGES)
    return images, 0.1307, 0.3081


@pytest.mark.parametrize("name", NETWORKS)
def test_the_browser_agrees_with_pytorch(name: str, open_page: Open, tmp_path: Path) -> None:
    file = world(tmp_path)
    layers = NETWORKS[name]
    experiment = load(file, [f"network.layers={json.dumps(layers)}"]) if layers else load("under-8k")
    network = random_network(experiment)
    images, mean, std = images_to_compare()
    text = build_page(
        "base.html.j2",
        scripts=["network.js"],
        data={"network": embed_network(experiment, network.state_dict(), mean, std)},
    )
    with torch.inference_mode():
        expected = network((images[:, None] / 255 - mean) / std)
    found = scores_in(open_page(text).page, images)
    assert found.shape == (IMAGES, 10)
    assert float(expected.std()) > 0.1  # or agreement would say little
    assert float((found - expected).abs().max()) < CLOSE
    assert bool((found.argmax(1) == expected.argmax(1)).all())


def test_every_layer_agrees_with_pytorch(open_page: Open, tmp_path: Path) -> None:
    """Feature maps are shown, so they must be right too."""
    experiment = load(world(tmp_path), [f"network.layers={json.dumps(NETWORKS['every option'])}"])
    network = random_network(experiment)
    image = draw_glyphs(train=10, test=10)[1][0][3]
    text = build_page(
        "base.html.j2",
        scripts=["network.js"],
        data={"network": embed_network(experiment, network.state_dict(), 0.2, 0.4)},
    )
    found = open_page(text).page.evaluate(
        """(pixels) => {
            const network = readNetwork(JSON.parse(document.getElementById("data").textContent).network);
            return forward(network, pixels).map(({ layer, values }) => [layer.name, [...values]]);
        }""",
        image.flatten().tolist(),
    )
    x = (image[None, None] / 255 - 0.2) / 0.4
    assert [name for name, _ in found] == [name for name, _ in network.named_children()]
    with torch.inference_mode():
        for (name, values), module in zip(found, network.children(), strict=True):
            x = module(x.clone())
            assert float((torch.tensor(values) - x.flatten()).abs().max()) < CLOSE, name


def test_images_need_not_be_square(open_page: Open, tmp_path: Path) -> None:
    file = world(tmp_path)
    for part, (images, labels) in zip(("train", "t10k"), draw_glyphs(300, 100), strict=True):
        content = (
            struct.pack(">4B3I", 0, 0, 8, 3, len(labels), 28, 20) + images[:, :, 4:24].contiguous().numpy().tobytes()
        )
        (tmp_path / "letters" / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    finished = perform(load(file, ["recipe.epochs=1"]), runs=tmp_path / "runs", engine="torch")
    dataset = load_dataset(finished.experiment.recipe.dataset)
    assert dataset.image_shape == (1, 28, 20)
    opened = open_page(run_page(gather_run(finished))).page
    found = scores_in(opened, dataset.test.images)
    assert float((found - finished.logits()).abs().max()) < CLOSE


def test_the_page_holds_the_network_that_was_judged(page: Page, run: Run) -> None:
    dataset = load_dataset(run.experiment.recipe.dataset)
    assert float((scores_in(page, dataset.test.images) - run.logits()).abs().max()) < CLOSE


# The drawing.


def drawings() -> Iterator[np.ndarray]:
    """Strokes of all proportions: large and small, off centre, symmetric, a dot, a line across."""
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


def test_drawings_are_prepared_as_pictures_are(open_page: Open) -> None:
    opened = open_page(build_page("base.html.j2", scripts=["network.js", "prepare.js"], data={})).page
    for ink in drawings():
        for height, width in ((28, 28), (28, 20), (32, 48)):
            found = opened.evaluate(
                "([ink, size]) => [...centre(new Float32Array(bytesOf(ink).buffer), ...size)]",
                [base64.b64encode(ink.tobytes()).decode(), [ink.shape[1], ink.shape[0], width, height]],
            )
            expected = centre_digit(ink, height, width)
            difference = np.abs(np.array(found, int) - expected.flatten().numpy().astype(int))
            assert difference.max() <= 1, (ink.shape, height, width)


def answers_as_pytorch_does(page: Page, run: Run) -> None:
    """What is on the pad went through preparation and network as it would in Python, and the page says so."""
    page.wait_for_timeout(150)  # longer than a slow network waits for the hand to rest
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    ink, seen = page.evaluate("[[...pad.ink], [...pad.image]]")
    image = centre_digit(np.array(ink, np.float32).reshape(280, 280))
    assert np.abs(np.array(seen, int) - image.flatten().numpy().astype(int)).max() <= 1
    mean, std = run.normalisation
    pixels = torch.tensor(seen).view(1, 1, 28, 28) / 255
    with torch.inference_mode():
        shares = run.model()((pixels - mean) / std).softmax(1)[0]
    assert page.inner_text("#answer") == str(int(shares.argmax()))
    shown = [float(text.removesuffix(" %")) for text in page.locator("#probabilities td:last-child").all_inner_texts()]
    assert len(shown) == 10
    assert np.allclose(shown, 100 * shares.numpy(), atol=0.06)
    assert page.locator("#probabilities .best th").inner_text() == page.inner_text("#answer")


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


def test_a_digit_drawn_with_the_mouse_is_read(page: Page, run: Run) -> None:
    draw(page, (0.3, 0.2), (0.7, 0.2), (0.45, 0.85))  # a seven, in place of the example that the page begins with
    answers_as_pytorch_does(page, run)
    draw(page, (0.35, 0.55), (0.65, 0.5))  # its bar: strokes add up
    answers_as_pytorch_does(page, run)
    expect(page.locator("#said")).to_have_text(re.compile("It reads "))
    page.click("#clear")
    expect(page.locator("#answer")).to_have_text("–")
    assert page.evaluate("Math.max(...pad.ink, ...pad.image)") == 0


def test_a_digit_drawn_with_the_keyboard_is_read(page: Page, run: Run) -> None:
    page.focus("#paper")
    page.keyboard.press("Delete")
    page.keyboard.press(" ")
    for key in ["ArrowDown"] * 12 + ["ArrowLeft"] * 5:
        page.keyboard.press(key)
    answers_as_pytorch_does(page, run)
    assert page.evaluate("pad.ink.filter((amount) => amount > 0).length") > 24 * 8 * 12
    page.keyboard.press("Delete")
    expect(page.locator("#answer")).to_have_text("–")


def test_a_finger_draws_too(open_page: Open, run: Run) -> None:
    opened = open_page(run.path / "report.html", viewport={"width": 375, "height": 800}, has_touch=True, is_mobile=True)
    opened.page.locator("#paper").tap()
    answers_as_pytorch_does(opened.page, run)
    on_canvas = opened.page.evaluate(
        "[...document.getElementById('seen').getContext('2d').getImageData(0, 0, 28, 28).data]"
        ".filter((_, at) => at % 4 == 3)"
    )
    assert on_canvas == opened.page.evaluate("[...pad.image]")


def test_examples_are_the_test_images(page: Page, run: Run) -> None:
    dataset = load_dataset(run.experiment.recipe.dataset)
    buttons = page.locator("#examples button")
    assert buttons.count() > 5
    wrong = {mistake.index for mistake in gather_run(run).misclassified}
    for number in range(buttons.count()):
        buttons.nth(number).press("Enter")
        label = buttons.nth(number).get_attribute("aria-label") or ""
        index = int(re.findall(r"\d+", label)[0])
        assert page.evaluate("[...pad.image]") == dataset.test.images[index].flatten().tolist()
        found = torch.tensor(page.evaluate("[...pad.logits]"))
        assert float((found - run.logits()[index]).abs().max()) < CLOSE
        assert ("gets wrong" in label) == (index in wrong)
        assert (page.inner_text("#answer") != str(int(dataset.test.labels[index]))) == (index in wrong)
        assert page.locator("#examples [aria-pressed=true]").count() == 1


def test_each_layer_shows_its_maps(page: Page) -> None:
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


@pytest.mark.skipif(sys.platform == "win32", reason="the file's name is none there")
def test_a_network_in_python_is_not_in_the_page_and_the_page_says_why(open_page: Open, tmp_path: Path) -> None:
    file = world(tmp_path)
    (tmp_path / "<i>&.py").write_text(
        "from torch import nn\nclass Net(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Conv2d(1, 10, 9), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    text = file.read_text()
    start, stop = text.index("layers"), text.index("[recipe]")
    file.write_text(text[:start] + 'python = "<i>&.py:Net"\n\n' + text[stop:])
    finished = perform(load(file, ["recipe.epochs=1"]), runs=tmp_path / "runs", engine="torch")
    opened = open_page(run_page(gather_run(finished))).page
    assert "The network is Python code (<i>&.py:Net)" in opened.inner_text("#draw")
    assert opened.locator("canvas").count() == 0
    assert opened.locator("#network tbody tr").count() == 3


def test_a_large_network_stays_out_of_the_page() -> None:
    assert "6,379,786 parameters" in (why_not_embedded(load("eva-drilldown/01")) or "")


# Nothing comes in.


def test_what_comes_from_files_is_text(page: Page) -> None:
    for text in (page.inner_text("h1"), page.title(), page.inner_text(".target")):
        assert SHOWN in " ".join(text.split())
    remarks = " ".join(" ".join(page.locator(".remark").all_inner_texts()).split())
    assert remarks.count(SHOWN) == 2  # the source's note, and the experiment's own
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.locator("script").count() == 5  # the data and four of ours
    assert page.locator("main img:not([src^='data:image/png'])").count() == 0


def test_embedded_data_reads_back_as_it_was(open_page: Open) -> None:
    opened = open_page(build_page("base.html.j2", scripts=[], data={"said": HOSTILE + "\u2029<!--<script>"})).page
    assert (
        opened.evaluate("JSON.parse(document.getElementById('data').textContent).said")
        == HOSTILE + "\u2029<!--<script>"
    )


def test_the_policy_forbids_the_network_and_code_that_is_not_ours(browser: Browser, run: Run) -> None:
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


# What the page says and does.


def test_the_verdict_comes_first(page: Page, run: Run) -> None:
    assert re.match("(✓ Budget met|✗ Budget not met) on the test images", page.locator("main h2").first.inner_text())
    verdict = page.inner_text("#verdict")
    assert run.verdict is not None
    for line in run.verdict.lines:
        assert line.found in verdict
        assert line.by in verdict
        assert line.limit in verdict


def test_the_page_says_what_the_markdown_says(page: Page, run: Run) -> None:
    gathered = gather_run(run)
    analysis = page.inner_text("#analysis").replace("\N{NO-BREAK SPACE}", " ")
    for sentence in html.analysis.sentences(gathered):
        assert sentence.replace("`", "") in analysis
    changes = page.inner_text("#changes")
    assert "recipe.batch_size\t32\t16" in changes
    assert "+ conv 3x3 6, bn, relu, dropout 0.1" in changes
    assert "- conv 3x3 4, bn, relu, dropout 0.1" in changes
    for row in run.experiment.model_summary.layers:
        assert f"{row.name}\t{row.layer}\t{'×'.join(map(str, row.output))}" in page.inner_text(".network")
    cells = page.locator(".confusion tbody td").all_inner_texts()
    assert [int(text or 0) for text in cells] == gathered.confusion.flatten().tolist()
    assert page.locator("#gallery li").count() == len(gathered.misclassified)
    for name, version in run.summary["versions"].items():
        assert f"{name}\n{version}" in page.inner_text(".versions")
    assert page.locator("#epochs tbody tr").count() == len(run.epochs)


def test_charts_say_an_epochs_values_on_hover_and_by_keyboard(page: Page, run: Run) -> None:
    chart = page.locator(".chart > svg").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    left, right = (float(chart.get_attribute(f"data-{side}") or 0) / WIDTH for side in ("left", "right"))

    def says(epoch: int) -> None:
        record = run.epochs[epoch - 1]
        assert page.inner_text("#epoch-shown") == str(epoch)
        accuracy, loss, rate = page.locator(".key").all_inner_texts()
        assert f"{float(record.test.accuracy):.2f} %" in accuracy
        assert f"{float(record.train.accuracy):.2f} %" in accuracy
        assert f"{record.test.loss:.4f}" in loss
        assert f"{record.train.loss:.4f}" in loss
        assert f"{record.lr:.3g}" in rate
        assert f"{record.test.correct:,} of {record.test.total:,}" in page.inner_text("#epoch-figures")

    says(len(run.epochs))
    for epoch in (2, 5):
        share = left + (epoch - 0.5) / len(run.epochs) * (right - left)
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        says(epoch)
        assert chart.locator(".cursor").get_attribute("hidden") is None
    page.focus("#epoch")
    page.keyboard.press("Home")
    says(1)
    page.keyboard.press("ArrowRight")
    says(2)
    said = page.get_attribute("#epoch", "aria-valuetext") or ""
    assert said.startswith("epoch 2: ")
    assert f"{run.epochs[1].test.correct:,} of" in said


def gallery(page: Page) -> list[dict[str, str]]:
    return list(page.locator("#gallery li:visible").evaluate_all("all => all.map((item) => ({ ...item.dataset }))"))


def test_mistakes_are_sorted_and_filtered_by_keyboard(page: Page) -> None:
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
    truth = page.input_value("#is")
    chosen = gallery(page)
    assert {m["is"] for m in chosen} == {truth}
    assert len(chosen) == sum(m["is"] == truth for m in every)
    assert page.inner_text("#shown") == f"{len(chosen)} of {len(every)}"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    answer = page.input_value("#read-as")
    assert {(m["is"], m["readAs"]) for m in gallery(page)} <= {(truth, answer)}
    page.select_option("#is", "")
    assert len(gallery(page)) == sum(m["readAs"] == answer for m in every)


def test_a_cell_of_the_confusion_matrix_shows_its_images(page: Page) -> None:
    mistake = gallery(page)[0]
    page.locator(".confusion tbody tr").nth(int(mistake["is"])).locator("td").nth(int(mistake["readAs"])).click()
    assert {(m["is"], m["readAs"]) for m in gallery(page)} == {(mistake["is"], mistake["readAs"])}


def test_the_experiment_is_copied(open_page: Open, run: Run) -> None:
    opened = open_page(run.path / "report.html", permissions=["clipboard-read", "clipboard-write"])
    button = opened.page.locator("[data-copy=toml]")
    button.press("Enter")
    expect(button).to_have_text("Copied")
    assert opened.page.evaluate("navigator.clipboard.readText()").strip() == run.experiment.to_toml().strip()


def test_without_scripts_the_page_still_reads(open_page: Open, run: Run) -> None:
    opened = open_page(run.path / "report.html", java_script_enabled=False).page
    assert "switched off" in opened.inner_text("noscript")
    for control in ("#pad", "#examples", "#maps", "#filters", "#epoch", "[data-copy]"):
        assert not opened.locator(control).is_visible()
    assert opened.locator("#gallery li:visible").count() == len(gather_run(run).misclassified)
    assert f"{run.epochs[-1].test.correct:,} of" in opened.inner_text("#epoch-figures")


# For everyone.


def test_structure_names_and_labels(page: Page) -> None:
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


def test_the_keyboard_reaches_every_control_in_order_and_is_seen(page: Page) -> None:
    reached, unseen = [], []
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
            unseen.append(name)
    order = ["skip", "paper", "clear", "examples", "every-layer", "epoch", "network", "sort", "is", "read-as", "toml"]
    places = [reached.index(name) for name in order]
    assert places == sorted(places)
    assert unseen == []


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
def test_contrast(scheme: str, open_page: Open, run: Run) -> None:
    opened = open_page(run.path / "report.html", color_scheme=scheme, reduced_motion="reduce").page
    paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) > 384) == (scheme == "light")
    opened.locator("#every-layer").check()
    opened.locator("summary").click()
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


def test_links_move_without_motion_where_it_is_not_wanted(open_page: Open, run: Run) -> None:
    opened = open_page(run.path / "report.html", reduced_motion="reduce").page
    assert opened.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    assert opened.evaluate("getComputedStyle(document.querySelector('#probabilities rect')).transitionDuration") == "0s"


@pytest.mark.parametrize("width", [320, 375, 768])
def test_a_telephone_need_not_scroll_sideways(width: int, open_page: Open, run: Run) -> None:
    opened = open_page(
        run.path / "report.html", viewport={"width": width, "height": 700}, is_mobile=True, has_touch=True
    )
    opened.page.locator("#every-layer").check()
    opened.page.locator("summary").click()
    inner, outer = opened.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert inner <= outer == width


def test_it_prints(page: Page) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    for control in (".sections", "#clear", "#examples", "#filters", "[data-copy]"):
        assert not page.locator(control).first.is_visible()
    for content in ("#verdict", ".chart", ".network", ".confusion", "#gallery", "#toml", "#probabilities"):
        assert page.locator(content).first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(CONTRAST) == []
    assert page.pdf(format="A4", print_background=True).startswith(b"%PDF")


# Other runs.

NO_BUDGET = "no budget"


@pytest.mark.parametrize(
    "changes",
    [
        ["recipe.epochs=1", "recipe.holdout=50"],
        ["recipe.epochs=17", NO_BUDGET],
        ["recipe.epochs=2", "budget.accuracy=100", "budget.hold=1"],
    ],
    ids=["one epoch, held out", "many epochs, no budget", "not met"],
)
def test_any_finished_run_has_a_page(changes: list[str], open_page: Open, tmp_path: Path) -> None:
    file = world(tmp_path)
    if NO_BUDGET in changes:
        file.write_text(file.read_text().partition("[budget]")[0])
    settings = [change for change in changes if change != NO_BUDGET]
    finished = perform(load(file, settings), runs=tmp_path / "runs", engine="torch")
    opened = open_page(run_page(gather_run(finished))).page
    assert opened.locator(".chart").count() == 3
    assert ("No budget is set" in opened.inner_text("#verdict")) == (NO_BUDGET in changes)
    assert ("validation accuracy" in opened.inner_text("#verdict")) == ("recipe.holdout=50" in changes)
    assert opened.inner_text("#answer").isdigit()


def test_a_usual_page_is_small(run: Run) -> None:
    assert (run.path / "report.html").stat().st_size < 400_000
