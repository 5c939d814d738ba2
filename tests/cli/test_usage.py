"""A wrong option gets a hint, in a real command."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cli import drilldown


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("run", "--epochs", "3"), "a setting is changed with --set recipe.epochs=3"),
        (("run", "under-8k", "--lr=0.1"), "a setting is changed with --set recipe.optimizer.lr=0.1"),
        (("run", "--device", "gpu"), 'did you mean "cuda"?'),
    ],
)
def test_a_wrong_option_gets_a_hint(arguments: tuple[str, ...], hint: str, tmp_path: Path) -> None:
    refused = drilldown(*arguments, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.endswith(f"{hint}\n")


def test_an_option_that_stands_for_nothing_gets_no_hint(tmp_path: Path) -> None:
    refused = drilldown("run", "--colour", "red", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--set" not in refused.stderr
