"""The analysis of a run, in sentences: each sentence contains the numbers that support it.

A sentence states a fact about the records, and no cause. Where the records do not decide, it says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from drilldown.evaluation.records import Tally
from drilldown.evaluation.verdict import meets_bar
from drilldown.network.blocks import layers_in
from drilldown.network.layers import Dropout
from drilldown.report.run.evidence import RunEvidence
from drilldown.runs.audit import WARNING
from drilldown.wording import count_text, difference_text, join_words, loss_text, percent_text

HIGH_CONFIDENCE = 0.9
"""Misclassified images with more confidence than this are counted."""
TREND_EPOCHS = 5
"""The number of last epochs whose losses show a trend: random losses fall four times in a row once in 120 times."""
STEADY = 0.05
"""A loss that changes by less than this share of its highest value has no trend."""


def run_sentences(evidence: RunEvidence) -> list[str]:
    """The analysis of a run, as sentences; text between backticks is code."""
    return [
        *_split_sentences(evidence),
        *_bar_sentences(evidence),
        *_steadiness_sentences(evidence),
        *_interval_sentences(evidence),
        *_audit_sentences(evidence),
        *_overfitting_sentences(evidence),
        *_regularisation_sentences(evidence),
        *_progress_sentences(evidence),
        *_averaging_sentences(evidence),
        *_misclassified_sentences(evidence),
        *_reported_sentences(evidence),
        "One seed is an anecdote: `drilldown run … --seeds 5` shows how much seeds differ.",
    ]


def _split_sentences(evidence: RunEvidence) -> Iterator[str]:
    if evidence.split_text is not None:
        yield f"The epochs are judged on {evidence.split_text}."


def _bar_sentences(evidence: RunEvidence) -> Iterator[str]:
    bar, epochs = evidence.experiment.budget.accuracy, evidence.epochs
    if bar is None:
        return
    name, last = f"The bar of {percent_text(bar)}", epochs[-1].epoch
    met = [epoch.epoch for epoch in epochs if meets_bar(epoch, bar)]
    below = [epoch.epoch for epoch in epochs if met and epoch.epoch > met[0] and not meets_bar(epoch, bar)]
    if not met:
        best = max(epochs, key=lambda epoch: epoch.test.accuracy)
        yield (
            f"No epoch reached the bar of {percent_text(bar)}: the best was epoch {best.epoch} with "
            f"{_below_text(best.test)}, {_short_text(best.test, bar)}."
        )
    elif met[0] == last:
        yield f"{name} was reached in the last epoch, {last}."
    elif not below:
        yield f"{name} was reached in epoch {met[0]} and held in every epoch after it."
    elif below[-1] == last:
        yield f"{name} was first reached in epoch {met[0]}; the last epoch is below it: {_below_text(epochs[-1].test)}."
    elif below[-1] + 1 == last:
        yield f"{name} was first reached in epoch {met[0]}, missed in epoch {below[-1]}, and reached in the last epoch."
    else:
        yield f"{name} was first reached in epoch {met[0]} and held from epoch {below[-1] + 1} on."


def _below_text(tally: Tally) -> str:
    """An accuracy below a bar, rounded down: it must not read as if it reached the bar."""
    return f"{math.floor(100 * tally.accuracy) / 100:.2f} %"


def _short_text(tally: Tally, bar: float) -> str:
    needed = math.ceil(Fraction(Decimal(str(bar))) * tally.total / 100)
    return f"{count_text(needed - tally.correct, 'image')} short"


def _steadiness_sentences(evidence: RunEvidence) -> Iterator[str]:
    last = evidence.epochs[-evidence.experiment.budget.hold :]
    if len(last) < 2:
        return
    counts = [epoch.test.correct for epoch in last]
    total, low, high = last[-1].test.total, min(counts), max(counts)
    correct = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    spread = "" if low == high else f", a range of {count_text(high - low, 'image')}"
    share = counts[-1] / total
    error = math.sqrt(total * share * (1 - share))
    sampling = f"; with other images of the same kind, such a count has a standard error of {error:.1f}"
    yield (
        f"In each of the last {len(last)} epochs, {correct} of {count_text(total, 'image')} "
        f"{'was' if total == 1 else 'were'} correct{spread}{sampling if error else ''}."
    )


def _interval_sentences(evidence: RunEvidence) -> Iterator[str]:
    test, interval = evidence.summary.test, evidence.interval
    taken = "; it takes all images as independent" if interval.writers is None else ""
    yield f"The test accuracy of the final model is {test}, and its 95 % interval is {interval}{taken}."


def _audit_sentences(evidence: RunEvidence) -> Iterator[str]:
    if evidence.audit is not None:
        yield f"{' '.join(evidence.audit.sentences)} {WARNING}"


def _overfitting_sentences(evidence: RunEvidence) -> Iterator[str]:
    """Compares two shares: the standard error is that of their difference if both images were equally hard."""
    summary = evidence.summary
    clean = summary.clean_train_correct / summary.clean_train_total
    test = summary.test.correct / summary.test.total
    together = (summary.clean_train_correct + summary.test.correct) / (summary.clean_train_total + summary.test.total)
    error = math.sqrt(together * (1 - together) * (1 / summary.clean_train_total + 1 / summary.test.total))
    gap = clean - test
    yield (
        f"{'A sign' if gap > 2 * error else 'No sign'} of overfitting: training accuracy (no augmentation, eval mode) "
        f"{100 * clean:.2f} %, test accuracy {100 * test:.2f} %, a gap of {difference_text(100 * gap, 2)} points"
        + (f"; two standard errors of such a gap are {200 * error:.2f} points." if error else ".")
    )


def _regularisation_sentences(evidence: RunEvidence) -> Iterator[str]:
    """Only the conditions of the two measurements are facts; which of them caused the difference is not known."""
    recipe, blocks, last = evidence.experiment.recipe, evidence.experiment.network.layers or (), evidence.epochs[-1]
    conditions = []
    if recipe.augment.active():
        conditions.append("with augmentation")
    if any(isinstance(layer, Dropout) and layer.probability for layer in layers_in(blocks)):
        conditions.append("with dropout")
    if not conditions:
        return
    if recipe.ema is not None:
        conditions.append("with weights that are not averaged")
    if last.lr > 0:
        conditions.append("before the weights had their final values")
    clean = evidence.summary.clean_train_accuracy
    difference = clean - float(last.train.accuracy)
    side = "below" if difference > 0 else "above"
    distance = "about the same as" if abs(difference) < 0.005 else f"{abs(difference):.2f} points {side}"
    yield (
        f"The running training accuracy of the last epoch is {last.train}, {distance} the training accuracy without "
        f"augmentation in eval mode ({clean:.2f} %). The running one is measured {join_words(conditions)}."
    )


def _progress_sentences(evidence: RunEvidence) -> Iterator[str]:
    last = evidence.epochs[-TREND_EPOCHS:]
    if len(last) < TREND_EPOCHS:
        return
    name = f"The loss on the {evidence.verdict.split} images"
    losses = [epoch.test.loss for epoch in last]
    ends = f"{loss_text(losses[0])} after epoch {last[0].epoch}, {loss_text(losses[-1])} after epoch {last[-1].epoch}"
    rises, falls = ([sign * (now - before) > 0 for before, now in pairwise(losses)] for sign in (1, -1))
    if max(losses) - min(losses) <= STEADY * max(losses):
        between = f"between {loss_text(min(losses))} and {loss_text(max(losses))}"
        yield f"{name} was steady in the last {TREND_EPOCHS} epochs: {between}."
        return
    for found, opposite, verb, never in ((falls, rises, "fell", "never rose"), (rises, falls, "rose", "never fell")):
        if not any(opposite):
            trend = f"{verb} in each of" if all(found) else f"{never} in"
            yield f"{name} {trend} the last {TREND_EPOCHS - 1} epochs: {ends}."
    if any(rises) and any(falls):
        yield f"{name} rose and fell in the last {TREND_EPOCHS - 1} epochs: {ends}, at best {loss_text(min(losses))}."


def _averaging_sentences(evidence: RunEvidence) -> Iterator[str]:
    last = evidence.epochs[-1]
    if last.raw_test_correct is None:
        return
    gain, raw = last.test.correct - last.raw_test_correct, f"{last.raw_test_correct:,}"
    if gain:
        yield f"Weight averaging changed the number of correct images in the last epoch by {gain:+,} (from {raw})."
    else:
        yield f"Weight averaging did not change the number of correct images in the last epoch ({raw})."


def _misclassified_sentences(evidence: RunEvidence) -> Iterator[str]:
    misclassified = evidence.misclassified
    total = evidence.summary.test.total
    if not misclassified:
        yield f"No test image is misclassified, of {total:,}."
        return
    confident = sum(image.confidence > HIGH_CONFIDENCE for image in misclassified)
    sure = f"{confident:,} {'has' if confident == 1 else 'have'} a confidence above {100 * HIGH_CONFIDENCE:.0f} %"
    wrong = f"{len(misclassified):,} of {count_text(total, 'test image')} {_is(len(misclassified))} misclassified"
    (truth, predicted, most), names = evidence.confusions[0], evidence.dataset.names
    ties = sum(count == most for _, _, count in evidence.confusions) - 1
    if most == 1 and ties:
        yield f"{wrong}, and no confusion occurs twice; {sure}."
        return
    also = f" (as frequent: {count_text(ties, 'other')})" if ties else ""
    yield (
        f"{wrong}; the most frequent confusion: {count_text(most, 'image')} of class {names[truth]}, predicted as "
        f"{names[predicted]}{also}; {sure}."
    )


def _reported_sentences(evidence: RunEvidence) -> Iterator[str]:
    reported = evidence.experiment.reported
    if reported is None or reported.test is None or evidence.verdict.split != "test":
        return
    accuracy = getattr(evidence.summary.accuracy, reported.figure)
    difference = difference_text(round(accuracy, 2) - round(reported.test, 2), 2)
    yield (
        f"The source reports {reported.test:.2f} % on the test set ({reported.epochs}); this run reached "
        f"{accuracy:.2f} %, a difference of {difference} points."
    )


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
