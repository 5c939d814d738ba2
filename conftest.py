"""What the examples in docstrings may use without importing it."""

from __future__ import annotations

import pytest

import drilldown


@pytest.fixture(autouse=True)
def _examples_know_drilldown(doctest_namespace: dict[str, object]) -> None:
    doctest_namespace["drilldown"] = drilldown
