"""Every sentence about a study is true of any study: without budgets, with one seed, with ties and divergence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.analysis.seeds import Seeds, measure_effect
from drilldown.analysis.study import StepEffect, StudyEvidence, StudyStep
from drilldown.evaluation.effects import holm_adjust
from drilldown.evaluation.records import Tally
from drilldown.evaluation.verdict import judge
from drilldown.experiment.budget import Budget
from drilldown.experiment.difference import Difference
from drilldown.experiment.reported import Reported
from drilldown.runs.run import FinishedRun
from support.study import STEPS
from support.study_claims import check_claims

TOTAL = 1_000
Plan = tuple[Budget, float | None, list[list[int]], int]
"""The budget of a step, its reported accuracy, the counts of correct images by seed and epoch, and diverged seeds."""

counts = st.lists(st.integers(940, 960) | st.just(950), min_size=3, max_size=3)
budgets = st.builds(
    Budget,
    accuracy=st.none() | st.sampled_from([94.5, 95.0, 99.0]),
    epochs=st.none() | st.sampled_from([2, 3]),
    hold=st.integers(1, 3),
)
plans: st.SearchStrategy[Plan] = st.tuples(
    budgets, st.none() | st.sampled_from([94.1, 95.3, 96.0]), st.lists(counts, max_size=4), st.integers(0, 2)
)


def trained(run: FinishedRun, seed: int, correct: Sequence[int], budget: Budget, parameters: int) -> FinishedRun:
    """The run with another seed, other counts and the verdict that they give."""
    epochs = tuple(
        replace(epoch, test=Tally(0.1, count, TOTAL)) for epoch, count in zip(run.epochs, correct, strict=True)
    )
    accuracy = run.summary.accuracy.model_copy(update={"best": max(correct) / 10, "final": correct[-1] / 10})
    summary = run.summary.model_copy(update={"accuracy": accuracy, "total": TOTAL})
    verdict = judge(budget, parameters, epochs)
    return replace(run, seed=seed, epochs=epochs, summary=summary, verdict=verdict)


def study(evidence: StudyEvidence, chosen: Sequence[Plan], components: Sequence[int]) -> StudyEvidence:
    """The study with other budgets, runs and changes."""
    steps: list[StudyStep] = []
    for index, (budget, reported, seeds, diverged) in enumerate(chosen):
        old = evidence.steps[index].seeds
        parameters = old.experiment.model_summary.parameters
        claim = None if reported is None else Reported(test=reported)
        runs = Seeds(
            experiment=old.experiment.model_copy(update={"budget": budget, "reported": claim}),
            finished=tuple(
                trained(old.finished[0], seed, correct, budget, parameters) for seed, correct in enumerate(seeds)
            ),
            diverged=tuple(run.run for run in old.finished[:diverged]),
            unfinished=(),
        )
        accuracy, loss = measure_effect(steps[0].seeds, runs) if index else (None, None)
        change = StepEffect(
            against=0, components=("network", "batch size", "schedule")[: components[index]],
            difference=Difference((), ()), accuracy=accuracy, loss=loss, why_not=None,
        )  # fmt: skip
        steps.append(StudyStep(seeds=runs, change=change if index else None))
    changes = [(step, step.change, step.change.accuracy) for step in steps if step.change and step.change.accuracy]
    known = [(step, change, effect) for step, change, effect in changes if effect.n > 1]
    for (step, change, _), p in zip(known, holm_adjust([effect.p for _, _, effect in known]), strict=True):
        steps[steps.index(step)] = replace(step, change=replace(change, among_all=p < 0.05))
    return replace(evidence, steps=tuple(steps), ablations=())


Imagine = Callable[[Sequence[Plan], Sequence[int]], StudyEvidence]


@pytest.fixture(scope="module")
def imagine(evidence: StudyEvidence) -> Imagine:
    """Makes a study; a function, because Hypothesis prints the arguments of a failing example."""
    return lambda chosen, components: study(evidence, chosen, components)


@settings(max_examples=150, deadline=None)
@given(chosen=st.lists(plans, min_size=1, max_size=len(STEPS)), components=st.tuples(*[st.integers(1, 3)] * 3))
def test_every_sentence_is_true_of_any_study(imagine: Imagine, chosen: list[Plan], components: tuple[int, ...]) -> None:
    check_claims(imagine(chosen, components))


def test_a_study_without_budgets_is_not_said_to_meet_one(imagine: Imagine) -> None:
    chosen: list[Plan] = [(Budget(), None, [[950, 951, 952]], 0)] * 2
    sentences = check_claims(imagine(chosen, (1, 1, 1)))
    assert not any("budget" in sentence for sentence in sentences)


def test_steps_on_different_data_have_no_highest_accuracy(imagine: Imagine) -> None:
    chosen: list[Plan] = [(Budget(accuracy=95.0), None, [[950, 951, 952]], 0)] * 2
    mixed = imagine(chosen, (1, 1, 1))
    first, second = mixed.steps
    recipe = second.experiment.recipe.model_copy(update={"dataset": "glyphs"})
    moved = replace(second.seeds, experiment=second.experiment.model_copy(update={"recipe": recipe}))
    sentences = check_claims(replace(mixed, steps=(first, replace(second, seeds=moved))))
    assert not any("highest" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("seeds", "sentence"),
    [
        ([1], "1 of 1 trained step rests on one seed, an anecdote."),
        ([5, 7], "With 5 to 7 seeds per step this is a first look; a claim needs 10 in every step."),
        ([2, 2, 2], "With 2 seeds per step this is too little for a first look (5); a claim needs 10 in every step."),
        ([1, 0, 1], "2 of 2 trained steps rest on one seed, an anecdote."),
    ],
)
def test_seeds_are_counted_in_plain_words(imagine: Imagine, seeds: list[int], sentence: str) -> None:
    chosen: list[Plan] = [(Budget(accuracy=95.0), None, [[950, 951, 952]] * n, 0) for n in seeds]
    assert sentence in check_claims(imagine(chosen, (1, 1, 1)))
