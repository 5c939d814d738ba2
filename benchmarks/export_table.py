"""The table of `export.py`, made of its measured lines, with the goals; the documentation shows it too.

Only the standard library is needed. A line is what was measured of one run: see `measure` in `export.py`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("export.jsonl")
FLAGSHIP = "under-8k/01-flagship"
Line = dict[str, Any]
Number = int | float
COLUMNS = {"8 bits": "int8", "4 bits": "int4", "onnxruntime": "onnxruntime", "BakeNN": "bakenn"}
"""The columns with measured numbers, and who made them: our two precisions, and two others of the same networks."""
MISSING = "–"


class Goal(NamedTuple):
    """What a figure should be, with 8 bits."""

    words: str
    met: Callable[[Number], bool]
    for_all: bool = False
    """Whether it is a goal for each network; the others are for the flagship."""


class Figure(NamedTuple):
    """A row of the table."""

    name: str
    label: str
    goal: Goal | None = None
    decimals: int = 0
    signed: bool = False


def at_most(limit: Number, words: str, *, for_all: bool = False) -> Goal:
    """A goal that no seed may exceed."""
    return Goal(f"≤ {words}", lambda found: found <= limit, for_all)


def none(words: str = "0") -> Goal:
    """The goal that nothing is wrong."""
    return Goal(words, lambda found: found == 0, for_all=True)


FIGURES = (
    Figure("float", "correct in floating point, of 10,000"),
    Figure("correct", "correct with integers", Goal("≥ 9,940", lambda found: found >= 9940)),
    Figure("difference", "difference", Goal("−2…+2", lambda found: abs(found) <= 2, for_all=True), signed=True),
    Figure("flipped", "predictions that differ"),
    Figure("constants", "constants, B", at_most(7988, "7,988")),
    Figure("code", "code, Cortex-M4, B", at_most(2500, "2,500")),
    Figure("ram_rows", "RAM, B; ours with `rows`", at_most(2200, "2,200")),
    Figure("stack_rows", "stack, B; ours with `rows`", at_most(256, "256")),
    Figure("ram_tight", "RAM with `tight`, B"),
    Figure("stack_tight", "stack with `tight`, B"),
    Figure("instructions_m3", "instructions an image, Cortex-M3", at_most(4e6, "4.0 M")),
    Figure("instructions_m4", "instructions an image, Cortex-M4 (SMLAD)", at_most(1.7e6, "1.7 M")),
    Figure("host_differing", "logits that differ from the reference, this machine: of 100,000", none()),
    Figure("qemu_differing", "the same in QEMU, on the images that it ran", none()),
    Figure("qdq_equal", "predictions of ONNX equal to C", Goal("≥ 9,998", lambda found: found >= 9998, for_all=True)),
    Figure("onnx_correct", "correct in onnxruntime, optimised for this machine"),
    Figure("uno_flash", "Uno, `tight`: flash, B", at_most(32 * 1024, "32,768")),
    Figure("uno_ram", "Uno, `tight`: RAM and stack, B", at_most(2048, "2,048")),
    Figure("uno_seconds", "Uno, `tight`: seconds an image, 16 MHz", at_most(1, "1"), decimals=2),
    Figure("seconds", "export of all formats with its checks, s", at_most(15, "15"), decimals=1),
)
"""The rows, in order. The goals are those that were set before the export was written."""


def read_lines(file: Path = FILE) -> list[Line]:
    """The measured lines; none where nothing was measured yet."""
    return [json.loads(text) for text in file.read_text("utf-8").splitlines()] if file.exists() else []


def table(lines: Iterable[Line]) -> str:
    """One table in Markdown of all lines: a part for each experiment.

    A cell is the median over seeds, and the range where the seeds differ.
    """
    parts: dict[str, list[Line]] = {}
    for line in lines:
        parts.setdefault(line["experiment"], []).append(line)
    head = ["", "goal", "8 bits", "met", *list(COLUMNS)[1:]]
    rows = [row for name, part in parts.items() for row in _rows(name, part)]
    rule = ["---", "--:", "--:", "---", "--:", "--:", "--:"]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows)) + "\n"


def _rows(experiment: str, lines: list[Line]) -> Iterable[list[str]]:
    """The part of one experiment: its name, its figures, and why some are missing."""
    seeds = len({line["seed"] for line in lines})
    yield [f"**`{experiment}`**, {seeds} {'seed' if seeds == 1 else 'seeds'}", *[""] * 6]
    for figure in FIGURES:
        found = {column: _values(lines, column, figure.name) for column in COLUMNS.values()}
        if not any(found.values()):
            continue
        goal = figure.goal if figure.goal and (figure.goal.for_all or experiment == FLAGSHIP) else None
        ours, *others = (_cell(figure, values) for values in found.values())
        yield [figure.label, goal.words if goal else "", ours, _met(goal, found["int8"]), *others]
    for title, column in COLUMNS.items():
        for reason in sorted({line[column]["missing"] for line in lines if "missing" in line.get(column, {})}):
            yield [f"{title}: {reason}", *[""] * 6]


def _values(lines: list[Line], column: str, name: str) -> list[Number]:
    found = [line.get(column, {}).get(name) for line in lines]
    return [value for value in found if value is not None]


def _cell(figure: Figure, values: list[Number]) -> str:
    if not values:
        return MISSING
    shown = [_number(figure, value) for value in (statistics.median(values), min(values), max(values))]
    return shown[0] if shown[1] == shown[2] else f"{shown[0]} ({shown[1]}…{shown[2]})"


def _number(figure: Figure, value: Number) -> str:
    """The median of ten small whole numbers may be a half."""
    decimals = figure.decimals or int(abs(value) < 100 and value != round(value))
    return f"{value:{'+' if figure.signed and value else ''},.{decimals}f}".replace("-", "−")


def _met(goal: Goal | None, values: list[Number]) -> str:
    if goal is None or not values:
        return ""
    met = sum(map(goal.met, values))
    return "yes" if met == len(values) else f"no: {met} of {len(values)} seeds" if len(values) > 1 else "no"
