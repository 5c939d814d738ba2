"""The analysis of a run: each sentence contains the numbers that support it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from statistics import fmean
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown import Run
from drilldown.data.transforms import Augmentation, Rotate
from drilldown.evaluation.bootstrap import independent_interval
from drilldown.evaluation.predictions import Misclassified
from drilldown.evaluation.records import EpochRecord, Tally
from drilldown.experiment.budget import Budget
from drilldown.experiment.reported import Reported
from drilldown.report.run.analysis import run_sentences
from drilldown.report.run.evidence import RunEvidence, gather_run
from drilldown.runs.summary import AccuracyFigures
from support.run_claims import BAR, TOTAL, check_claims


@pytest.fixture(scope="module")
def evidence(run: Run) -> RunEvidence:
    return gather_run(run)


def with_counts(evidence: RunEvidence, bar: float, counts: list[int]) -> RunEvidence:
    """The evidence with another bar, and with these numbers of correct images of 1,000 in the last epochs."""
    tallies = [Tally(0.1, count, 1_000) for count in counts]
    epochs = tuple(replace(epoch, test=tally) for epoch, tally in zip(evidence.epochs, tallies, strict=True))
    budget = evidence.experiment.budget.model_copy(update={"accuracy": bar})
    return replace(
        evidence,
        finished=replace(evidence.finished, epochs=epochs),
        experiment=evidence.experiment.model_copy(update={"budget": budget}),
    )


def test_each_sentence_contains_a_number(evidence: RunEvidence) -> None:
    sentences = run_sentences(evidence)
    assert len(sentences) >= 7
    for sentence in sentences:
        assert re.search(r"\d", sentence), sentence


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ([900, 910, 940, 945, 948, 949], "No epoch reached the bar of 95 %: the best was epoch 6 with 94.90 %, 1 im"),
        ([900, 910, 940, 945, 949, 950], "The bar of 95 % was reached in the last epoch, 6."),
        ([900, 950, 950, 960, 970, 950], "The bar of 95 % was reached in epoch 2 and held in every epoch after it."),
        ([950, 960, 970, 970, 960, 949], "The bar of 95 % was first reached in epoch 1; the last epoch is below it: 9"),
        ([950, 949, 960, 960, 970, 950], "The bar of 95 % was first reached in epoch 1 and held from epoch 3 on."),
    ],
)  # fmt: skip
def test_the_first_sentence_is_about_the_bar(evidence: RunEvidence, counts: list[int], sentence: str) -> None:
    assert run_sentences(with_counts(evidence, 95.0, counts))[0].startswith(sentence)


def test_the_range_of_the_last_epochs_is_counted(evidence: RunEvidence) -> None:
    sentences = run_sentences(with_counts(evidence, 95.0, [900] * 4 + [940, 950]))
    (sentence,) = (text for text in sentences if "such a count has a standard error" in text)
    assert sentence.startswith(
        "In each of the last 2 epochs, 940 to 950 of 1,000 images were correct, a range of 10 im"
    )


def test_a_run_without_errors_says_so(evidence: RunEvidence) -> None:
    perfect = replace(evidence, misclassified=(), confusions=[])
    assert f"No test image is misclassified, of {evidence.summary.test.total:,}." in run_sentences(perfect)


@st.composite
def records(draw: st.DrawFn) -> tuple[EpochRecord, ...]:
    """Epochs whose counts lie around the bar, and whose losses fall, rise, stay or jump."""
    count = draw(st.integers(1, 9))
    near = st.integers(945, 965) | st.sampled_from([0, 1, 999, TOTAL])
    factor = draw(
        st.sampled_from([st.floats(0.7, 0.99), st.floats(1.01, 1.4), st.floats(0.99, 1.01), st.floats(0.5, 2)])
    )
    losses = [draw(st.sampled_from([0.0, 1e-5, 0.02, 1.5]))]
    while len(losses) < count:
        losses.append(losses[-1] * draw(factor | st.just(1.0)))
    rates = sorted(draw(st.lists(st.sampled_from([0.0, 1e-9, 0.1]), min_size=count, max_size=count)), reverse=True)
    averaged = draw(st.booleans())
    return tuple(
        EpochRecord(
            epoch=index + 1, lr=rates[index], train=Tally(0.1, draw(st.integers(0, TOTAL)), TOTAL),
            test=Tally(losses[index], draw(near), TOTAL), raw_test_correct=draw(near) if averaged else None,
            train_seconds=1.0, test_seconds=0.1,
        )
        for index in range(count)
    )  # fmt: skip


@st.composite
def mistakes(draw: st.DrawFn) -> tuple[Misclassified, ...]:
    pairs = st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(lambda pair: pair[0] != pair[1])
    confidences = st.sampled_from([0.3, 0.9, 0.95])
    return tuple(
        Misclassified(index=index, truth=truth, predicted=predicted, confidence=draw(confidences))
        for index, (truth, predicted) in enumerate(draw(st.lists(pairs, max_size=6)))
    )


@settings(max_examples=150, deadline=None)
@given(
    epochs=records(),
    wrong=mistakes(),
    hold=st.integers(1, 6),
    clean=st.integers(0, 5_000) | st.integers(4_700, 5_000),
    test=st.integers(0, TOTAL) | st.integers(940, TOTAL),
    augmented=st.booleans(),
    averaged=st.booleans(),
    reported=st.floats(90, 100),
    figure=st.sampled_from(["best", "final", "mean_last"]),
)
def test_every_sentence_is_true_of_any_run(
    evidence: RunEvidence, epochs: tuple[EpochRecord, ...], wrong: tuple[Misclassified, ...], hold: int, clean: int,
    test: int, augmented: bool, averaged: bool, reported: float, figure: Literal["best", "final", "mean_last"],
) -> None:  # fmt: skip
    experiment = evidence.experiment
    accuracies = [100 * epoch.test.correct / TOTAL for epoch in epochs]
    accuracy = AccuracyFigures(
        best=max(accuracies), final=accuracies[-1], last=tuple(accuracies[-hold:]), mean_last=fmean(accuracies[-hold:])
    )
    summary = evidence.summary.model_copy(
        update={
            "clean_train_correct": clean, "clean_train_total": 5_000, "test": Tally(0.1, test, TOTAL),
            "accuracy": accuracy,
        }
    )  # fmt: skip
    recipe = experiment.recipe.model_copy(
        update={
            "ema": 0.5 if averaged else None,
            "augment": Augmentation(rotate=Rotate(degrees=5.0 if augmented else 0.0)),
        }
    )
    budget = Budget(accuracy=BAR, hold=hold)
    counts = Counter((image.truth, image.predicted) for image in wrong)
    check_claims(
        replace(
            evidence,
            finished=replace(evidence.finished, epochs=epochs, summary=summary),
            experiment=experiment.model_copy(
                update={"budget": budget, "recipe": recipe, "reported": Reported(test=reported, figure=figure)}
            ),
            misclassified=wrong,
            confusions=[(*pair, count) for pair, count in counts.most_common()],
            interval=independent_interval(test, TOTAL),
        )
    )


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([0.30, 0.20, 0.15, 0.12, 0.10], "fell in each of the last 4 epochs: 0.3000 after epoch 2, 0.1000 after"),
        ([0.10, 0.12, 0.09, 0.13, 0.11], "rose and fell in the last 4 epochs"),  # noise
        ([0.30, 0.10, 0.10, 0.10, 0.10], "never rose in the last 4 epochs"),
        ([0.0154, 0.0153, 0.0154, 0.0152, 0.0152], "was steady in the last 5 epochs: between 0.0152 and 0.0154"),
        ([0.10, 0.11, 0.12, 0.13, 0.14], "rose in each of the last 4 epochs"),
    ],
)  # fmt: skip
def test_noise_is_no_trend(evidence: RunEvidence, losses: list[float], words: str) -> None:
    tallies = [evidence.epochs[0].test, *(Tally(loss, 30, 60) for loss in losses)]
    epochs = tuple(replace(epoch, test=tally) for epoch, tally in zip(evidence.epochs, tallies, strict=True))
    changed = replace(evidence, finished=replace(evidence.finished, epochs=epochs))
    (sentence,) = [text for text in run_sentences(changed) if text.startswith("The loss on the test images")]
    assert words in sentence


def test_the_weights_are_not_said_to_change_where_the_learning_rate_is_0(evidence: RunEvidence) -> None:
    for rate in (0.0, 0.1):
        epochs = (*evidence.epochs[:-1], replace(evidence.epochs[-1], lr=rate))
        changed = replace(evidence, finished=replace(evidence.finished, epochs=epochs))
        assert ("before the weights had their final values" in " ".join(run_sentences(changed))) == (rate > 0)
