"""The claims that the sentences about a study make: each is read back from its words and checked against its runs."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from drilldown.analysis.study import StudyEvidence, StudyStep
from drilldown.report.study.analysis import study_sentences

RATE = r"(\d+) of (\d+) (seeds?) \(95 % interval \d+–\d+ %\)"
NAMES = r"(?:`[^`]+`(?:, | and )?)+"


def step_of(evidence: StudyEvidence, name: str) -> StudyStep:
    return next(step for step in evidence.steps if step.name == name)


def names_in(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def has_budget(step: StudyStep) -> bool:
    budget = step.experiment.budget
    return (budget.parameters, budget.epochs, budget.accuracy) != (None, None, None)


def judged_steps(evidence: StudyEvidence) -> dict[str, tuple[int, int]]:
    """Passes and seeds of each step that has a budget and a run, counted without the code of the report."""
    return {
        step.name: (
            sum(run.verdict.passed for run in step.seeds.finished),
            len(step.seeds.finished) + len(step.seeds.diverged),
        )
        for step in evidence.steps
        if has_budget(step) and (step.seeds.finished or step.seeds.diverged)
    }


def meets(rate: tuple[int, int]) -> bool:
    return 5 * rate[0] >= 4 * rate[1]


def mean_accuracy(step: StudyStep) -> float:
    hold = min(step.experiment.budget.hold, step.experiment.recipe.epochs)
    totals = step.seeds.finished[0].epochs[-1].test.total
    counts = [[epoch.test.correct for epoch in run.epochs[-hold:]] for run in step.seeds.finished]
    return float(np.mean(counts) * 100 / totals)


def check_rate(rate: tuple[int, int], passed: str, n: str, noun: str) -> None:
    assert rate == (int(passed), int(n))
    assert noun == ("seed" if n == "1" else "seeds")


def check_one(evidence: StudyEvidence, name: str, verb: str, *rate: str) -> None:
    ((judged, counts),) = judged_steps(evidence).items()
    check_rate(counts, *rate)
    assert (judged, verb) == (name, "meets" if meets(counts) else "does not meet")


def check_some(evidence: StudyEvidence, met: str, of: str, noun: str, rest: str) -> None:
    judged = judged_steps(evidence)
    passing = [name for name, rate in judged.items() if meets(rate)]
    assert (int(met), int(of)) == (len(passing), len(judged))
    assert noun == ("step meets its budget" if len(judged) == 1 else noun)
    assert ("meets its budget" in noun) == (len(passing) == 1)
    match = re.fullmatch(rf"(the smallest, )?`(.+)`,? has ([\d,]+) parameters and meets it with {RATE}", rest)
    assert match
    size = int(match[3].replace(",", ""))
    assert bool(match[1]) == (len(passing) > 1)
    assert size == step_of(evidence, match[2]).experiment.model_summary.parameters
    assert size == min(step_of(evidence, name).experiment.model_summary.parameters for name in passing)
    check_rate(judged[match[2]], *match.groups()[3:])


def check_none(evidence: StudyEvidence, of: str, rest: str) -> None:
    judged = judged_steps(evidence)
    assert int(of) == len(judged)
    assert not any(map(meets, judged.values()))
    most = max(passed / n for passed, n in judged.values())
    if rest == ": no seed meets it":
        assert most == 0
    else:
        assert set(names_in(rest)) == {name for name, (passed, n) in judged.items() if passed / n == most}


def check_highest(evidence: StudyEvidence, name: str, epochs: str, mean: str, n: str, low: str, high: str) -> None:
    best = step_of(evidence, name)
    others = [step for step in evidence.steps if step.seeds.finished and step is not best]
    assert all(mean_accuracy(other) < mean_accuracy(best) for other in others)
    assert {step.experiment.recipe.dataset for step in evidence.measured} == {best.experiment.recipe.dataset}
    assert int(epochs or 1) == min(best.experiment.budget.hold, best.experiment.recipe.epochs)
    assert float(mean) == pytest.approx(mean_accuracy(best), abs=0.000501)
    count = 1 if n == "one seed, an anecdote" else int(n.split()[0])
    assert count == len(best.seeds.finished)
    assert bool(low) == (count >= 3)
    if low:
        hold = best.seeds.hold
        values = [
            100 * np.mean([epoch.test.correct / epoch.test.total for epoch in run.epochs[-hold:]])
            for run in best.seeds.finished
        ]
        half = stats.t.ppf(0.975, count - 1) * stats.sem(values)
        assert [float(low), float(high)] == pytest.approx([np.mean(values) - half, np.mean(values) + half], abs=0.001)


def check_tie(evidence: StudyEvidence, names: str, mean: str) -> None:
    highest = max(map(mean_accuracy, evidence.measured))
    best = [step.name for step in evidence.measured if mean_accuracy(step) == pytest.approx(highest, abs=1e-9)]
    assert set(names_in(names)) <= set(best)
    assert len(names_in(names)) > 1
    assert float(mean) == pytest.approx(highest, abs=0.000501)


def tested(evidence: StudyEvidence) -> dict[str, tuple[float, bool]]:
    """The mean difference of each tested step, and whether its interval excludes zero, by SciPy's paired test."""
    found = {}
    for step in evidence.steps:
        if step.change is None or step.change.accuracy is None:
            continue
        other = evidence.steps[step.change.against]
        hold = min(step.seeds.hold, other.seeds.hold)
        figures = [
            {run.seed: np.mean([epoch.test.correct for epoch in run.epochs[-hold:]]) for run in one.seeds.finished}
            for one in (step, other)
        ]
        seeds = sorted(figures[0].keys() & figures[1].keys())
        differences = np.array([figures[0][seed] - figures[1][seed] for seed in seeds])
        differences = 100 * differences / step.seeds.finished[0].epochs[0].test.total
        if len(seeds) >= 3:
            spread = differences.std()
            p = stats.ttest_1samp(differences, 0).pvalue if spread > 1e-9 else float(abs(differences.mean()) < 1e-9)
            found[step.name] = float(differences.mean()), bool(p < 0.05)
    return found


def check_largest(evidence: StudyEvidence, name: str, mean: str, against: str, n: str) -> None:
    effects = {step: difference for step, (difference, measurable) in tested(evidence).items() if measurable}
    assert abs(effects[name]) == pytest.approx(max(map(abs, effects.values())))
    assert float(mean) == pytest.approx(effects[name], abs=0.000501)
    change = step_of(evidence, name).change
    assert change is not None
    assert change.accuracy is not None
    assert (evidence.steps[change.against].name, change.accuracy.n) == (against, int(n))


def check_tests(evidence: StudyEvidence, of: str, noun: str, alone: str, verb: str, together: str, others: str) -> None:
    effects = tested(evidence)
    measurable = {name for name, (_, found) in effects.items() if found}
    assert (int(of), noun, int(alone)) == (len(effects), "step" if len(effects) == 1 else "steps", len(measurable))
    assert verb == ("has" if alone == "1" else "have")
    assert set(names_in(others)) == effects.keys() - measurable
    lasting = [name for name in measurable if (change := step_of(evidence, name).change) and change.among_all]
    assert int(together) == len(lasting)


def check_gap(evidence: StudyEvidence, *words: str) -> None:
    gaps = {
        step.name: float(
            np.mean(
                [100 * run.summary.clean_train_correct / run.summary.clean_train_total for run in step.seeds.finished]
            )
        )
        - mean_accuracy(step)
        for step in evidence.measured
    }
    for name, gap, best in ((words[0], words[1], max), (words[2], words[3], min)):
        if name:
            assert float(gap) == pytest.approx(gaps[name], abs=0.00501) == best(gaps.values())


def check_noise(evidence: StudyEvidence, deviation: str, nothing: str) -> None:
    deviations = []
    for step in evidence.measured:
        hold = step.seeds.hold
        values = [
            np.mean([100 * float(e.test.correct) / e.test.total for e in r.epochs[-hold:]]) for r in step.seeds.finished
        ]
        if len(values) > 1:
            deviations.append(float(np.std(values, ddof=1)))
    assert float(deviation) == pytest.approx(float(np.median(deviations)), abs=0.000501)
    assert bool(nothing) == (np.median(deviations) > 1e-9)


def check_best_epochs(evidence: StudyEvidence, mean: str, most: str) -> None:
    gains = [
        float(np.mean([max(100 * e.test.correct / e.test.total for e in run.epochs) for run in step.seeds.finished]))
        - mean_accuracy(step)
        for step in evidence.measured
    ]
    assert float(mean) == pytest.approx(np.mean(gains), abs=0.00501)
    assert bool(most) == (len(gains) > 1)
    if most:
        assert float(most) == pytest.approx(max(gains), abs=0.00501)


def check_diverged(evidence: StudyEvidence, steps: str) -> None:
    found = re.findall(r"`([^`]+)` \((\d+) of (\d+) (seeds?)\)", steps)
    assert [name for name, *_ in found] == [step.name for step in evidence.steps if step.seeds.diverged]
    for name, diverged, n, noun in found:
        seeds = step_of(evidence, name).seeds
        assert (int(diverged), int(n)) == (len(seeds.diverged), len(seeds.diverged) + len(seeds.finished))
        assert noun == ("seed" if n == "1" else "seeds")


def seed_counts(evidence: StudyEvidence) -> list[int]:
    counts = [len(step.seeds.finished) + len(step.seeds.diverged) for step in evidence.steps]
    return [count for count in counts if count]


def check_untrained(evidence: StudyEvidence, untrained: str, of: str) -> None:
    assert int(of) == len(evidence.steps)
    assert int(untrained) == len(evidence.steps) - len(seed_counts(evidence))


def check_single(evidence: StudyEvidence, single: str, of: str, noun: str, verb: str) -> None:
    counts = seed_counts(evidence)
    assert (int(single), int(of)) == (counts.count(1), len(counts))
    assert (noun, verb) == ("step" if of == "1" else "steps", "rests" if single == "1" else "rest")


def check_few(evidence: StudyEvidence, fewest: str, most: str, look: str) -> None:
    counts = seed_counts(evidence)
    assert (int(fewest), int(most or fewest)) == (min(counts), max(counts))
    assert (look == "a first look") == (min(counts) >= 5)
    assert 1 < min(counts) < 10


def check_several(evidence: StudyEvidence, several: str, of: str, names: str) -> None:
    changed = [step for step in evidence.steps if step.change]
    many = [step.name for step in changed if step.change and len(step.change.components) > 1]
    assert (int(several), int(of), names_in(names)) == (len(many), len(changed), many)


def check_reported(evidence: StudyEvidence, inside: str, of: str, nouns: str, outside: str) -> None:
    """The prediction interval of one more seed, with NumPy and SciPy; the author's rounding widens it."""
    found = {}
    for step in evidence.steps:
        claim, best = step.experiment.reported, [run.best for run in step.seeds.finished]
        if claim is None or claim.test is None or len(best) < 3:
            continue
        half = stats.t.ppf(0.975, len(best) - 1) * np.std(best, ddof=1) * np.sqrt(1 + 1 / len(best)) + 0.005
        low, high = max(0.0, np.mean(best) - half), min(100.0, np.mean(best) + half)
        found[step.name] = bool(low - 1e-9 <= claim.test <= high + 1e-9)
    assert (int(inside), int(of)) == (sum(found.values()), len(found))
    assert nouns == ("accuracy " if of == "1" else "accuracies ") + ("lies" if inside == "1" else "lie")
    assert set(names_in(outside)) == {name for name, is_inside in found.items() if not is_inside}


FIGURE = r"([+-]?\d+\.\d+)"
CLAIMS: dict[str, Callable[..., None]] = {
    rf"`(.+)` (meets|does not meet) its budget: {RATE}; four in five must meet it\.": check_one,
    r"(\d+) of (\d+) trained (steps? meets? \w+ budget) with at least four seeds in five: (.+)\.": check_some,
    r"None of the (\d+) trained steps meets its budget with at least four seeds in five((?:; |: ).+)\.": check_none,
    rf"`([^`]+)` has the highest (?:mean of the last (\d+) epochs|accuracy in the last epoch): {FIGURE} % "
    rf"\((one seed, an anecdote|\d+ seeds)(?:, 95 % t interval {FIGURE} to {FIGURE} %)?\)\.": check_highest,
    rf"({NAMES}) have the highest accuracy in the last epochs: {FIGURE} % each\.": check_tie,
    rf"The largest measurable effect is that of `([^`]+)`: {FIGURE} \[.+\] points against `([^`]+)`, over "
    r"(\d+) seeds\.": (check_largest),
    r"Of (\d+) tested (steps?), (\d+) (has|have) a measurable effect on accuracy when tested alone, and (\d+) when all "
    r"are tested together \(Holm\)(?:; no measurable effect: (.+))?\.": check_tests,
    rf"Training accuracy .* is {FIGURE} points in `([^`]+)`\.": (
        lambda evidence, gap, name: check_gap(evidence, name, gap, name, gap)
    ),
    rf"Training accuracy .* is {FIGURE} points in each of \d steps\.": lambda evidence, gap: check_gap(
        evidence, evidence.measured[0].name, gap, evidence.measured[-1].name, gap
    ),
    rf"Training accuracy .* largest in `([^`]+)`, {FIGURE} points, and smallest in `([^`]+)`, {FIGURE} "
    r"points\.": check_gap,
    rf"Seeds of one step differ with a standard deviation of {FIGURE} points(?: \(median over .*\))?"
    r"(: a smaller .*)?\.": (check_noise),
    rf"Reporting the best epoch .* would change the accuracy by {FIGURE} points(?: on average, {FIGURE} at most)?\.": (
        check_best_epochs
    ),
    r"Diverged seeds count as failed and are left out of the means: (.+)\.": check_diverged,
    r"(\d+) of (\d+) steps? ha(?:s|ve) no finished run\.": check_untrained,
    r"(\d+) of (\d+) trained (steps?) (rests?) on one seed, an anecdote\.": check_single,
    r"With (\d+)(?: to (\d+))? seeds per step this is (.+); a claim needs 10 in every step\.": check_few,
    r"(\d+) of (\d+) steps? changed several components at once \((.+)\): .*": check_several,
    r"(\d+) of (\d+) reported (accurac\S+ lies?) in the 95 % prediction interval for one more seed"
    r"(?:; outside: (.+))?\.": (check_reported),
}


def check_claims(evidence: StudyEvidence) -> list[str]:
    """Checks every sentence about a study; returns the sentences."""
    sentences = study_sentences(evidence)
    for sentence in sentences:
        matches = [(pattern, match) for pattern in CLAIMS if (match := re.fullmatch(pattern, sentence))]
        assert len(matches) == 1, sentence
        pattern, match = matches[0]
        CLAIMS[pattern](evidence, *(group or "" for group in match.groups()))
    return sentences
