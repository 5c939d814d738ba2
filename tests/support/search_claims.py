"""The claims that the sentences about a search make: each is read back from its words, and checked with the journal."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from drilldown.report.search.analysis import search_sentences
from drilldown.report.search.evidence import SearchEvidence
from drilldown.search.journal import Event

SEEDS = 8
"""The number of seeds of a whole race."""
FIRST_FRESH = 100


def results(evidence: SearchEvidence, *, fresh: bool | None = None, number: int | None = None) -> list[Event]:
    """The results in the journal: all, or those of the race or on fresh seeds, or those of one candidate."""
    return [
        event
        for event in evidence.events
        if event["kind"] == "result"
        and fresh in (None, event["seed"] >= FIRST_FRESH)
        and number in (None, event["candidate"])
    ]


def winner(evidence: SearchEvidence) -> int:
    assert evidence.answer is not None
    return evidence.answer.candidate.number


def figures(evidence: SearchEvidence, key: str, *, fresh: bool) -> list[float]:
    """The figures of the winner's last confirmation, or of its race; diverged seeds have none."""
    found = results(evidence, fresh=fresh, number=winner(evidence))
    return [event[key] for event in found if event[key] is not None]


def check_differences(evidence: SearchEvidence, accuracy: str, a: str, loss: str, b: str, chosen: str) -> None:
    for shown, interval, key, close in ((accuracy, a, "accuracy", 0.00051), (loss, b, "loss", 0.000051)):
        fresh, race = figures(evidence, key, fresh=True), figures(evidence, key, fresh=False)
        assert float(shown) == pytest.approx(np.mean(fresh) - np.mean(race), abs=close)
        assert bool(interval) == (min(len(fresh), len(race)) >= 3)
        if interval:
            truth = stats.ttest_ind(fresh, race, equal_var=False).confidence_interval()
            ends = [float(end) for end in interval.strip(" []").split(", ")]
            assert ends == pytest.approx([truth.low, truth.high], abs=close)
    assert bool(chosen) == (len({event["candidate"] for event in results(evidence)}) > 1)


def check_no_fresh(evidence: SearchEvidence, chosen: str) -> None:
    assert not results(evidence, fresh=True, number=winner(evidence))
    assert bool(chosen) == (len({event["candidate"] for event in results(evidence)}) > 1)


def check_distance(evidence: SearchEvidence, where: str, mean: str, distance: str, bar: str) -> None:
    values = figures(evidence, "accuracy", fresh=where == "on fresh seeds")
    assert float(mean) == pytest.approx(np.mean(values), abs=0.00051)
    assert float(bar) == evidence.search.base.budget.accuracy
    if distance == "exactly":
        assert np.mean(values) == float(bar)
    else:
        points, _, side = distance.split()
        assert float(points) == pytest.approx(abs(np.mean(values) - float(bar)), abs=0.00051)
        assert (side == "below") == (np.mean(values) < float(bar))


def check_mean_is_not_enough(evidence: SearchEvidence) -> None:
    fresh = bool(results(evidence, fresh=True, number=winner(evidence)))
    found = results(evidence, fresh=fresh, number=winner(evidence))
    assert np.mean(figures(evidence, "accuracy", fresh=fresh)) >= (evidence.search.base.budget.accuracy or 0)
    assert not all(event["passed"] for event in found)


def check_race_passes(evidence: SearchEvidence, passed: str, n: str, needed: str) -> None:
    found = results(evidence, fresh=False, number=winner(evidence))
    assert (int(passed), int(n)) == (sum(event["passed"] for event in found), len(found))
    assert (int(needed) - 1) / SEEDS < evidence.search.settings.confirm.rate <= int(needed) / SEEDS


def check_confirmed(evidence: SearchEvidence) -> None:
    last = None
    for event in evidence.events:
        if event["kind"] == "confirmation":
            last = event["candidate"]
        if event["kind"] == "decision" and last == winner(evidence):
            assert event["decision"] == "accepted"
            return
    raise AssertionError("no decision about the winner")


def check_test(evidence: SearchEvidence, n: str, noun: str, mean: str) -> None:
    found = [
        100 * event["test"][0] / event["test"][1]
        for event in results(evidence, number=winner(evidence))
        if "test" in event
    ]
    assert all(event["seed"] >= FIRST_FRESH for event in results(evidence) if "test" in event)
    assert (int(n or 1), noun) == (len(found), "seed" if len(found) == 1 else "seeds")
    assert float(mean) == pytest.approx(np.mean(found), abs=0.00051)


def check_race(evidence: SearchEvidence, candidates: str, trainings: str, each: str, whole: str, fresh: str) -> None:
    raced = {event["candidate"] for event in results(evidence, fresh=False)}
    count = len(results(evidence, fresh=False))
    assert candidates == f"{len(raced)} candidate{'' if len(raced) == 1 else 's'}"
    assert trainings == f"{count} training{'' if count == 1 else 's'}"
    assert float(each) == pytest.approx(count / len(raced), abs=0.051)
    assert int(whole.replace(",", "")) == SEEDS * len(raced)
    assert int(fresh or 0) == len(results(evidence, fresh=True))


def check_expected(evidence: SearchEvidence, percent: str) -> None:
    several = [number for number, losses in race_losses(evidence).items() if len(losses) > 1]
    assert len(several) > 1
    assert 0 < float(percent) < 200


def race_losses(evidence: SearchEvidence) -> dict[int, list[float]]:
    losses: dict[int, list[float]] = defaultdict(list)
    for event in results(evidence, fresh=False):
        losses[event["candidate"]].append(np.inf if event["loss"] is None else event["loss"])
    return losses


def check_front(evidence: SearchEvidence, count: str, numbers: str, few: str, verb: str) -> None:
    losses = race_losses(evidence)
    sizes = {event["number"]: event["parameters"] for event in evidence.events if event["kind"] == "candidate"}
    place = {number: (sizes[number], float(np.mean(found))) for number, found in losses.items()}
    front = [int(number) for number in numbers.split(", ")]
    assert len(front) == int(count) > 1
    for number, (size, loss) in place.items():
        beaten = any(other[0] <= size and other[1] <= loss and other != (size, loss) for other in place.values())
        if number in front:
            assert not beaten
        else:
            assert beaten or not np.isfinite(loss) or any(place[other] == (size, loss) for other in front)
    short = sum(len(losses[number]) < SEEDS for number in front)
    assert int(few or 0) == short
    assert verb == ("" if not few else "has" if short == 1 else "have")


def check_diverged(evidence: SearchEvidence, numbers: str) -> None:
    found = {event["candidate"] for event in results(evidence) if event["loss"] is None}
    assert {int(number) for number in numbers.split(", ")} == found


def kinds(evidence: SearchEvidence) -> list[str]:
    return [event["kind"] for event in evidence.events]


def check_open(evidence: SearchEvidence, number: str) -> None:
    confirmations = [event["candidate"] for event in evidence.events if event["kind"] == "confirmation"]
    assert kinds(evidence).count("decision") == len(confirmations) - 1
    assert confirmations[-1] == int(number)


def waiting(evidence: SearchEvidence) -> int:
    proposed = {event["number"] for event in evidence.events if event["kind"] == "candidate"}
    return len(proposed - {event["candidate"] for event in results(evidence)})


def check_waiting(evidence: SearchEvidence, count: str, noun: str, verb: str) -> None:
    assert int(count) == waiting(evidence)
    assert (noun, verb) == (("candidate", "has") if count == "1" else ("candidates", "have"))


def check_exhausted(evidence: SearchEvidence) -> None:
    assert "exhausted" in kinds(evidence)


def check_tried(evidence: SearchEvidence, count: str) -> None:
    assert int(count) == kinds(evidence).count("candidate") >= evidence.search.settings.candidates
    assert waiting(evidence) == 0


def check_ended(evidence: SearchEvidence) -> None:
    assert evidence.search.settings.goal == "smallest"
    assert kinds(evidence).count("decision") > 0


NUMBER, INTERVAL = r"([+-]?\d+\.\d+)", r"( \[\S+, \S+\])?"
CLAIMS: dict[str, Callable[..., None]] = {
    rf"Fresh seeds minus race: accuracy {NUMBER}{INTERVAL} points, loss {NUMBER}{INTERVAL}\. (The race chose this "
    r"candidate .* too good\. )?The figures on fresh seeds are the answer\.": check_differences,
    r"(It was chosen by the figures on the seeds of its race; .* too good\. )?It was not measured on fresh seeds\.": (
        check_no_fresh
    ),
    rf"Its mean accuracy (on fresh seeds|in its race) is {NUMBER} %, (.+) the bar of ([\d.]+) %\.": check_distance,
    r"A mean at or above the bar is not enough: .*\.": check_mean_is_not_enough,
    r"(\d+) of (\d+) seeds? of its race met the budget; (\d+) of 8 must, before it is measured on fresh seeds\.": (
        check_race_passes
    ),
    r"Confirmed means: .*\.": check_confirmed,
    rf"Test accuracy of the final models of its (?:(\d+) )?fresh (seeds?): {NUMBER}(?: ± \S+)? %\. No decision .*\.": (
        check_test
    ),
    r"The race of (.+) took (.+), ([\d.]+) per candidate; with 8 seeds for each candidate it would have been ([\d,]+)\."
    r"(?: Fresh seeds took (\d+) more\.)?": check_race,
    r"The race expects .* standard deviation of (\d+) % of the loss: .*\.": check_expected,
    r"(\d+) candidates are on the front \(.*\): ([\d, ]+)\."
    r"(?: (\d+) of them (has|have) fewer than 8 seeds and .*\.)?": (check_front),
    r"Trainings of these candidates diverged, or could not be trained, and count as failed: ([\d, ]+)\.": (
        check_diverged
    ),
    r"The measurement of candidate (\d+) on fresh seeds is not finished\.": check_open,
    r"(\d+) (candidates?) (has|have) no result yet\.": check_waiting,
    r"The space has no further candidate within the limit\.": check_exhausted,
    r"The search tried its (\d+) candidates?\.": check_tried,
    r"The search has ended: no smaller limit is worth a try\.": check_ended,
}


def check_claims(evidence: SearchEvidence) -> list[str]:
    """Checks every sentence about a search; returns the sentences."""
    sentences = search_sentences(evidence)
    for sentence in sentences:
        matches = [(pattern, match) for pattern in CLAIMS if (match := re.fullmatch(pattern, sentence))]
        assert len(matches) == 1, sentence
        CLAIMS[matches[0][0]](evidence, *(group or "" for group in matches[0][1].groups()))
    return sentences
