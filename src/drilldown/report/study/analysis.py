"""What a study shows, from its figures alone: every sentence carries the number it rests on."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from drilldown.analysis.study import StudyEvidence, StudyStep

ENOUGH_TO_LOOK, ENOUGH_TO_CLAIM = 5, 10
"""Seeds."""


def study_sentences(evidence: StudyEvidence) -> list[str]:
    """The analysis of a study."""
    return [
        *_budget(evidence),
        *_highest(evidence),
        *_effects(evidence),
        *_at_once(evidence),
        *_reported(evidence),
        *_fit(evidence),
        *_noise(evidence),
        *_picking(evidence),
        *_diverged(evidence),
        *_how_many(evidence),
    ]


def _budget(evidence: StudyEvidence) -> Iterator[str]:
    judged = [(step, step.seeds.rate) for step in evidence.steps if step.seeds.rate]
    met = [(step, rate) for step, rate in judged if rate and rate.met]
    if not met:
        most, rate = max(judged, key=lambda pair: pair[1].passed / pair[1].n if pair[1] else 0)
        yield f"None of the {len(judged)} steps meets its budget with four seeds in five; nearest, {_of(most)}: {rate}."
        return
    if len(judged) == 1:
        yield f"{_of(met[0][0])} meets its budget with {met[0][1]}."
        return
    smallest, rate = min(met, key=lambda pair: pair[0].experiment.model_summary.parameters)
    yield (
        f"{len(met)} of the {len(judged)} steps {_meet(len(met))} with four seeds in five; the smallest, "
        f"{_of(smallest)}, has {smallest.experiment.model_summary.parameters:,} parameters and meets it with {rate}."
    )


def _highest(evidence: StudyEvidence) -> Iterator[str]:
    known = [(step, accuracy) for step in evidence.measured if (accuracy := step.seeds.accuracy)]
    if len(known) < 2:
        return
    best, accuracy = max(known, key=lambda pair: pair[1].mean)
    over = "one seed, an anecdote" if accuracy.n == 1 else f"{accuracy.n} seeds"
    if accuracy.has_interval:
        over += f", 95 % t interval {accuracy.low:.3f} to {accuracy.high:.3f} %"
    yield (
        f"The highest mean of the last {best.seeds.hold} epochs is that of {_of(best)}: {accuracy.mean:.3f} % ({over})."
    )


def _effects(evidence: StudyEvidence) -> Iterator[str]:
    asked = [
        (step, step.change.accuracy)
        for step in evidence.steps
        if step.change and step.change.accuracy and step.change.accuracy.has_interval
    ]
    if not asked:
        return
    shown = [(step, effect) for step, effect in asked if effect.measurable]
    if shown:
        step, effect = max(shown, key=lambda pair: abs(pair[1].mean))
        yield (
            f"The largest change was that of {_of(step)}: {effect.text(3)} points against "
            f"{_of(evidence.steps[step.change.against] if step.change else step)}, over {effect.n} seeds."
        )
    among_all = [step for step, _ in shown if step.change and step.change.among_all]
    none = [step for step, effect in asked if not effect.measurable]
    yield (
        f"Of {len(asked)} changes, {len(shown)} had a measurable effect on accuracy taken alone, {len(among_all)} "
        f"where all are asked at once (Holm)" + (f"; none was shown for {', '.join(map(_of, none))}." if none else ".")
    )


def _at_once(evidence: StudyEvidence) -> Iterator[str]:
    several = [step for step in evidence.steps if step.change and len(step.change.components) > 1]
    changes = sum(step.change is not None for step in evidence.steps)
    if several:
        yield (
            f"{len(several)} of {changes} steps changed several things at once ({', '.join(map(_of, several))}): what "
            f"their difference is owed to cannot be told from these runs. `drilldown ablate` takes one thing at a time."
        )


def _reported(evidence: StudyEvidence) -> Iterator[str]:
    asked = [step for step in evidence.steps if step.as_reported is not None]
    if not asked:
        return
    outside = [step for step in asked if not step.as_reported]
    said = []
    for step in outside:
        reported, expected = step.experiment.reported, step.expected
        assert reported is not None
        assert reported.test is not None
        assert expected is not None
        side = "above" if reported.test > expected[1] else "below"
        said.append(f"{_of(step)} ({reported.test:.2f} %, {side} {expected[0]:.2f} to {expected[1]:.2f} %)")
    yield (
        f"{len(asked) - len(outside)} of {len(asked)} reported accuracies lie where one further seed of ours "
        f"would fall with 95 %" + (f"; outside: {', '.join(said)}." if said else ".")
    )


def _fit(evidence: StudyEvidence) -> Iterator[str]:
    gaps = [
        (step, clean.mean - accuracy.mean)
        for step in evidence.measured
        if (clean := step.clean_train) and (accuracy := step.seeds.accuracy)
    ]
    if gaps:
        widest, gap = max(gaps, key=lambda pair: pair[1])
        narrowest, least = min(gaps, key=lambda pair: pair[1])
        if widest is narrowest:
            yield f"Clean train accuracy differs from the judged one by {gap:+.2f} points."
        else:
            yield (
                f"Clean train accuracy lies furthest above the judged one in {_of(widest)}, by {gap:+.2f} points, and "
                f"least in {_of(narrowest)}, by {least:+.2f}."
            )


def _noise(evidence: StudyEvidence) -> Iterator[str]:
    deviations = [
        accuracy.deviation for step in evidence.measured if (accuracy := step.seeds.accuracy) and accuracy.n > 1
    ]
    if not deviations:
        return
    over = f" (median over {len(deviations)} steps; {min(deviations):.3f} to {max(deviations):.3f})"
    yield (
        f"Seeds of one step differ with a standard deviation of {statistics.median(deviations):.3f} points"
        f"{over if len(deviations) > 1 else ''}: two single runs that differ by no more show nothing."
    )


def _picking(evidence: StudyEvidence) -> Iterator[str]:
    gains = [
        best.mean - accuracy.mean
        for step in evidence.measured
        if (best := step.best) and (accuracy := step.seeds.accuracy)
    ]
    if gains:
        most = f" on average, {max(gains):.2f} at most" if len(gains) > 1 else ""
        yield f"Quoting the best epoch in place of the last ones would add {statistics.fmean(gains):.2f} points{most}."


def _diverged(evidence: StudyEvidence) -> Iterator[str]:
    failed = [step for step in evidence.steps if step.seeds.diverged]
    if failed:
        said = ", ".join(f"{_of(step)} ({len(step.seeds.diverged)} of {step.seeds.n} seeds)" for step in failed)
        yield f"Diverged, counted as failed and missing from the means: {said}."


def _how_many(evidence: StudyEvidence) -> Iterator[str]:
    counts = [step.seeds.n for step in evidence.steps]
    single = sum(count == 1 for count in counts)
    if single:
        yield f"{single} of {len(counts)} steps {'rest' if single > 1 else 'rests'} on one seed, an anecdote."
    fewest = min((count for count in counts if count), default=0)
    if not single and fewest < ENOUGH_TO_CLAIM:
        this = "a look" if fewest >= ENOUGH_TO_LOOK else f"less than a look, which takes {ENOUGH_TO_LOOK}"
        yield f"With {fewest} seeds of a step this is {this}; {ENOUGH_TO_CLAIM} are what a claim takes."


def _of(step: StudyStep) -> str:
    return f"`{step.name}`"


def _meet(count: int) -> str:
    return "meets its budget" if count == 1 else "meet their budget"
