"""The analysis of a run, in sentences: each sentence contains the numbers that support it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from drilldown.evaluation.verdict import meets_bar
from drilldown.network.layers import Dropout, parse_block
from drilldown.report.run.evidence import RunEvidence

HIGH_CONFIDENCE = 0.9
"""Misclassified images with more confidence than this are counted."""


def run_sentences(evidence: RunEvidence) -> list[str]:
    """The analysis of a run, as sentences; text between backticks is code."""
    return [
        *_split_sentences(evidence),
        *_bar_sentences(evidence),
        *_steadiness_sentences(evidence),
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
    met = [epoch.epoch for epoch in epochs if meets_bar(epoch, bar)]
    if not met:
        best = max(epochs, key=lambda epoch: epoch.test.accuracy)
        short = math.ceil(bar * best.test.total / 100 - 1e-9) - best.test.correct
        yield (
            f"No epoch reached the bar of {bar} %: the best was epoch {best.epoch} with {best.test}, "
            f"{short} images short."
        )
        return
    below = [epoch.epoch for epoch in epochs if epoch.epoch > met[0] and not meets_bar(epoch, bar)]
    if met[0] == len(epochs):
        yield f"The bar of {bar} % was reached in the last epoch, {met[0]}."
    elif not below:
        yield f"The bar of {bar} % was reached in epoch {met[0]} and held in every epoch after it."
    elif below[-1] == len(epochs):
        yield f"The bar of {bar} % was reached in epoch {met[0]}; the last epoch is below it: {epochs[-1].test}."
    else:
        yield f"The bar of {bar} % was first reached in epoch {met[0]} and held from epoch {below[-1] + 1} on."


def _steadiness_sentences(evidence: RunEvidence) -> Iterator[str]:
    last = evidence.epochs[-evidence.experiment.budget.hold :]
    if len(last) < 2:
        return
    counts = [epoch.test.correct for epoch in last]
    total = last[-1].test.total
    share = counts[-1] / total
    noise = math.sqrt(total * share * (1 - share))
    yield (
        f"In the last {len(last)} epochs, {min(counts):,} to {max(counts):,} of {total:,} images were correct, a range "
        f"of {max(counts) - min(counts)} images; the standard error of such a count is {noise:.1f} images."
    )


def _overfitting_sentences(evidence: RunEvidence) -> Iterator[str]:
    summary = evidence.summary
    clean = summary.clean_train_correct / summary.clean_train_total
    test = summary.test.correct / summary.test.total
    error = math.sqrt(test * (1 - test) / summary.test.total)
    gap = clean - test
    figures = (
        f"training accuracy (no augmentation, eval mode) {100 * clean:.2f} %, test accuracy {100 * test:.2f} %, a gap "
        f"of {100 * gap:+.2f} points; the standard error of the test accuracy is {100 * error:.2f} points"
    )
    yield f"{'Sign' if gap > 2 * error else 'No sign'} of overfitting: {figures}."


def _regularisation_sentences(evidence: RunEvidence) -> Iterator[str]:
    recipe, layers = evidence.experiment.recipe, evidence.experiment.network.layers or ()
    causes = []
    if recipe.augment.warps or recipe.augment.jitters:
        causes.append("augmentation")
    if any(isinstance(layer, Dropout) and layer.probability for block in layers for layer in parse_block(block)):
        causes.append("dropout")
    if not causes:
        return
    running = evidence.epochs[-1].train
    clean = evidence.summary.clean_train_accuracy
    yield (
        f"The running training accuracy of the last epoch is {running}, {clean - float(running.accuracy):.2f} points "
        f"below the training accuracy without augmentation in eval mode ({clean:.2f} %): {' and '.join(causes)} made "
        f"the images harder, and the weights were still changing."
    )


def _progress_sentences(evidence: RunEvidence) -> Iterator[str]:
    epochs = evidence.epochs
    if len(epochs) < 6:
        return
    third = len(epochs) // 3
    before, now = epochs[-third - 1], epochs[-1]
    change = now.test.loss - before.test.loss
    word = (
        "still falling"
        if change < -0.05 * before.test.loss
        else "rising"
        if change > 0.05 * before.test.loss
        else "flat"
    )
    yield (
        f"The loss on the {evidence.verdict.split} images is {word} at the end: {before.test.loss:.4f} after epoch "
        f"{before.epoch}, {now.test.loss:.4f} after epoch {now.epoch}."
    )


def _averaging_sentences(evidence: RunEvidence) -> Iterator[str]:
    last = evidence.epochs[-1]
    if last.raw_test_correct is not None:
        gain = last.test.correct - last.raw_test_correct
        yield (
            f"Weight averaging changed the number of correct images in the last epoch by {gain:+d} "
            f"(from {last.raw_test_correct:,})."
        )


def _misclassified_sentences(evidence: RunEvidence) -> Iterator[str]:
    misclassified = evidence.misclassified
    if not misclassified:
        yield f"All {evidence.summary.test.total:,} test images are classified correctly."
        return
    truth, predicted, count = evidence.confusions[0]
    confident = sum(image.confidence > HIGH_CONFIDENCE for image in misclassified)
    yield (
        f"Of {len(misclassified)} misclassified test images, {count} show a {truth} and were predicted as {predicted}, "
        f"the most frequent confusion; {confident} have a confidence above {100 * HIGH_CONFIDENCE:.0f} %."
    )


def _reported_sentences(evidence: RunEvidence) -> Iterator[str]:
    reported = evidence.experiment.reported
    if reported is None or reported.test is None or evidence.verdict.split != "test":
        return
    accuracy = getattr(evidence.summary.accuracy, reported.figure)
    yield (
        f"The source reports {reported.test:.2f} % on the test set ({reported.epochs}); this run reached "
        f"{accuracy:.2f} %, a difference of {accuracy - reported.test:+.2f} points."
    )
