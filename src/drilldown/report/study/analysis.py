"""The analysis of a study, in sentences: each sentence contains the numbers that support it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from drilldown.analysis.study import StudyEvidence, StudyStep

SEEDS_FOR_A_LOOK, SEEDS_FOR_A_CLAIM = 5, 10
"""The number of seeds per step that a first look and a claim need."""


def study_sentences(evidence: StudyEvidence) -> list[str]:
    """The analysis of a study, as sentences; text between backticks is code."""
    return [
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


def _budget_sentences(evidence: StudyEvidence) -> Iterator[str]:
    judged = [(step, step.seeds.rate) for step in evidence.steps if step.seeds.rate]
    met = [(step, rate) for step, rate in judged if rate and rate.met]
    if not met:
        most, rate = max(judged, key=lambda pair: pair[1].passed / pair[1].n if pair[1] else 0)
        yield (
            f"None of the {len(judged)} steps meets its budget with four seeds in five; the closest is {_name(most)} "
            f"with {rate}."
        )
        return
    if len(judged) == 1:
        yield f"{_name(met[0][0])} meets its budget with {met[0][1]}."
        return
    smallest, rate = min(met, key=lambda pair: pair[0].experiment.model_summary.parameters)
    yield (
        f"{len(met)} of the {len(judged)} steps {_meet(len(met))} with four seeds in five; the smallest, "
        f"{_name(smallest)}, has {smallest.experiment.model_summary.parameters:,} parameters and meets it with {rate}."
    )


def _accuracy_sentences(evidence: StudyEvidence) -> Iterator[str]:
    known = [(step, accuracy) for step in evidence.measured if (accuracy := step.seeds.accuracy)]
    if len(known) < 2:
        return
    best, accuracy = max(known, key=lambda pair: pair[1].mean)
    over = "one seed, an anecdote" if accuracy.n == 1 else f"{accuracy.n} seeds"
    if accuracy.has_interval:
        over += f", 95 % t interval {accuracy.low:.3f} to {accuracy.high:.3f} %"
    yield f"{_name(best)} has the highest mean of the last {best.seeds.hold} epochs: {accuracy.mean:.3f} % ({over})."


def _effect_sentences(evidence: StudyEvidence) -> Iterator[str]:
    tested = [
        (step, step.change.accuracy)
        for step in evidence.steps
        if step.change and step.change.accuracy and step.change.accuracy.has_interval
    ]
    if not tested:
        return
    measurable = [(step, effect) for step, effect in tested if effect.measurable]
    if measurable:
        step, effect = max(measurable, key=lambda pair: abs(pair[1].mean))
        yield (
            f"The largest effect is that of {_name(step)}: {effect.text(3)} points against "
            f"{_name(evidence.steps[step.change.against] if step.change else step)}, over {effect.n} seeds."
        )
    among_all = [step for step, _ in measurable if step.change and step.change.among_all]
    others = [step for step, effect in tested if not effect.measurable]
    yield (
        f"Of {len(tested)} steps, {len(measurable)} have a measurable effect on accuracy when tested alone, and "
        f"{len(among_all)} when all are tested together (Holm)"
        + (f"; no measurable effect: {', '.join(map(_name, others))}." if others else ".")
    )


def _several_changes_sentences(evidence: StudyEvidence) -> Iterator[str]:
    several = [step for step in evidence.steps if step.change and len(step.change.components) > 1]
    changes = sum(step.change is not None for step in evidence.steps)
    if several:
        yield (
            f"{len(several)} of {changes} steps changed several components at once ({', '.join(map(_name, several))}): "
            f"these runs cannot show which change caused the difference. `drilldown ablate` removes one component at a "
            f"time."
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
        exceptions.append(f"{_name(step)} ({reported.test:.2f} %, {side} {expected[0]:.2f} to {expected[1]:.2f} %)")
    yield (
        f"{len(judged) - len(outside)} of {len(judged)} reported accuracies lie in the 95 % prediction interval for "
        f"one more of our seeds" + (f"; outside: {', '.join(exceptions)}." if exceptions else ".")
    )


def _overfitting_sentences(evidence: StudyEvidence) -> Iterator[str]:
    gaps = [
        (step, clean.mean - accuracy.mean)
        for step in evidence.measured
        if (clean := step.clean_train) and (accuracy := step.seeds.accuracy)
    ]
    if gaps:
        widest, gap = max(gaps, key=lambda pair: pair[1])
        narrowest, least = min(gaps, key=lambda pair: pair[1])
        if widest is narrowest:
            yield (
                f"Training accuracy (no augmentation, eval mode) differs from the judged accuracy by {gap:+.2f} points."
            )
        else:
            yield (
                f"Training accuracy (no augmentation, eval mode) minus the judged accuracy is largest in "
                f"{_name(widest)}, {gap:+.2f} points, and smallest in {_name(narrowest)}, {least:+.2f} points."
            )


def _noise_sentences(evidence: StudyEvidence) -> Iterator[str]:
    deviations = [
        accuracy.deviation for step in evidence.measured if (accuracy := step.seeds.accuracy) and accuracy.n > 1
    ]
    if not deviations:
        return
    over = f" (median over {len(deviations)} steps; {min(deviations):.3f} to {max(deviations):.3f})"
    yield (
        f"Seeds of one step differ with a standard deviation of {statistics.median(deviations):.3f} points"
        f"{over if len(deviations) > 1 else ''}: a smaller difference between two single runs shows nothing."
    )


def _best_epoch_sentences(evidence: StudyEvidence) -> Iterator[str]:
    gains = [
        best.mean - accuracy.mean
        for step in evidence.measured
        if (best := step.best) and (accuracy := step.seeds.accuracy)
    ]
    if gains:
        most = f" on average, {max(gains):.2f} at most" if len(gains) > 1 else ""
        mean = statistics.fmean(gains)
        yield f"Reporting the best epoch instead of the last epochs would add {mean:.2f} points{most}."


def _diverged_sentences(evidence: StudyEvidence) -> Iterator[str]:
    failed = [step for step in evidence.steps if step.seeds.diverged]
    if failed:
        steps = ", ".join(f"{_name(step)} ({len(step.seeds.diverged)} of {step.seeds.n} seeds)" for step in failed)
        yield f"Diverged seeds count as failed and are left out of the means: {steps}."


def _seed_sentences(evidence: StudyEvidence) -> Iterator[str]:
    counts = [step.seeds.n for step in evidence.steps]
    single = sum(count == 1 for count in counts)
    if single:
        yield f"{single} of {len(counts)} steps {'rest' if single > 1 else 'rests'} on one seed, an anecdote."
    fewest = min((count for count in counts if count), default=0)
    if not single and fewest < SEEDS_FOR_A_CLAIM:
        look = "a first look" if fewest >= SEEDS_FOR_A_LOOK else f"too little for a first look ({SEEDS_FOR_A_LOOK})"
        yield f"With {fewest} seeds per step this is {look}; a claim needs {SEEDS_FOR_A_CLAIM}."


def _name(step: StudyStep) -> str:
    return f"`{step.name}`"


def _meet(count: int) -> str:
    return "meets its budget" if count == 1 else "meet their budget"
