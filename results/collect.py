"""Gathers what was measured: reports every study's runs into this folder, and all of them into its README.

    python results/collect.py [RUNS]

RUNS is the folder of all runs, `runs` unless said. Each study's folder here gets the study's report, its figures and a
line for each of its runs; README.md gets one table and one figure over all studies, between its two markers. Nothing
is trained, and what is written between the markers by hand is lost.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from drilldown import studies
from drilldown.report import study as report
from drilldown.report.figures import BAR, png
from drilldown.report.markdown import code, interval, rate
from drilldown.report.study import html
from drilldown.report.study.evidence import Step, StudyEvidence
from drilldown.report.study.figures import COLOURS, MARKERS, of_study
from drilldown.report.study.markdown import render, within
from drilldown.report.study.scale import AccuracyAxis, wrong
from drilldown.report.study.writing import summaries_as_lines

HERE = Path(__file__).parent
BEGIN, END = "<!-- made by collect.py -->", "<!-- end of what collect.py makes -->"


def main() -> None:
    """Writes all of it."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
    measured = [
        report.gather(study, runs, f"drilldown study {study.name}")
        for study in studies.available()
        if report.is_folder_of_runs(runs / study.name)
    ]
    for evidence in measured:
        folder = HERE / evidence.name
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for name, content in of_study(evidence).items():
            (folder / "figures" / name).write_bytes(content)
        (folder / "report.md").write_text(render(evidence), "utf-8")
        (folder / "report.html").write_text(html.render(evidence, packed=False), "utf-8")
        (folder / "summaries.jsonl").write_text(summaries_as_lines(evidence), "utf-8")
        for page in evidence.folder.glob("*-ablation.md"):
            shutil.copy(page, folder)
    (HERE / "parameters.png").write_bytes(png(overview(measured)))
    readme = HERE / "README.md"
    before, _, rest = readme.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n\n{table(measured)}\n{END}{after}", "utf-8")


def table(measured: Sequence[StudyEvidence]) -> str:
    """All steps of all studies beside what their authors report."""
    lines = [
        "| step | parameters | seeds | reported best, % | our best epoch, % | reported within our spread "
        "| mean of the last epochs, % | budget met | worth, points |",
        "| --- | --: | --: | --: | --: | --- | --: | --- | --: |",
    ]
    for evidence in measured:
        lines.append(f"| [**{evidence.name}**]({evidence.name}/report.md) | | | | | | | | |")
        for step in evidence.steps:
            said, change = step.experiment.reported, step.change
            lines.append(
                f"| {code(step.name)} | {step.experiment.anatomy.parameters:,} | {step.seeds.n} "
                f"| {f'{said.test:.2f}' if said and said.test is not None else ''} | {interval(step.best, 2)} "
                f"| {within(step)} | {interval(step.seeds.accuracy, 3)} | {rate(step.seeds.rate)} "
                f"| {change.accuracy.text(3) if change and change.accuracy else ''} |"
            )
    return "\n".join(lines)


def overview(measured: Sequence[StudyEvidence]) -> Figure:
    """Accuracy of the last epochs against parameters: a point a step, with its 95 % interval, and the budgets."""
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    axes = figure.subplots()
    shown: list[float] = []
    for index, evidence in enumerate(measured):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        drawn: list[int] = []
        for number, step in enumerate(evidence.steps, 1):
            if not step.seeds.finished:
                continue
            middle, low, high = _place(step)
            shown += [middle, low, high]
            size = step.experiment.anatomy.parameters
            left = drawn.count(size) % 2 == 1  # steps of one size would be written over one another
            drawn.append(size)
            axes.errorbar(
                size, middle, yerr=[[middle - high], [low - middle]], fmt=marker, color=colour, ms=6, capsize=3, lw=1
            )
            axes.annotate(
                str(number), (size, middle), xytext=(-6 if left else 6, 0), textcoords="offset points", fontsize=8,
                color=colour, ha="right" if left else "left", va="center",
            )  # fmt: skip
    steps = [step for evidence in measured for step in evidence.measured]
    for bar in sorted({bar for step in steps if (bar := step.experiment.budget.accuracy) is not None}):
        shown.append(wrong(bar, steps[0].total))
        axes.axhline(shown[-1], color=BAR, lw=1, ls=(0, (1, 2)))
        axes.annotate(f"bar {bar:g} %", (0, shown[-1]), xycoords=("axes fraction", "data"), xytext=(4, 3),
                      textcoords="offset points", fontsize=8, color=BAR)  # fmt: skip
    axis = AccuracyAxis.around(shown)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(axis.bottom, axis.top)
    axes.yaxis.set_major_locator(FixedLocator([100 - tick for tick in axis.ticks]))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 - value:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    sizes = [step.experiment.anatomy.parameters for step in steps]
    ticks = [tick for tick in (4_000, 5_000, 6_000, 8_000, 10_000, 24_000, 1e5, 1e6, 6.4e6) if tick <= max(sizes) * 1.2]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:,.0f}")
    for limit in sorted({limit for step in steps if (limit := step.experiment.budget.parameters) is not None}):
        axes.axvline(limit, color=BAR, lw=1, ls="--")
        axes.annotate(f"at most {limit:,}", (limit, 0), xycoords=("data", "axes fraction"), xytext=(-3, 5),
                      textcoords="offset points", fontsize=8, color=BAR, ha="right", rotation=90)  # fmt: skip
    handles = [
        Line2D([], [], color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], ls="", label=evidence.name)
        for i, evidence in enumerate(measured)
    ]
    figure.legend(handles=handles, fontsize=8, loc="outside upper center", ncols=len(handles))
    axes.set(xlabel="parameters", ylabel="test accuracy, mean of the last epochs, %")
    axes.grid(alpha=0.25)
    return figure


def _place(step: Step) -> tuple[float, float, float]:
    """Percent wrong: of the mean and of the lower and upper end of its interval."""
    accuracy = step.seeds.accuracy
    assert accuracy is not None
    ends = (accuracy.low, accuracy.high) if accuracy.n > 1 else (accuracy.mean, accuracy.mean)
    return wrong(accuracy.mean, step.total), wrong(ends[0], step.total), wrong(ends[1], step.total)


if __name__ == "__main__":
    main()
