"""The table that `benchmarks/export.py` makes of its lines, and its place in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.scripts import load_script

ROOT = Path(__file__).parents[2]
FLAGSHIP = "under-8k/01-flagship"


MADE = load_script(ROOT / "benchmarks" / "export_table.py")


def line(seed: int, column: str = "int8", experiment: str = FLAGSHIP, **figures: object) -> dict[str, object]:
    return {"experiment": experiment, "fingerprint": "0", "seed": seed, column: figures}


def rows(lines: list[dict[str, object]]) -> dict[str, list[str]]:
    """The cells behind the first one of each row."""
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in MADE.table(lines).splitlines()]
    assert len({len(row) for row in cells}) == 1
    return {first: rest for first, *rest in cells}


def test_a_cell_has_the_median_over_seeds_and_the_range_and_the_goal_counts_seeds() -> None:
    found = rows([line(seed, difference=lost, constants=7988) for seed, lost in enumerate((0, -3, 2))])
    assert found["difference"] == ["−2…+2", "0 (−3…+2)", "no: 2 of 3 seeds", "–", "–", "–"]
    assert found["constants, B"] == ["≤ 7,988", "7,988", "yes", "–", "–", "–"]
    assert found[f"**`{FLAGSHIP}`**, 3 seeds"] == [""] * 6


def test_the_median_of_small_numbers_may_be_a_half() -> None:
    assert rows([line(0, flipped=-1), line(1, flipped=0)])["predictions that differ"][1] == "−0.5 (−1…0)"


def test_the_columns_are_the_makers_of_the_integers() -> None:
    names = {"int4": 2, "onnxruntime": 3, "bakenn": 4}
    found = rows([line(0, correct=9941), *(line(0, name, correct=9900 + number) for name, number in names.items())])
    assert found["correct with integers"] == ["≥ 9,940", "9,941", "yes", "9,902", "9,903", "9,904"]


def test_another_network_has_only_the_goals_for_all() -> None:
    found = rows([line(0, experiment="study/step", correct=9900, constants=9999, host_differing=1)])
    assert found["correct with integers"][:3] == ["", "9,900", ""]
    assert found["constants, B"][:3] == ["", "9,999", ""]
    assert [cells[:3] for name, cells in found.items() if name.startswith("logits")] == [["0", "1", "no"]]


def test_a_reason_stands_below_the_figures() -> None:
    found = rows([line(0, correct=9950), line(0, "bakenn", missing="not installed")])
    assert "BakeNN: not installed" in found


def test_figures_that_nobody_measured_have_no_row() -> None:
    assert set(rows([line(0, uno_seconds=0.928)])) == {
        "", "---", f"**`{FLAGSHIP}`**, 1 seed", "Uno, `tight`: seconds an image, 16 MHz",
    }  # fmt: skip


def test_the_page_shows_what_the_file_has() -> None:
    lines = MADE.read_lines()
    if not lines:
        pytest.skip("nothing is measured yet")
    names = {figure.name for figure in MADE.FIGURES} | {"missing", "version"}
    assert {name for each in lines for column in MADE.COLUMNS.values() for name in each.get(column, {})} <= names
    page = load_script(ROOT / "docs" / "gen_reference.py").on_page_markdown(
        (ROOT / "docs" / "how-to" / "export.md").read_text("utf-8")
    )
    assert MADE.table(lines) in page
    for each in lines:
        assert f"**`{each['experiment']}`**" in page
