"""The queue of a long search: with a thousand candidates, the next training is there at once."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path
from typing import Any

from drilldown.runs.pool import Outcome
from drilldown.search.callback import SearchCallback
from drilldown.search.fit import fit
from drilldown.search.journal import Journal
from drilldown.search.queue import SearchQueue
from drilldown.search.reading import SearchFile, read_search
from drilldown.search.running import load_state
from drilldown.search.state import SearchState
from drilldown.settings import Folders
from support.stand_in import StandInPool, learning_curve, write_finished

CANDIDATES, TRIES = 1000, 9
SECONDS = 0.2
PATIENCE = 4
"""Tests run beside others on a shared machine: their bound is this many times the wanted one."""


def long_search(search: SearchFile) -> SearchState:
    """The state of a search with many finished candidates, drawn at random."""
    state, draw = load_state(search, []), random.Random(0)
    known = set()
    while len(state.candidates) < CANDIDATES:
        fitted = fit(search.space, search.space.sample(draw), state.limit)
        if fitted is None:
            continue
        number = len(state.candidates)
        fingerprint = search.space.experiment(fitted.values, number).fingerprint
        if fingerprint not in known:
            known.add(fingerprint)
            state.apply(
                {"kind": "candidate", "number": number, "values": fitted.values, "origin": "a test", "generation": 0,
                 "limit": state.limit, "parameters": fitted.parameters, "fingerprint": fingerprint}
            )  # fmt: skip
            state.apply(result(number, 0, 0.05 + draw.random()))
    while wanted := state.wanted_race():
        for number, seed in wanted:
            state.apply(result(number, seed, state.candidates[number].losses[0] * draw.gauss(1, 0.05)))
    return state


def result(number: int, seed: int, loss: float) -> dict[str, Any]:
    return {
        "kind": "result", "candidate": number, "seed": seed, "loss": loss, "passed": False, "accuracy": 50.0,
        "seconds": 1.0, "clock": 1.0,
    }  # fmt: skip


def test_with_a_thousand_candidates_the_next_one_is_there_at_once(tmp_path: Path) -> None:
    small = ["recipe.dataset=glyphs", "recipe.epochs=1", "recipe.holdout=1000", "search.candidates=2000"]
    search = read_search("under-8k", small)
    state = long_search(search)
    queue = SearchQueue(
        search, state, Journal(tmp_path), StandInPool(), SearchCallback(), Folders(runs=tmp_path), deterministic=False
    )  # fmt: skip
    seconds = []
    for _ in range(TRIES + 1):
        began = time.perf_counter()
        task = queue.next()
        seconds.append(time.perf_counter() - began)
        assert task is not None
        write_finished(task, learning_curve(task))
        queue.end(Outcome(task, "finished"))
    assert len(state.candidates) > CANDIDATES
    assert statistics.median(seconds[1:]) < PATIENCE * SECONDS  # the first call imports Optuna
