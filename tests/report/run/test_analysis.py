"""The analysis of a run: each sentence contains the numbers that support it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from drilldown import Run
from drilldown.evaluation.records import Tally
from drilldown.report.run.analysis import run_sentences
from drilldown.report.run.evidence import RunEvidence, gather_run


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
        ([900, 910, 940, 945, 948, 949], "No epoch reached the bar of 95.0 %: the best was epoch 6 with 94.90 %, 1 im"),
        ([900, 910, 940, 945, 949, 950], "The bar of 95.0 % was reached in the last epoch, 6."),
        ([900, 950, 950, 960, 970, 950], "The bar of 95.0 % was reached in epoch 2 and held in every epoch after it."),
        ([950, 960, 970, 970, 960, 949], "The bar of 95.0 % was reached in epoch 1; the last epoch is below it: 94.9"),
        ([950, 949, 960, 960, 970, 950], "The bar of 95.0 % was first reached in epoch 1 and held from epoch 3 on."),
    ],
)  # fmt: skip
def test_the_first_sentence_is_about_the_bar(evidence: RunEvidence, counts: list[int], sentence: str) -> None:
    assert run_sentences(with_counts(evidence, 95.0, counts))[0].startswith(sentence)


def test_the_range_of_the_last_epochs_is_counted(evidence: RunEvidence) -> None:
    sentences = run_sentences(with_counts(evidence, 95.0, [900] * 4 + [940, 950]))
    (sentence,) = (text for text in sentences if "standard error of such a count" in text)
    assert sentence.startswith("In the last 2 epochs, 940 to 950 of 1,000 images were correct, a range of 10 images")


def test_a_run_without_errors_says_so(evidence: RunEvidence) -> None:
    perfect = replace(evidence, misclassified=(), confusions=[])
    assert f"All {evidence.summary.test.total:,} test images are classified correctly." in run_sentences(perfect)
