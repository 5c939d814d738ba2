"""Search files for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown.errors import DrilldownError
from drilldown.search.reading import read_search

LAYERS = 'layers = ["conv 3x3 {w1}, bn, relu", "{depth}", "maxpool 2", "conv 3x3 {w2}, relu", "{head}"]'
SPACE = """\
w1 = { int = [4, 16], step = 2 }
w2 = { int = [4, 32] }
depth = { one_of = ["conv 3x3 {w1}, relu", "", "conv 3x3 {w3}, relu"] }
w3 = { int = [2, 8] }
head = { one_of = ["gap, linear 10", "conv 1x1 10, gap"] }
"recipe.optimizer.lr" = { float = [0.05, 0.5], log = true }
"recipe.batch_size" = { one_of = [32, 64, 128] }
"""


def search_text(space: str = SPACE, layers: str = LAYERS, *, search: str = "", recipe: str = "", rest: str = "") -> str:
    """A search file; each argument is the content of a table, and `rest` comes at its end."""
    return (
        f'title = "A search"\n[search]\n{search}\n[space]\n{space}\n[network]\n{layers}\n'
        f'[recipe]\ndataset = "glyphs"\n{recipe}\n{rest}'
    )


def search_errors(path: Path, *overrides: str) -> list[str]:
    """The error messages of reading a search, without the name of its folder."""
    with pytest.raises(DrilldownError) as caught:
        read_search(path, overrides)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]
