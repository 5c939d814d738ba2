"""The charts of a search hold the results of its journal."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from drilldown.report.search.charts import search_charts
from drilldown.report.search.evidence import SearchEvidence
from drilldown.report.search.figures import draw_scatters
from drilldown.report.svg import Drawing


def test_every_candidate_with_a_finite_loss_is_a_dot_at_its_mean(smallest: SearchEvidence) -> None:
    loss, accuracy, _ = search_charts(smallest)
    for chart, key in ((loss, "loss"), (accuracy, "accuracy")):
        expected = []
        for row in smallest.rows:
            values = [
                event[key]
                for event in smallest.events
                if event["kind"] == "result" and event["candidate"] == row.number and event["seed"] < 100
            ]  # fmt: skip
            if values and None not in values:
                expected.append((row.candidate.parameters, np.mean(values)))
        dots = [
            pair
            for series in chart.series
            if not series.name.endswith("fresh")
            for pair in zip(series.x, series.y, strict=True)
        ]
        assert np.array(sorted(dots)) == pytest.approx(np.array(sorted(expected)))
        assert all(0 <= chart.x.share(x) <= 1 and -1e-6 <= chart.y.share(y) <= 1.000001 for x, y in dots)


def test_candidates_that_learn_nothing_lie_beyond_the_axis_and_are_marked(failing: SearchEvidence) -> None:
    loss, accuracy, _ = search_charts(failing)
    failed = sorted(failing.state.candidates[number].parameters for number in (3, 5))
    for chart, above, note in (
        (loss, True, "▲ 2 points above the axis"),
        (accuracy, False, "▼ 2 points below the axis"),
    ):
        assert sorted(point.x for point in chart.outside) == failed
        assert {point.above for point in chart.outside} == {above}
        assert chart.outside_text == note
        assert note in draw_scatters([chart]).axes[0].get_xlabel()
    others = [row.race.loss.mean for row in failing.rows if row.race and row.race.loss and row.number not in (3, 5)]
    assert loss.y.high < 10 * max(others)


def test_dots_of_the_front_have_intervals_over_seeds(best: SearchEvidence) -> None:
    loss, _, _ = search_charts(best)
    named = {series.name: series for series in loss.series if series.ranges}
    for row in best.front:
        seeds = [value for seed, value in row.candidate.losses.items() if seed < 100]
        low, high = (
            stats.t.interval(0.95, len(seeds) - 1, loc=np.mean(seeds), scale=stats.sem(seeds))
            if len(seeds) > 2
            else (np.mean(seeds),) * 2
        )
        assert named[str(row.number)].ranges[0] == pytest.approx((low, high))
    assert best.answer is not None
    assert f"{best.answer.candidate.number} fresh" in named


def test_the_race_has_a_mark_for_each_training_in_its_order(smallest: SearchEvidence) -> None:
    *_, race = search_charts(smallest)
    results = [event for event in smallest.events if event["kind"] == "result"]
    marks = sorted(pair for series in race.series for pair in zip(series.x, series.y, strict=True))
    assert marks == [(place, event["candidate"]) for place, event in enumerate(results, start=1)]
    kinds = Counter(
        "diverged" if event["loss"] is None else
        "fresh seeds" if event["seed"] >= 100 else
        {0: "seed 0", 1: "seed 1", 2: "seeds 2 to 3", 3: "seeds 2 to 3"}.get(event["seed"], "seeds 4 to 7")
        for event in results
    )  # fmt: skip
    assert {series.name: len(series.x) for series in race.series} == kinds
    assert len({series.style for series in race.series}) == len(race.series)
    assert [label for _, label in race.limits] == [
        f"≤ {event['limit']:,}" for event in smallest.events if event["kind"] == "limit"
    ]
    assert all(value.is_integer() for value, _ in (*race.x.ticks, *race.y.ticks))


def test_both_drawers_put_dots_in_the_same_places(best: SearchEvidence) -> None:
    chart = search_charts(best)[0]
    axes = draw_scatters([chart]).axes[0]
    drawing = Drawing(chart)
    left, top, right, bottom = drawing.frame
    for series in chart.series:
        for (x, y), (across, down) in zip(zip(series.x, series.y, strict=True), drawing.points(series), strict=True):
            place = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))
            assert place == pytest.approx(
                ((across - left) / (right - left), (bottom - down) / (bottom - top)), abs=0.002
            )
    assert {text.get_text() for text in axes.texts} >= {series.name for series in chart.series if series.ranges}
