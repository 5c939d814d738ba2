"""The analysis that authors write by hand, from the figures alone: every sentence carries the number it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator

from drilldown.evaluation.verdict import meets_bar
from drilldown.network.layers import Dropout, parse_block
from drilldown.report.run.evidence import RunEvidence

SURE = 0.9
"""A mistake above this confidence counts as a sure one."""


def run_sentences(evidence: RunEvidence) -> list[str]:
    """The analysis of a run."""
    return [
        *_bar(evidence),
        *_steadiness(evidence),
        *_fit(evidence),
        *_regularisation(evidence),
        *_progress(evidence),
        *_averaging(evidence),
        *_mistakes(evidence),
        *_reported(evidence),
        "This is one seed, an anecdote: `drilldown run … --seeds 5` shows how far seeds differ.",
    ]


def _bar(evidence: RunEvidence) -> Iterator[str]:
    bar, epochs = evidence.experiment.budget.accuracy, evidence.epochs
    if bar is None:
        return
    met = [epoch.epoch for epoch in epochs if meets_bar(epoch, bar)]
    if not met:
        best = max(epochs, key=lambda epoch: epoch.test.accuracy)
        short = math.ceil(bar * best.test.total / 100 - 1e-9) - best.test.correct
        yield f"No epoch reached {bar} %: the best, epoch {best.epoch}, gave {best.test}, {short} images short."
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


def _steadiness(evidence: RunEvidence) -> Iterator[str]:
    last = evidence.epochs[-evidence.experiment.budget.hold :]
    if len(last) < 2:
        return
    counts = [epoch.test.correct for epoch in last]
    total = last[-1].test.total
    share = counts[-1] / total
    noise = math.sqrt(total * share * (1 - share))
    yield (
        f"Over the last {len(last)} epochs the count moved between {min(counts):,} and {max(counts):,} of {total:,}, "
        f"by {max(counts) - min(counts)} images; the standard error of such a count is {noise:.1f} images."
    )


def _fit(evidence: RunEvidence) -> Iterator[str]:
    summary = evidence.summary
    clean = summary.clean_train_correct / summary.clean_train_total
    test = summary.test.correct / summary.test.total
    error = math.sqrt(test * (1 - test) / summary.test.total)
    gap = clean - test
    figures = (
        f"clean train accuracy {100 * clean:.2f} %, test accuracy {100 * test:.2f} %, {100 * gap:+.2f} points apart"
    )
    scale = f"the standard error of the test figure is {100 * error:.2f} points"
    if gap > 2 * error:
        yield f"A sign of overfitting: {figures}, while {scale}."
    else:
        yield f"No sign of overfitting: {figures}, and {scale}."


def _regularisation(evidence: RunEvidence) -> Iterator[str]:
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
        f"While training it got {running} right, {clean - float(running.accuracy):.2f} points less than of the same "
        f"images seen plainly ({clean:.2f} %): {' and '.join(causes)} made them harder, and the weights were still "
        f"changing."
    )


def _progress(evidence: RunEvidence) -> Iterator[str]:
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


def _averaging(evidence: RunEvidence) -> Iterator[str]:
    last = evidence.epochs[-1]
    if last.raw_test_correct is not None:
        gain = last.test.correct - last.raw_test_correct
        yield f"Averaging the weights changed the last count by {gain:+d} images (from {last.raw_test_correct:,})."


def _mistakes(evidence: RunEvidence) -> Iterator[str]:
    misclassified = evidence.misclassified
    if not misclassified:
        yield f"It made no mistake on {evidence.summary.test.total:,} test images."
        return
    truth, predicted, count = evidence.confusions[0]
    sure = sum(mistake.confidence > SURE for mistake in misclassified)
    yield (
        f"Of {len(misclassified)} misclassified test images, {count} show a {truth} and were read as a {predicted}, the most "
        f"frequent confusion; {sure} were read with more than {SURE:.0%} confidence."
    )


def _reported(evidence: RunEvidence) -> Iterator[str]:
    reported = evidence.experiment.reported
    if reported is None or reported.test is None or evidence.verdict.split != "test":
        return
    here = getattr(evidence.summary.accuracy, reported.figure)
    yield (
        f"The source reports {reported.test:.2f} % on the test set ({reported.epochs}); here it is {here:.2f} %, "
        f"{here - reported.test:+.2f} points."
    )
