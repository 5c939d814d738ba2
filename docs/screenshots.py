"""Makes the pictures and terminal output that README and the documentation show, from real runs.

    python docs/screenshots.py [--runs DIR] [--data DIR]

It trains the flagship once and the five steps of docs/climb, five seeds of some, where DIR does not hold these runs.
It needs the development dependencies and a Chromium (Debian: apt-get install chromium).
"""

from __future__ import annotations

import argparse
import io
import itertools
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Page, sync_playwright
from rich.console import Console
from rich.text import Text

# The only place that names drilldown's modules.
from drilldown import Run, load

DOCS = Path(__file__).parent
CLIMB = sorted((DOCS / "climb").glob("*.toml"))
MANY_SEEDS = ("04-augmentation", "05-schedule")
LARGEST = 200_000
"""Bytes of a picture."""
COLUMNS = 84
MARGIN = 32
"""Pixels."""


def main() -> None:
    """Makes all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, help="where runs are kept (default: a temporary folder)")
    parser.add_argument("--data", type=Path, help="the folder of datasets")
    arguments = parser.parse_args()
    if arguments.data:
        os.environ["DRILLDOWN_DATA"] = str(arguments.data.resolve())
    with tempfile.TemporaryDirectory() as temporary:
        home = arguments.runs or Path(temporary)
        home.mkdir(parents=True, exist_ok=True)
        shutil.copytree(DOCS / "climb", home / "climb", dirs_exist_ok=True)
        climb(home / "climb")
        flagship = home / "flagship"
        flagship.mkdir(exist_ok=True)
        lines = drilldown("run", "--again", cwd=flagship).partition("\nBudget")[0]  # plain: in colour it has a bar
        result = drilldown("run", cwd=flagship, colour=True, progress=False)
        run = Run.of(load("under-8k"), 0, flagship / "runs")
        with sync_playwright() as playwright:
            # The sandbox needs rights that containers do not give; the pages are our own.
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("DRILLDOWN_CHROMIUM") or shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu"],
            )
            terminal(browser, f"$ drilldown run\n{lines.rstrip()}\n{result.rstrip()}", DOCS / "terminal.png")
            report(browser, run.path / "report.html")
            browser.close()


def climb(folder: Path) -> None:
    """The output of each step of the climb, and the chart of their test accuracies."""
    figure, axes = plt.subplots(figsize=(7.2, 3.8), dpi=120)
    for file, marker in zip(CLIMB, "osv^D", strict=True):
        drilldown("run", file.name, cwd=folder)
        save(f"{file.stem}.txt", drilldown("run", file.name, cwd=folder, progress=False))
        epochs = Run.of(load(folder / file.name), 0, folder / "runs").read().epochs
        numbers, accuracies = zip(*((epoch.epoch, float(epoch.test.accuracy)) for epoch in epochs), strict=True)
        axes.plot(numbers, accuracies, label=file.stem, marker=marker, markersize=4)
    axes.axhline(99.4, color="black", linewidth=1, linestyle=":", label="99.4 %")
    axes.set(xlabel="epoch", ylabel="test accuracy, %", ylim=(97.6, 99.7), xlim=(1, 15))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    keep(picture.getvalue(), DOCS / "climb.png")
    for step in MANY_SEEDS:
        drilldown("run", f"{step}.toml", "--seeds", "5", cwd=folder)
    save("verdict.txt", drilldown("verdict", "05-schedule.toml", cwd=folder, progress=False))
    for before, after in itertools.pairwise(MANY_SEEDS):
        output = drilldown("compare", f"{before}.toml", f"{after}.toml", cwd=folder, progress=False)
        save(f"{before}-{after}.txt", output)


def drilldown(*arguments: str, cwd: Path, colour: bool = False, progress: bool = True) -> str:
    """What a command prints; `progress`: with what goes to standard error."""
    print("$ drilldown", *arguments, file=sys.stderr)
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "PYTHONIOENCODING": "utf-8"}
    environment |= {"FORCE_COLOR": "1", "TERM": "xterm-256color"} if colour else {"NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "drilldown", *arguments], cwd=cwd, env=environment, text=True, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT if progress else subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if done.returncode not in (0, 3):
        sys.exit(f"drilldown {' '.join(arguments)} failed:\n{done.stdout}")
    return done.stdout


def save(name: str, output: str) -> None:
    """Keeps a command's output for a page, without spaces at the ends of lines."""
    (DOCS / "climb" / name).write_text("".join(f"{line.rstrip()}\n" for line in output.strip("\n").splitlines()))


def terminal(browser: Browser, output: str, file: Path) -> None:
    """A picture of a terminal: rich draws it as SVG, the browser turns that into pixels."""
    recorder = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    recorder.print(Text.from_ansi(output.rstrip()))
    page = browser.new_context(offline=True, viewport={"width": 1040, "height": 800}).new_page()
    page.set_content(f'<body style="margin:0">{recorder.export_svg(title="drilldown")}')
    page.add_style_tag(content="svg text { font-family: 'DejaVu Sans Mono', monospace !important }")
    keep(page.locator("svg").screenshot(), file)
    page.context.close()


def report(browser: Browser, file: Path) -> None:
    """The report's head, and its drawing pad with a three."""
    page = browser.new_context(offline=True, viewport={"width": 1200, "height": 787}).new_page()
    page.goto(file.as_uri())
    keep(page.screenshot(), DOCS / "report.png")
    draw_three(page)
    section(page, "#draw", DOCS / "pad.png", height=1130)
    section(page, "#analysis", DOCS / "analysis.png")
    section(page, "#misclassified", DOCS / "mistakes.png", height=1000)
    page.context.close()


def section(page: Page, selector: str, file: Path, height: float = math.inf) -> None:
    """A part of a page, with a margin at its sides."""
    page.evaluate("window.scrollTo(0, 0)")
    box = page.locator(selector).bounding_box()
    assert box
    left, width, tall = box["x"] - MARGIN, box["width"] + 2 * MARGIN, min(box["height"], height)
    clip: FloatRect = {"x": left, "y": box["y"] + 1, "width": width, "height": tall}
    keep(page.screenshot(full_page=True, clip=clip), file)


def draw_three(page: Page) -> None:
    """Two arcs, drawn with the mouse."""
    paper = page.locator("#paper")
    paper.scroll_into_view_if_needed()
    box = paper.bounding_box()
    assert box
    for top, radius, start, end in ((95, 42, -150, 90), (182, 47, -90, 150)):
        points = [math.radians(start + (end - start) * step / 24) for step in range(25)]
        places = [(135 + radius * math.cos(a), top + radius * math.sin(a)) for a in points]
        page.mouse.move(box["x"] + places[0][0], box["y"] + places[0][1])
        page.mouse.down()
        for x, y in places[1:]:
            page.mouse.move(box["x"] + x, box["y"] + y)
        page.mouse.up()
    page.wait_for_timeout(500)


def keep(picture: bytes, file: Path) -> None:
    """Stores a picture with 256 colours."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    if file.stat().st_size > LARGEST:
        sys.exit(f"{file} has {file.stat().st_size:,} bytes, more than {LARGEST:,}")


if __name__ == "__main__":
    main()
