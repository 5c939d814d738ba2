"""The answer of a search: its figures are those of the journal, computed again with NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from drilldown.evaluation.intervals import PassRate
from drilldown.report.search.answer import answer_sentences, find_answer, measure
from drilldown.report.search.answer import test_sentence as remark_of
from drilldown.report.search.evidence import SearchEvidence
from drilldown.search.running import load_state
from drilldown.search.state import Candidate


def results(evidence: SearchEvidence, number: int, seeds: Iterable[int]) -> list[Any]:
    """The results of a candidate, as the journal has them."""
    return [
        event
        for event in evidence.events
        if event["kind"] == "result" and event["candidate"] == number and event["seed"] in seeds
    ]


@pytest.mark.parametrize("name", ["best", "smallest", "nothing", "on_test"])
def test_the_figures_on_fresh_seeds_and_of_the_race_are_those_of_the_journal(
    name: str, request: pytest.FixtureRequest
) -> None:
    evidence: SearchEvidence = request.getfixturevalue(name)
    answer = evidence.answer
    assert answer is not None
    assert answer.trial is not None
    for figures, seeds in ((answer.race, range(100)), (answer.fresh, answer.trial.seeds)):
        found = results(evidence, answer.candidate.number, seeds)
        accuracies = [event["accuracy"] for event in found if event["accuracy"] is not None]
        losses = [event["loss"] for event in found if event["loss"] is not None]
        assert figures is not None
        assert figures.accuracy is not None
        assert figures.loss is not None
        assert figures.rate == PassRate(sum(event["passed"] for event in found), len(found))
        assert figures.accuracy.mean == pytest.approx(np.mean(accuracies))
        assert figures.loss.mean == pytest.approx(np.mean(losses))
        half = stats.t.ppf(0.975, len(losses) - 1) * stats.sem(losses)
        assert figures.loss.high - figures.loss.mean == pytest.approx(half)
        assert figures.diverged == len(found) - len(losses)


def test_the_shrinkage_is_fresh_minus_race_with_welchs_interval(best: SearchEvidence) -> None:
    answer = best.answer
    assert answer is not None
    assert answer.trial is not None
    fresh, race = (
        [event["loss"] for event in results(best, answer.candidate.number, seeds) if event["loss"] is not None]
        for seeds in (answer.trial.seeds, range(100))
    )
    shrinkage = answer.loss_shrinkage
    assert shrinkage is not None
    truth = stats.ttest_ind(fresh, race, equal_var=False).confidence_interval()
    assert shrinkage.difference == pytest.approx(np.mean(fresh) - np.mean(race))
    assert (shrinkage.low, shrinkage.high) == pytest.approx((truth.low, truth.high))
    assert answer.differences is not None
    assert f"{np.mean(fresh) - np.mean(race):+.4f}" in answer.differences[1]
    assert any(answer.differences[1] in sentence for sentence in answer_sentences(answer, best.state))


def test_the_test_images_are_a_remark_about_the_fresh_seeds(best: SearchEvidence, on_test: SearchEvidence) -> None:
    answer = best.answer
    assert answer is not None
    tests = [
        event["test"] for event in best.events if event.get("candidate") == answer.candidate.number and "test" in event
    ]
    assert answer.test is not None
    assert answer.test.n == len(tests) > 5
    assert answer.test.mean == pytest.approx(np.mean([100 * correct / total for correct, total in tests]))
    assert "No decision of the search used it" in (remark_of(answer) or "")
    assert on_test.answer is not None
    assert remark_of(on_test.answer) is None, "there, the test images decided everything"


def test_kinds_and_headlines(
    best: SearchEvidence, smallest: SearchEvidence, nothing: SearchEvidence, on_test: SearchEvidence
) -> None:
    answers = [evidence.answer for evidence in (best, smallest, nothing, on_test)]
    assert [answer.kind if answer else None for answer in answers] == ["confirmed", "confirmed", "leading", "measured"]
    headlines = [answer.headline if answer else "" for answer in answers]
    assert headlines[0].startswith("The winner: candidate ")
    assert headlines[1].startswith("The smallest confirmed network")
    assert headlines[2].startswith("No candidate is confirmed; the best so far is candidate ")
    for answer, headline in zip(answers, headlines, strict=True):
        assert answer is not None
        assert headline.endswith(f"candidate {answer.candidate.number}, {answer.candidate.parameters:,} parameters")


def test_a_search_that_finds_nothing_says_how_far_it_is_from_the_bar(nothing: SearchEvidence) -> None:
    answer = nothing.answer
    assert answer is not None
    assert answer.trial is not None
    found = results(nothing, answer.candidate.number, answer.trial.seeds)
    mean = np.mean([event["accuracy"] for event in found if event["accuracy"] is not None])
    text = " ".join(answer_sentences(answer, nothing.state))
    assert f"{mean:.3f} %, {99 - mean:.3f} points below the bar of 99 %" in text
    assert answer.detail == f"0 of {len(found)} fresh seeds met the budget: not confirmed"


def test_during_the_race_the_answer_is_the_best_so_far(best: SearchEvidence) -> None:
    events = best.events[: next(n for n, event in enumerate(best.events) if event["kind"] == "confirmation")]
    state = load_state(best.search, [*events])
    answer = find_answer(best.search, state)
    assert answer is not None
    assert (answer.kind, answer.fresh, answer.differences) == ("leading", None, None)
    assert answer.headline.startswith("No candidate is confirmed yet")
    assert "such figures are too good. It was not measured on fresh seeds." in " ".join(answer_sentences(answer, state))
    assert find_answer(best.search, load_state(best.search, [*best.events[:2]])) is None, "no result yet"


def test_seeds_that_diverged_are_in_no_mean_and_did_not_pass() -> None:
    candidate = Candidate(
        number=0, values={}, origin="", generation=0, limit=1, parameters=1, fingerprint="",
        passed={0: True, 1: False, 2: True}, accuracy={0: 90.0}, losses={0: 0.5, 1: float("inf"), 2: float("inf")},
    )  # fmt: skip
    figures = measure(candidate, range(2))
    assert figures is not None
    assert (figures.rate, figures.diverged, figures.seeds) == (PassRate(1, 2), 1, "2 seeds, 1 diverged")
    assert (figures.accuracy_text, figures.loss_text) == ("90.000", "0.5000")
    ruined = measure(candidate, [1])
    assert ruined is not None
    assert (ruined.accuracy_text, ruined.loss_text) == ("90.000", "–") if ruined.accuracy else ("–", "–")
    assert measure(candidate, [7]) is None
