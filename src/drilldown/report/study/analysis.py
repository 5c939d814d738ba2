"""The analysis of a study, in sentences: each sentence contains the numbers that support it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from drilldown.analysis.seeds import why_incomparable
from drilldown.analysis.study import StudyEvidence, StudyStep
from drilldown.evaluation.verdict import is_judged
from drilldown.wording import count_text, difference_text, has_or_have, join_words

SEEDS_FOR_A_LOOK, SEEDS_FOR_A_CLAIM = 5, 10
"""The number of seeds per step that a first look and a claim need."""


def study_sentences(evidence: StudyEvidence) -> list[str]:
    """The analysis of a study, as sentences; text between backticks is code."""
    return [
        *_teacher_sentences(evidence),
        *_budget_sentences(evidence),
        *_accuracy_sentences(evidence),
        *_effect_sentences(evidence),
        *_several_changes_sentences(evidence),
        *_reported_sentences(evidence),
        *_overfitting_sentences(evidence),
        *_noise_sentences(evidence),
        *_best_epoch_sentences(evidence),
        *_diverged_sentences(evidence),
        *_seed_sentences(evidence),
    ]


def _teacher_sentences(evidence: StudyEvidence) -> Iterator[str]:
    for step in evidence.steps:
        if step.seeds.teacher:
            yield f"{_name(step)} {step.seeds.teacher}."


def _budget_sentences(evidence: StudyEvidence) -> Iterator[str]:
    judged = [
        (step, rate)
        for step in evidence.steps
        if is_judged(step.experiment.budget) and (rate := step.seeds.rate) is not None
    ]
    if not judged:
        return
    met = [(step, rate) for step, rate in judged if rate.met]
    if len(judged) == 1:
        ((step, rate),) = judged
        yield f"{_name(step)} {'meets' if met else 'does not meet'} its budget: {rate}; four in five must meet it."
    elif met:
        smallest, rate = min(met, key=lambda pair: (pair[0].experiment.model_summary.parameters, -pair[1].share))
        size = count_text(smallest.experiment.model_summary.parameters, "parameter")
        which = f"{_name(smallest)}" if len(met) == 1 else f"the smallest, {_name(smallest)},"
        yield (
            f"{len(met)} of {count_text(len(judged), f'trained {evidence.noun}')} {_meet(len(met))} with at least four "
            f"seeds in five: {which} has {size} and meets it with {rate}."
        )
    else:
        most = max(rate.share for _, rate in judged)
        closest = [f"{_name(step)} with {rate}" for step, rate in judged if rate.share == most]
        yield (
            f"None of the {len(judged)} trained {evidence.noun}s meets its budget with at least four seeds in five"
            + (f"; most seeds meet it in {join_words(closest)}." if most else ": no seed meets it.")
        )


def _accuracy_sentences(evidence: StudyEvidence) -> Iterator[str]:
    """Accuracies on different images cannot be compared: then no step has the highest."""
    known = [(step, accuracy) for step in evidence.measured if (accuracy := step.seeds.accuracy)]
    if len(known) < 2 or any(why_incomparable(known[0][0].seeds, step.seeds) for step, _ in known):
        return
    highest = max(accuracy.mean for _, accuracy in known)
    best = [(step, accuracy) for step, accuracy in known if accuracy.mean == highest]
    step, accuracy = best[0]
    over = "one seed, an anecdote" if accuracy.n == 1 else f"{accuracy.n} seeds"
    if accuracy.has_interval:
        over += f", 95 % t interval {accuracy.low:.3f} to {accuracy.high:.3f} %"
    epochs = "accuracy in the last epoch" if step.seeds.hold == 1 else f"mean of the last {step.seeds.hold} epochs"
    if len(best) == 1:
        yield f"{_name(step)} has the highest {epochs}: {accuracy.mean:.3f} % ({over})."
    else:
        names = join_words([_name(step) for step, _ in best])
        yield f"{names} have the highest accuracy in the last epochs: {accuracy.mean:.3f} % each."


def _effect_sentences(evidence: StudyEvidence) -> Iterator[str]:
    tested = [
        (step, step.change, effect)
        for step in evidence.steps
        if step.change and (effect := step.change.accuracy) and effect.has_interval
    ]
    if not tested:
        return
    measurable = [(step, change, effect) for step, change, effect in tested if effect.measurable]
    if measurable:
        step, change, effect = max(measurable, key=lambda found: abs(found[2].mean))
        yield (
            f"The largest measurable effect is that of {_name(step)}: {effect.text(3)} points against "
            f"{_name(evidence.steps[change.against])}, over {effect.n} seeds."
        )
    among_all = [step for step, change, _ in measurable if change.among_all]
    others = [step for step, _, effect in tested if not effect.measurable]
    count = len(measurable)
    yield (
        f"Of {count_text(len(tested), 'tested step')}, {count} {has_or_have(count)} a measurable effect "
        f"on accuracy when tested alone, and {len(among_all)} when all are tested together (Holm)"
        + (f"; no measurable effect: {', '.join(map(_name, others))}." if others else ".")
    )


def _several_changes_sentences(evidence: StudyEvidence) -> Iterator[str]:
    several = [step for step in evidence.steps if step.change and len(step.change.components) > 1]
    changes = sum(step.change is not None for step in evidence.steps)
    if several:
        yield (
            f"{len(several)} of {count_text(changes, 'step')} changed several components at once "
            f"({', '.join(map(_name, several))}): runs of such a step cannot show which change caused the difference. "
            f"`drilldown ablate` removes one component at a time."
        )


def _reported_sentences(evidence: StudyEvidence) -> Iterator[str]:
    judged = [step for step in evidence.steps if step.as_reported is not None]
    if not judged:
        return
    outside = [step for step in judged if not step.as_reported]
    exceptions = []
    for step in outside:
        reported, expected = step.experiment.reported, step.expected
        assert reported is not None
        assert reported.test is not None
        assert expected is not None
        side = "above" if reported.test > expected[1] else "below"
        exceptions.append(f"{_name(step)} ({reported.test:.2f} %, {side} {expected[0]:.3f} to {expected[1]:.3f} %)")
    inside = len(judged) - len(outside)
    yield (
        f"{inside} of {len(judged)} reported {'accuracy' if len(judged) == 1 else 'accuracies'} "
        f"{'lies' if inside == 1 else 'lie'} in the 95 % prediction interval for one more seed"
        + (f"; outside: {', '.join(exceptions)}." if exceptions else ".")
    )


def _overfitting_sentences(evidence: StudyEvidence) -> Iterator[str]:
    gaps = [
        (step, clean.mean - accuracy.mean)
        for step in evidence.measured
        if (clean := step.clean_train) and (accuracy := step.seeds.accuracy)
    ]
    if not gaps:
        return
    widest, gap = max(gaps, key=lambda pair: pair[1])
    narrowest, least = min(gaps, key=lambda pair: pair[1])
    figure = "Training accuracy (no augmentation, eval mode) minus the judged accuracy"
    if len(gaps) == 1 or gap == least:
        where = f"in {_name(widest)}" if len(gaps) == 1 else f"in each of {count_text(len(gaps), evidence.noun)}"
        yield f"{figure} is {difference_text(gap, 2)} points {where}."
    else:
        yield (
            f"{figure} is largest in {_name(widest)}, {difference_text(gap, 2)} points, and smallest in "
            f"{_name(narrowest)}, {difference_text(least, 2)} points."
        )


def _noise_sentences(evidence: StudyEvidence) -> Iterator[str]:
    deviations = [
        accuracy.deviation for step in evidence.measured if (accuracy := step.seeds.accuracy) and accuracy.n > 1
    ]
    if not deviations:
        return
    median = statistics.median(deviations)
    count = count_text(len(deviations), evidence.noun)
    over = f" (median over {count}; {min(deviations):.3f} to {max(deviations):.3f})"
    yield (
        f"Seeds of one {evidence.noun} differ with a standard deviation of {median:.3f} points"
        f"{over if len(deviations) > 1 else ''}"
        + (": a smaller difference between two single runs shows nothing." if median else ".")
    )


def _best_epoch_sentences(evidence: StudyEvidence) -> Iterator[str]:
    gains = [
        best.mean - accuracy.mean
        for step in evidence.measured
        if (best := step.best) and (accuracy := step.seeds.accuracy)
    ]
    if gains:
        most = f" on average, {difference_text(max(gains), 2)} at most" if len(gains) > 1 else ""
        mean = difference_text(statistics.fmean(gains), 2)
        yield f"Reporting the best epoch instead of the last epochs would change the accuracy by {mean} points{most}."


def _diverged_sentences(evidence: StudyEvidence) -> Iterator[str]:
    failed = [step for step in evidence.steps if step.seeds.diverged]
    if failed:
        steps = ", ".join(
            f"{_name(step)} ({len(step.seeds.diverged)} of {count_text(step.seeds.n, 'seed')})" for step in failed
        )
        yield f"Diverged seeds count as failed and are left out of the means: {steps}."


def _seed_sentences(evidence: StudyEvidence) -> Iterator[str]:
    counts = [step.seeds.n for step in evidence.steps if step.seeds.n]
    single, untrained = counts.count(1), len(evidence.steps) - len(counts)
    if untrained:
        of_all = count_text(len(evidence.steps), evidence.noun)
        yield f"{untrained} of {of_all} {has_or_have(untrained)} no finished run."
    if single:
        verb = "rests" if single == 1 else "rest"
        yield f"{single} of {count_text(len(counts), f'trained {evidence.noun}')} {verb} on one seed, an anecdote."
    elif counts and min(counts) < SEEDS_FOR_A_CLAIM:
        fewest, most = min(counts), max(counts)
        look = "a first look" if fewest >= SEEDS_FOR_A_LOOK else f"too little for a first look ({SEEDS_FOR_A_LOOK})"
        seeds = f"{fewest} seeds" if fewest == most else f"{fewest} to {most} seeds"
        noun = evidence.noun
        yield f"With {seeds} per {noun} this is {look}; a claim needs {SEEDS_FOR_A_CLAIM} in every {noun}."


def _name(step: StudyStep) -> str:
    return f"`{step.name}`"


def _meet(count: int) -> str:
    return "meets its budget" if count == 1 else "meet their budget"
