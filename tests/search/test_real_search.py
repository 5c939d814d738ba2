"""Searches with real trainings in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drilldown.runs.pool import InProcessPool
from drilldown.search.callback import SearchCallback
from drilldown.search.reading import read_search
from drilldown.search.running import run_search
from drilldown.settings import Compute, Folders
from support.cli import world
from support.outcome import outcome
from support.stand_in import events_of


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[[], Path]:
    def make() -> Path:
        return world(tmp_path, epochs=2)

    return make


def test_a_candidate_that_cannot_be_trained_is_dropped_and_the_search_continues(tmp_path: Path) -> None:
    """Real trainings: some candidates have batches of more images than there are."""
    file = tmp_path / "batches.toml"
    file.write_text(
        """
        title = "Batches"
        [search]
        candidates = 4
        confirm = { rate = 0.8, most = 2 }
        [space]
        "recipe.batch_size" = { one_of = [64, 100000, 32, 200000] }
        [network]
        layers = ["gap", "linear 10"]
        [recipe]
        dataset = "glyphs"
        epochs = 1
        batch_size = 64
        holdout = 100
        optimizer = { name = "sgd", lr = 0.1 }
        [budget]
        hold = 1
        """
    )
    folders, quiet = Folders(runs=tmp_path / "runs"), SearchCallback()
    pool = InProcessPool(Compute(engine="torch", threads=1), folders, quiet)
    state = run_search(read_search(file), pool, quiet, folders=folders)
    failed = {number: candidate for number, candidate in state.candidates.items() if candidate.failed}
    assert {candidate.values["recipe.batch_size"] for candidate in failed.values()} == {100_000, 200_000}
    assert all("batches of" in candidate.failed[0] for candidate in failed.values())
    assert state.winner is not None
    assert state.winner.number not in failed


def test_a_real_search_is_the_same_after_an_interruption(tiny: Callable[[], Path], tmp_path: Path) -> None:
    """Real trainings in this process: the same journal, and the same bits of each model."""
    file = tiny()
    overrides = ["recipe.holdout=60", "search.candidates=2", "search.confirm.most=2", "search.seed=5"]
    search = read_search(file, overrides)
    compute = Compute(engine="torch", threads=1)

    class Interrupting(SearchCallback):
        def __init__(self, after: int) -> None:
            self.left = after

        def on_epoch_end(self, epoch: Any) -> None:  # noqa: ARG002
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    journals = []
    for name, stops in (("whole", []), ("parts", [1, 4])):
        folders = Folders(runs=tmp_path / name)
        for after in stops:
            callback = Interrupting(after)
            with pytest.raises(KeyboardInterrupt):
                run_search(search, InProcessPool(compute, folders, callback), callback, folders=folders)
        quiet = SearchCallback()
        state = run_search(search, InProcessPool(compute, folders, quiet), quiet, folders=folders)
        assert len(state.candidates) == 2
        timeless = [{k: v for k, v in event.items() if k != "seconds"} for event in events_of(search, folders.runs)]
        journals.append(timeless)
    assert journals[0] == journals[1]
    runs = sorted((tmp_path / "whole").glob("*/*candidate*/seed-*"))
    assert runs
    for run in runs:
        assert outcome(run) == outcome(tmp_path / "parts" / run.relative_to(tmp_path / "whole"))
