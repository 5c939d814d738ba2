"""The rows of a search's report."""

from __future__ import annotations

import json

from drilldown.report.search.evidence import SearchEvidence


def test_a_row_names_exactly_the_values_that_differ_and_have_an_effect(best: SearchEvidence) -> None:
    for row in best.rows:
        values = row.candidate.values
        used = best.search.space.used(values)
        expected = {name for name in used if json.dumps(values[name]) != json.dumps(best.original[name])}
        assert {name for name, _ in row.changes} == expected
    assert not best.has_original, "w1 and w2 have no start"


def test_the_front_is_no_candidates_that_another_one_beats(smallest: SearchEvidence) -> None:
    losses = {
        row.number: row.race.loss.mean for row in smallest.rows if row.race and row.race.loss and not row.race.diverged
    }
    sizes = {row.number: row.candidate.parameters for row in smallest.rows}
    beaten = {
        one
        for one in losses
        for other in losses
        if (sizes[other], losses[other]) != (sizes[one], losses[one])
        and sizes[other] <= sizes[one]
        and losses[other] <= losses[one]
    }
    assert {row.number for row in smallest.front} == losses.keys() - beaten


def test_the_limits_are_those_of_the_journal(smallest: SearchEvidence, best: SearchEvidence) -> None:
    changes = [event for event in smallest.events if event["kind"] == "limit"]
    assert len(changes) > 1
    assert [tried.limit for tried in smallest.limits] == [2000, *(event["limit"] for event in changes)]
    assert [tried.outcome for tried in smallest.limits[:-1]] == [event["reason"] for event in changes]
    assert sum(tried.tried for tried in smallest.limits) == len(smallest.rows)
    assert best.limits == []


def test_trainings_are_counted(best: SearchEvidence) -> None:
    results = [event for event in best.events if event["kind"] == "result"]
    assert best.trainings == len(results)
    assert best.race_trainings == sum(event["seed"] < 100 for event in results)


def test_reports_of_runs_are_linked_where_they_exist(best: SearchEvidence) -> None:
    candidate = best.rows[1].candidate
    run = best.folder.parent / f"stand-candidate-1-{candidate.fingerprint}" / "seed-0"
    assert run.is_dir()
    assert not any(row.link for row in best.rows)
    (run / "report.html").write_text("a report")
    fresh = SearchEvidence(best.search, best.state, best.events, best.folder)
    try:
        assert [row.number for row in fresh.rows if row.link] == [1]
        assert (best.folder / (fresh.rows[1].link or "")).resolve() == run / "report.html"
    finally:
        (run / "report.html").unlink()
