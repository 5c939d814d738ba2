"""The tour of notebooks/: executed on glyphs for one epoch, otherwise as it is committed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from support import tour

LARGEST = 400_000
"""Bytes."""


@pytest.fixture(scope="module")
def executed() -> nbformat.NotebookNode:
    return tour.execute(DATASET="glyphs", EPOCHS=1)


@pytest.fixture(scope="module")
def stored() -> nbformat.NotebookNode:
    return tour.read()


def code(notebook: nbformat.NotebookNode) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    """All outputs of a kind, such as `text/html` or the stream `stdout`."""
    everything = [output for cell in code(notebook) for output in cell.outputs]
    streams = [output.text for output in everything if output.output_type == "stream" and output.name == kind]
    return streams + [output.data[kind] for output in everything if kind in output.get("data", {})]


def test_the_tour_runs_without_errors_or_warnings(executed: nbformat.NotebookNode) -> None:
    assert all(output.output_type != "error" for cell in code(executed) for output in cell.outputs)
    assert outputs(executed, "stderr") == []


def test_the_executed_code_is_the_committed_code(
    executed: nbformat.NotebookNode, stored: nbformat.NotebookNode
) -> None:
    differing = [cell for cell, other in zip(executed.cells, stored.cells, strict=True) if cell.source != other.source]
    assert [cell.metadata.tags for cell in differing] == [["parameters"]]


@pytest.mark.parametrize("which", ["executed", "stored"])
def test_every_object_and_figure_is_shown(which: str, request: pytest.FixtureRequest) -> None:
    notebook = request.getfixturevalue(which)
    pages, lines = "".join(outputs(notebook, "text/html")), "".join(outputs(notebook, "stdout"))
    for expected in (
        "<b>Under 8,000</b>", "7,662 parameters", "Budget ", ">parameters</td>", "338 to spare", " correct</b>",
        "<b>B against A</b>", "+ conv 3x3 10, bn, relu, dropout 0.02", "recipe.augment.affine.rotate", "an anecdote",
    ):  # fmt: skip
        assert expected in pages
    assert "✓" in pages
    for expected in ('did you mean "epochs"?', "epoch        lr", "epoch 1: train", "finished", "report.html"):
        assert expected in lines
    figures = outputs(notebook, "image/png")
    assert len(figures) == 7
    assert all(figure.startswith("iVBOR") for figure in figures)


def test_the_trained_model_classifies_the_drawn_seven(stored: nbformat.NotebookNode) -> None:
    (prediction,) = (text for text in outputs(stored, "stdout") if text.startswith("7: "))
    assert len(prediction.splitlines()) == 3


def test_the_stored_tour_is_small_and_does_not_reveal_the_machine(stored: nbformat.NotebookNode) -> None:
    assert tour.TOUR.stat().st_size < LARGEST
    text = tour.TOUR.read_text("utf-8")
    for place in ("/tmp", "/home", "/root", "/Users", str(Path.home()), str(Path.cwd())):
        assert place not in text
    assert stored.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert [cell.execution_count for cell in code(stored)] == list(range(1, len(code(stored)) + 1))
    nbformat.validate(stored)
