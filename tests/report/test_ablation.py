"""Every sentence about an ablation is read back from its words, and checked against the runs with NumPy and SciPy."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from drilldown import Folders, load, perform
from drilldown.analysis.ablation import Ablation, Removal
from drilldown.analysis.seeds import Seeds
from drilldown.evaluation.effects import paired_effect
from drilldown.evaluation.records import Tally
from drilldown.evaluation.verdict import judge
from drilldown.experiment.budget import Budget
from drilldown.report.ablation import ablation_sentences
from drilldown.runs.run import FinishedRun
from support.study import write_study

TOTAL = 1_000
COMPONENTS = ("dropout", "momentum", "warm-up")
Imagine = Callable[[Budget, Sequence[tuple[list[int], int]]], Ablation]


@pytest.fixture(scope="module")
def imagine(tmp_path_factory: pytest.TempPathFactory) -> Imagine:
    """Makes an ablation from counts of correct images by seed, and of diverged seeds: the full recipe and others."""
    folder = tmp_path_factory.mktemp("ablation")
    write_study(folder, epochs=1, steps=1)
    run = perform(load(folder / "climb" / "01-plain.toml"), folders=Folders(runs=folder / "runs")).read()

    def trained(budget: Budget, seed: int, correct: int) -> FinishedRun:
        epochs = tuple(replace(epoch, test=Tally(0.1, correct, TOTAL)) for epoch in run.epochs)
        return replace(run, seed=seed, epochs=epochs, verdict=judge(budget, 1, epochs))

    def seeds(budget: Budget, counts: list[int], diverged: int) -> Seeds:
        return Seeds(
            experiment=run.run.experiment.model_copy(update={"budget": budget}),
            finished=tuple(trained(budget, seed, correct) for seed, correct in enumerate(counts)),
            diverged=(run.run,) * diverged,
            unfinished=(),
        )

    def ablation(budget: Budget, plans: Sequence[tuple[list[int], int]]) -> Ablation:
        full, *others = (seeds(budget, *plan) for plan in plans)
        removals = [
            Removal(component=name, seeds=other, effect=paired_effect(full.accuracies(), other.accuracies()))
            for name, other in zip(COMPONENTS, others, strict=False)
        ]
        return Ablation(full=full, removals=tuple(removals), skipped=())

    return ablation


def counts_of(seeds: Seeds) -> list[int]:
    return [run.epochs[-1].test.correct for run in seeds.finished]


def differences(ablation: Ablation) -> dict[str, tuple[float, float]]:
    """Mean difference in points and p-value of each component that shares three seeds with the full recipe."""
    found = {}
    for removal in ablation.removals:
        pairs = list(zip(counts_of(removal.seeds), counts_of(ablation.full), strict=False))
        steps = np.array([100 * (after - before) / TOTAL for after, before in pairs])
        if len(pairs) >= 3:
            p = stats.ttest_1samp(steps, 0).pvalue if np.ptp(steps) > 1e-9 else float(abs(steps[0]) < 1e-9)
            found[removal.component] = float(steps.mean()), float(p)
    return found


def all_below(ablation: Ablation, component: str) -> bool:
    seeds = next(removal.seeds for removal in ablation.removals if removal.component == component)
    return max(counts_of(seeds)) < min(counts_of(ablation.full))


def check_uneven(ablation: Ablation, component: str, n: str, low: str, high: str, worst: str, best: str) -> None:
    seeds = next(removal.seeds for removal in ablation.removals if removal.component == component)
    shown = [float(figure) for figure in (low, high, worst, best)]
    counts, full = counts_of(seeds), counts_of(ablation.full)
    assert shown == pytest.approx([min(counts) / 10, max(counts) / 10, min(full) / 10, max(full) / 10], abs=0.0051)
    assert int(n) == len(counts)
    assert shown[1] < shown[2]
    assert differences(ablation)[component][1] >= 0.05


def check_largest(ablation: Ablation, kind: str, component: str, mean: str) -> None:
    measurable = {name: change for name, (change, p) in differences(ablation).items() if p < 0.05}
    best = min if kind == "loss" else max
    assert measurable[component] == best(measurable.values()) == pytest.approx(float(mean), abs=0.00051)
    assert (float(mean) < 0) == (kind == "loss")


def check_others(ablation: Ablation, count: str, of: str, noun: str, names: str) -> None:
    found = differences(ablation)
    others = [name for name, (_, p) in found.items() if p >= 0.05 and not all_below(ablation, name)]
    assert (int(count), int(of), names.split(", ")) == (len(others), len(found), others)
    assert noun == ("component" if of == "1" else "components")


def check_together(ablation: Ablation, alone: str, of: str, names: str) -> None:
    ps = {name: p for name, (_, p) in differences(ablation).items()}
    lasting = []
    for rank, name in enumerate(sorted(ps, key=lambda name: ps[name])):  # Holm's procedure: step down
        if ps[name] > 0.05 / (len(ps) - rank):
            break
        lasting.append(name)
    assert (int(alone), int(of)) == (sum(p < 0.05 for p in ps.values()), len(ps))
    assert set(names.split(", ")) == set(lasting or ["none"])


def check_diverged(ablation: Ablation, component: str, diverged: str, n: str, noun: str) -> None:
    seeds = next(removal.seeds for removal in ablation.removals if removal.component == component)
    assert (int(diverged), int(n)) == (len(seeds.diverged), len(seeds.diverged) + len(seeds.finished))
    assert noun == ("seed" if n == "1" else "seeds")


def meets(seeds: Seeds) -> bool:
    return 5 * sum(run.passed for run in seeds.finished) >= 4 * (len(seeds.finished) + len(seeds.diverged))


def measured(ablation: Ablation) -> dict[str, bool]:
    return {r.component: meets(r.seeds) for r in ablation.removals if r.seeds.finished or r.seeds.diverged}


def check_full(ablation: Ablation, met: str) -> None:
    assert (met == "met") == meets(ablation.full)
    assert ablation.full.experiment.budget.accuracy is not None


def check_single(ablation: Ablation, component: str, also: str, met: str) -> None:
    assert measured(ablation) == {component: met == "met"}
    assert bool(also) == (meets(ablation.full) == (met == "met"))


def check_kept(ablation: Ablation, still: str, names: str, count: str, of: str) -> None:
    kept = [component for component, met in measured(ablation).items() if met]
    assert names.removesuffix(" is removed").removeprefix("any one of these is removed: ").split(", ") == kept
    assert (int(count), int(of)) == (len(kept), len(measured(ablation)))
    assert bool(still) == meets(ablation.full)


def check_lost(ablation: Ablation, of: str) -> None:
    assert not any(measured(ablation).values())
    assert int(of) == len(measured(ablation)) > 1


def check_anecdotes(ablation: Ablation, count: str, noun: str, verb: str) -> None:
    rows = (ablation.full, *(removal.seeds for removal in ablation.removals))
    assert int(count) == [len(seeds.finished) + len(seeds.diverged) for seeds in rows].count(1)
    assert (noun, verb) == (("row", "rests") if count == "1" else ("rows", "rest"))


CLAIMS: dict[str, Callable[..., None]] = {
    r"Without (.+), all (\d+) seeds are below the worst seed of the full recipe: (\S+) to (\S+) %, against (\S+) to "
    r"(\S+) %\. The seeds differ so much that the interval .* all the same\.": check_uneven,
    r"The largest measurable (loss|gain): without (.+), (\S+) \[.*\] points over \d+ seeds\.": check_largest,
    r"No measurable effect for (\d+) of (\d+) tested (components?): (.+)\.": check_others,
    r"Measurable when tested alone: (\d+) of (\d+); when all are tested together \(Holm\): (.+)\.": check_together,
    r"Without (.+), (\d+) of (\d+) (seeds?) diverged\.": check_diverged,
    r"With all components, the budget is (met|not met): .*\.": check_full,
    r"Without (.+), it is (still |also )?(met|not met): .*\.": check_single,
    r"It is (still )?met when (.+) \((\d+) of (\d+) components\)\.": check_kept,
    r"It is not met when any one of the (\d+) components is removed\.": check_lost,
    r"(\d+) (rows?) of the table (rests?) on one seed, an anecdote\.": check_anecdotes,
}

counts = st.lists(st.sampled_from([100, 900, 940, 950, 955, 960, 961]), max_size=4)
plans = st.tuples(counts, st.integers(0, 2))


@settings(max_examples=200, deadline=None)
@given(
    budget=st.builds(Budget, accuracy=st.none() | st.sampled_from([90.0, 95.0])),
    full=plans.filter(lambda plan: bool(plan[0])),
    others=st.lists(plans, min_size=1, max_size=3),
)
def test_every_sentence_is_true_of_any_ablation(
    imagine: Imagine, budget: Budget, full: tuple[list[int], int], others: list[tuple[list[int], int]]
) -> None:
    ablation = imagine(budget.model_copy(update={"hold": 1}), [full, *others])
    for sentence in ablation_sentences(ablation):
        matches = [(pattern, match) for pattern in CLAIMS if (match := re.fullmatch(pattern, sentence))]
        assert len(matches) == 1, sentence
        CLAIMS[matches[0][0]](ablation, *(group or "" for group in matches[0][1].groups()))


def test_without_a_budget_none_is_met(imagine: Imagine) -> None:
    assert not any("budget" in text for text in ablation_sentences(imagine(Budget(hold=1), [([950] * 3, 0)] * 2)))


def test_a_small_loss_is_not_called_large(imagine: Imagine) -> None:
    ablation = imagine(Budget(hold=1), [([951, 956, 960], 0), ([950, 950, 950], 0)])
    (sentence,) = ablation_sentences(ablation)
    assert sentence.startswith("Without dropout, all 3 seeds are below the worst seed of the full recipe: 95.00 to 95")
