"""The claims that the sentences about a run make: each is read back from its words and checked against the records."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
from scipy import stats

from drilldown.evaluation.records import EpochRecord
from drilldown.report.run.analysis import run_sentences
from drilldown.report.run.evidence import RunEvidence

TOTAL = 1_000
"""The number of images of each epoch."""
BAR = 95.5
"""The bar of the budget, in percent."""
PERCENT, COUNT, LOSS = r"([\d.]+) %", r"([\d,]+)", r"([\d.e-]+)"


def number(text: str) -> int:
    return int(text.replace(",", ""))


def reaches(epoch: EpochRecord) -> bool:
    return Decimal(100 * epoch.test.correct) >= Decimal(str(BAR)) * epoch.test.total


def first_reached(evidence: RunEvidence) -> int:
    return next(epoch.epoch for epoch in evidence.epochs if reaches(epoch))


def check_bar_never(evidence: RunEvidence, epoch: str, accuracy: str, short: str) -> None:
    best = evidence.epochs[int(epoch) - 1].test
    assert not any(map(reaches, evidence.epochs))
    assert best.correct == max(record.test.correct for record in evidence.epochs)
    assert Decimal(accuracy) < Decimal(str(BAR))
    count, noun = short.split()
    assert noun == ("image" if number(count) == 1 else "images")
    assert Decimal(100 * (best.correct + number(count))) >= Decimal(str(BAR)) * best.total
    assert Decimal(100 * (best.correct + number(count) - 1)) < Decimal(str(BAR)) * best.total


def check_bar_last(evidence: RunEvidence, epoch: str) -> None:
    assert [record.epoch for record in evidence.epochs if reaches(record)] == [int(epoch)] == [len(evidence.epochs)]


def check_bar_held(evidence: RunEvidence, epoch: str) -> None:
    assert first_reached(evidence) == int(epoch)
    assert all(map(reaches, evidence.epochs[int(epoch) - 1 :]))
    assert int(epoch) < len(evidence.epochs)


def check_bar_lost(evidence: RunEvidence, epoch: str, accuracy: str) -> None:
    assert first_reached(evidence) == int(epoch)
    assert not reaches(evidence.epochs[-1])
    assert Decimal(accuracy) < Decimal(str(BAR))


def check_bar_again(evidence: RunEvidence, epoch: str, missed: str) -> None:
    assert first_reached(evidence) == int(epoch)
    assert [reaches(record) for record in evidence.epochs[int(missed) - 1 :]] == [False, True]


def check_bar_from(evidence: RunEvidence, epoch: str, start: str) -> None:
    assert first_reached(evidence) == int(epoch) < int(start) < len(evidence.epochs)
    assert all(map(reaches, evidence.epochs[int(start) - 1 :]))
    assert not reaches(evidence.epochs[int(start) - 2])


def check_range(evidence: RunEvidence, epochs: str, low: str, high: str, total: str, spread: str, error: str) -> None:
    counts = [record.test.correct for record in evidence.epochs[-int(epochs) :]]
    assert int(epochs) == min(evidence.experiment.budget.hold, len(evidence.epochs)) > 1
    assert (number(low), number(high or low), number(total)) == (min(counts), max(counts), TOTAL)
    assert spread == ("" if not high else "1 image" if max(counts) - min(counts) == 1 else f"{np.ptp(counts):,} images")
    if counts[-1] in (0, TOTAL):
        assert not error
    else:
        assert float(error) == pytest.approx(stats.binom(TOTAL, counts[-1] / TOTAL).std(), abs=0.05)


def check_interval(evidence: RunEvidence, accuracy: str, low: str, high: str) -> None:
    right, total = evidence.summary.test.correct, evidence.summary.test.total
    assert float(accuracy) == pytest.approx(100 * right / total, abs=0.00501)
    share, z2 = right / total, 1.959964**2 / total
    centre, half = share + z2 / 2, math.sqrt(z2 * (share * (1 - share) + z2 / 4))  # Wilson's formula
    ends = [100 * end / (1 + z2) for end in (centre - half, centre + half)]
    assert [float(low), float(high)] == pytest.approx(ends, abs=0.00501)


def check_overfitting(evidence: RunEvidence, sign: str, clean: str, test: str, gap: str, errors: str) -> None:
    summary = evidence.summary
    right = np.array([summary.clean_train_correct, summary.test.correct])
    totals = np.array([summary.clean_train_total, summary.test.total])
    shares = 100 * right / totals
    assert [float(clean), float(test)] == pytest.approx(shares, abs=0.00501)
    assert float(gap) == pytest.approx(shares[0] - shares[1], abs=0.00501)
    table = np.array([right, totals - right])
    z2 = stats.chi2_contingency(table, correction=False).statistic if table.all(axis=1).all() and table.min() else None
    if z2 is not None:  # Pearson's test of the same table
        assert (sign == "A") == (shares[0] > shares[1] and z2 > 4)
    assert bool(errors) == (0 < right.sum() < totals.sum())
    if shares[0] <= shares[1]:
        assert sign == "No"


def check_running(evidence: RunEvidence, running: str, distance: str, clean: str, conditions: str) -> None:
    last, recipe = evidence.epochs[-1], evidence.experiment.recipe
    difference = evidence.summary.clean_train_accuracy - 100 * last.train.correct / last.train.total
    assert float(running) == pytest.approx(100 * last.train.correct / last.train.total, abs=0.00501)
    assert float(clean) == pytest.approx(evidence.summary.clean_train_accuracy, abs=0.00501)
    if distance == "about the same as":
        assert abs(difference) <= 0.005
    else:
        points, _, side = distance.split()
        assert float(points) == pytest.approx(abs(difference), abs=0.00501)
        assert (side == "below") == (difference > 0)
    assert ("augmentation" in conditions) == bool(recipe.augment.active())
    assert "dropout" in conditions
    assert ("averaged" in conditions) == (recipe.ema is not None)
    assert ("final values" in conditions) == (last.lr > 0), "with a rate of 0, no weight changes"


def last_losses(evidence: RunEvidence) -> list[float]:
    return [record.test.loss for record in evidence.epochs[-5:]]


def shown_losses(evidence: RunEvidence, first: str, first_epoch: str, last: str, last_epoch: str) -> None:
    losses = last_losses(evidence)
    assert (int(first_epoch), int(last_epoch)) == (len(evidence.epochs) - 4, len(evidence.epochs))
    assert [float(first), float(last)] == pytest.approx([losses[0], losses[-1]], rel=0.06)


def check_steady(evidence: RunEvidence, low: str, high: str) -> None:
    losses = last_losses(evidence)
    assert [float(low), float(high)] == pytest.approx([min(losses), max(losses)], rel=0.06)
    assert np.ptp(losses) <= 0.0501 * max(losses)


def check_trend(evidence: RunEvidence, words: str, *figures: str) -> None:
    shown_losses(evidence, *figures[:4])
    steps = np.diff(last_losses(evidence))
    assert np.ptp(last_losses(evidence)) > 0.0499 * max(last_losses(evidence))
    claims = {
        "fell in each of": (steps < 0).all(), "rose in each of": (steps > 0).all(), "never rose in": (steps <= 0).all(),
        "never fell in": (steps >= 0).all(), "rose and fell in": (steps > 0).any() and (steps < 0).any(),
    }  # fmt: skip
    assert claims[words]


def check_averaging(evidence: RunEvidence, gain: str, raw: str) -> None:
    last = evidence.epochs[-1]
    assert last.raw_test_correct == number(raw)
    assert last.test.correct == number(raw) + number(gain or "0")


def check_misclassified(evidence: RunEvidence, count: str, total: str, verb: str, rest: str, sure: str) -> None:
    wrong = evidence.misclassified
    assert (number(count), number(total)) == (len(wrong), evidence.summary.test.total)
    assert verb == ("is" if len(wrong) == 1 else "are")
    confident = sum(image.confidence > 0.9 for image in wrong)
    assert sure.split()[:2] == [str(confident), "has" if confident == 1 else "have"]
    counts = Counter((image.truth, image.predicted) for image in wrong)
    most = max(counts.values())
    if rest == ", and no confusion occurs twice":
        assert most == 1 < len(counts)
        return
    words = r"; the most frequent confusion: (\d+) images? of class (\d), predicted as (\d)"
    match = re.fullmatch(words + r"(?: \(as frequent: (\d+) others?\))?", rest)
    assert match
    assert counts[int(match[2]), int(match[3])] == int(match[1]) == most
    assert int(match[4] or 0) == sum(other == most for other in counts.values()) - 1


def check_reported(evidence: RunEvidence, reported: str, figure: str, reached: str, difference: str) -> None:
    claim, accuracy = evidence.experiment.reported, evidence.summary.accuracy
    assert claim is not None
    measured = {"best epoch": accuracy.best, "last epoch": accuracy.final, "about, last epochs": accuracy.mean_last}
    assert float(reported) == pytest.approx(claim.test, abs=0.00501)
    assert float(reached) == pytest.approx(measured[figure], abs=0.00501)
    assert Decimal(reached) - Decimal(reported) == Decimal(difference)


LOSS_ENDS = rf"{LOSS} after epoch (\d+), {LOSS} after epoch (\d+)"
CLAIMS: dict[str, Callable[..., None]] = {
    rf"No epoch reached the bar of 95\.5 %: the best was epoch (\d+) with {PERCENT}, (\S+ images?) short\.": (
        check_bar_never
    ),
    r"The bar of 95\.5 % was reached in the last epoch, (\d+)\.": check_bar_last,
    r"The bar of 95\.5 % was reached in epoch (\d+) and held in every epoch after it\.": check_bar_held,
    rf"The bar of 95\.5 % was first reached in epoch (\d+); the last epoch is below it: {PERCENT}\.": check_bar_lost,
    r"The bar of 95\.5 % was first reached in epoch (\d+), missed in epoch (\d+), and reached in the last epoch\.": (
        check_bar_again
    ),
    r"The bar of 95\.5 % was first reached in epoch (\d+) and held from epoch (\d+) on\.": check_bar_from,
    rf"In each of the last (\d+) epochs, {COUNT}(?: to {COUNT})? of {COUNT} images were correct"
    rf"(?:, a range of (\S+ images?))?(?:; with other images of the same kind, .* error of ([\d.]+))?\.": check_range,
    rf"The test accuracy of the final model is {PERCENT}, and its 95 % interval is (\S+) to {PERCENT} \(Wilson\); "
    r"it takes all images as independent\.": check_interval,
    rf"(A|No) sign of overfitting: .*mode\) {PERCENT}, test accuracy {PERCENT}, a gap of (\S+) points"
    r"(?:; two standard errors of such a gap are (\S+) points)?\.": check_overfitting,
    rf"The running training accuracy of the last epoch is {PERCENT}, (.+) the training accuracy without augmentation "
    rf"in eval mode \({PERCENT}\)\. The running one is measured (.+)\.": check_running,
    rf"The loss on the \w+ images was steady in the last 5 epochs: between {LOSS} and {LOSS}\.": check_steady,
    rf"The loss on the \w+ images ((?:fell|rose) in each of|never (?:rose|fell) in) the last 4 epochs: {LOSS_ENDS}\.": (
        check_trend
    ),
    rf"The loss on the \w+ images (rose and fell in) the last 4 epochs: {LOSS_ENDS}, at best {LOSS}\.": check_trend,
    rf"Weight averaging changed the number of correct images in the last epoch by (\S+) \(from {COUNT}\)\.": (
        check_averaging
    ),
    rf"Weight averaging did not (c)hange the number of correct images in the last epoch \({COUNT}\)\.": (
        lambda evidence, _, raw: check_averaging(evidence, "0", raw)
    ),
    rf"{COUNT} of {COUNT} test images (is|are) misclassified(.*); (\d+ ha\w+) a confidence above 90 %\.": (
        check_misclassified
    ),
    r"No test image is misclassified, of (\S+)\.": lambda evidence, _: check_none_misclassified(evidence),
    rf"The source reports {PERCENT} on the test set \((.+)\); this run reached {PERCENT}, a difference of (\S+) "
    r"points\.": (
        check_reported
    ),
    r"One seed is an anecdote: (.*)": lambda evidence, _: None,  # noqa: ARG005
}  # fmt: skip


def check_none_misclassified(evidence: RunEvidence) -> None:
    assert not evidence.misclassified


def check_claims(evidence: RunEvidence) -> list[str]:
    """Checks every sentence about a run; returns the patterns of the claims that were made."""
    made = []
    for sentence in run_sentences(evidence):
        matches = [(pattern, match) for pattern in CLAIMS if (match := re.fullmatch(pattern, sentence))]
        assert len(matches) == 1, sentence
        pattern, match = matches[0]
        CLAIMS[pattern](evidence, *(group or "" for group in match.groups()))
        made.append(pattern)
    return made
