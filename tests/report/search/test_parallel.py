"""Parallel coordinates: positions, ranks and the axes that a candidate passes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drilldown.report.search.evidence import SearchEvidence
from drilldown.report.search.figures import draw_parallel
from drilldown.report.search.parallel import SHADES, Parallel, parallel_coordinates, place_of, ticks_of
from drilldown.search.dimensions import Choice, Dimension, FloatRange, IntRange
from drilldown.search.journal import Event
from drilldown.search.reading import read_search
from drilldown.search.running import load_state
from support.searches import search_text


@pytest.fixture(scope="module")
def parallel(best: SearchEvidence) -> Parallel:
    found = parallel_coordinates(best)
    assert found is not None
    return found


def test_a_line_for_each_candidate_with_a_finite_loss(best: SearchEvidence, parallel: Parallel) -> None:
    losses = {
        row.number: row.race.loss.mean for row in best.rows if row.race and row.race.loss and not row.race.diverged
    }
    assert {line.number for line in parallel.lines} == losses.keys()
    heights = {line.number: line.places[-1] for line in parallel.lines}
    ranked = sorted(losses, key=lambda number: losses[number])
    assert sorted(heights, key=lambda number: -(heights[number] or 0)) == ranked
    assert (heights[ranked[0]], heights[ranked[-1]]) == (1.0, 0.0)
    assert best.answer is not None
    assert [line.number for line in parallel.lines if line.is_winner] == [best.answer.candidate.number]
    assert parallel.lines[-1].is_winner, "nothing is drawn above it"
    shades = {line.number: line.shade for line in parallel.lines}
    assert [shades[number] for number in ranked] == sorted(shades.values()), "the colour follows the rank"
    assert set(shades.values()) <= set(range(SHADES))


def test_the_axes_are_the_dimensions_and_the_loss(parallel: Parallel) -> None:
    assert [axis.name for axis in parallel.axes] == ["w1", "w2", "lr", "head", "loss"]
    assert parallel.axes[0].ticks == ((0.0, "2"), (0.5, "7"), (1.0, "12"))
    assert parallel.x(len(parallel.axes) - 1) < parallel.width


def test_a_line_has_no_point_on_an_axis_without_effect(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(search_text(recipe="holdout = 1000", rest="[budget]\nparameters = 100_000"))
    search = read_search(tmp_path / "a.toml")
    values = search.space.centre
    events: list[Event] = [{"kind": "search", "fingerprint": search.fingerprint, "name": search.name}]
    for number, depth in enumerate(("", "conv 3x3 {w3}, relu")):
        candidate = {"number": number, "values": {**values, "depth": depth}, "origin": "", "generation": 0}
        events += [
            {"kind": "candidate", **candidate, "limit": 10**5, "parameters": 9, "fingerprint": f"{number}"},
            {"kind": "result", "candidate": number, "seed": 0, "loss": 0.1 + number, "passed": True, "accuracy": 90.0,
             "seconds": 1.0, "clock": 1.0},
        ]  # fmt: skip
    evidence = SearchEvidence(search, load_state(search, events), events, tmp_path)
    found = parallel_coordinates(evidence)
    assert found is not None
    index = [axis.name for axis in found.axes].index("w3")
    places = {line.number: line.places[index] for line in found.lines}
    assert (places[0], places[1]) == (None, place_of(search.space.dimensions["w3"].range, values["w3"]))
    assert len(draw_parallel(found).axes[0].lines) == len(found.lines) + len(found.axes)


dimensions = st.one_of(
    st.builds(
        lambda low, count, step: IntRange(low, low + count * step, step), st.integers(-50, 50), st.integers(1, 40),
        st.integers(1, 5),
    ),
    st.builds(lambda low, ratio: IntRange(low, low * ratio, log=True), st.integers(1, 50), st.integers(2, 30)),
    st.builds(lambda low, width: FloatRange(low, low + width), st.floats(-10, 10), st.floats(0.1, 10)),
    st.builds(lambda low, ratio: FloatRange(low, low * ratio, log=True), st.floats(1e-6, 10), st.floats(1.1, 1e4)),
    st.lists(st.one_of(st.text(max_size=30), st.integers(0, 9)), min_size=2, max_size=20, unique_by=json.dumps).map(
        lambda values: Choice(tuple(values))
    ),
)  # fmt: skip


@given(dimensions)
def test_places_and_ticks_lie_on_the_axis_in_the_order_of_the_values(dimension: Dimension) -> None:
    values = (
        list(dimension.values) if isinstance(dimension, Choice)
        else [dimension.low, dimension.high] if isinstance(dimension, FloatRange)
        else [dimension.at(index) for index in range(dimension.size)]
    )  # fmt: skip
    places = [place_of(dimension, value) for value in values]
    assert places == sorted(set(places))
    assert (places[0], places[-1]) == (0.0, 1.0)
    assert all(0 <= place <= 1 and len(text) <= 15 for place, text in ticks_of(dimension))
