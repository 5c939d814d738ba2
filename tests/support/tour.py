"""Executes the tour. As a program, it stores the outputs: `python tests/support/tour.py`."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

TOUR = Path(__file__).parents[2] / "notebooks" / "tour.ipynb"


def read() -> nbformat.NotebookNode:
    return nbformat.read(TOUR, as_version=4)


def execute(**parameters: Any) -> nbformat.NotebookNode:
    """The tour with its outputs; parameters replace those in the cell that is tagged `parameters`."""
    tour = copy.deepcopy(read())
    (cell,) = (cell for cell in tour.cells if "parameters" in cell.metadata.get("tags", ()))
    if parameters:
        cell.source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    NotebookClient(tour, timeout=600, kernel_name="python3", record_timing=False, coalesce_streams=True).execute()
    return tour


def main() -> None:
    tour = execute()
    tour.metadata = {  # without the version of Python
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(tour, TOUR)


if __name__ == "__main__":
    main()
