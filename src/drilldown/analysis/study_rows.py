"""The steps of a study as rows of a table, for `study --csv`."""

from __future__ import annotations

from collections.abc import Mapping

from drilldown.analysis.study import StudyEvidence, StudyStep
from drilldown.evaluation.effects import Effect
from drilldown.evaluation.intervals import Spread
from drilldown.runs.row import Cell, date_text

STUDY_COLUMNS = (
    "step", "title", "fingerprint", "parameters", "multiply_adds", "epochs", "seeds", "diverged", "split", "mean_last",
    "mean_last_low", "mean_last_high", "worst_last", "best", "final", "train", "loss", "seeds_passed", "seeds_needed",
    "budget_met", "against", "effect", "effect_low", "effect_high", "reported_train", "reported_test", "epoch_seconds",
    "seconds", "written", "teacher", "problem",
)  # fmt: skip
"""The columns of `study --csv`; the reference page "JSON and CSV" explains them."""


def study_rows(evidence: StudyEvidence, problems: Mapping[str, str]) -> list[dict[str, Cell]]:
    """A row for each step, and for each file that could not be read.

    *Arguments*: `problems`: the problem of each file that could not be read or trained, by the name of its step.
    """
    rows = [_row(step, evidence) for step in evidence.steps]
    for row in rows:
        row["problem"] = problems.get(str(row["step"]))
    known = {step.name for step in evidence.steps}
    unread: list[dict[str, Cell]] = [
        {"step": name, "problem": problem} for name, problem in problems.items() if name not in known
    ]
    return [dict.fromkeys(STUDY_COLUMNS) | row for row in (*rows, *unread)]


def _row(step: StudyStep, evidence: StudyEvidence) -> dict[str, Cell]:
    seeds, experiment, change = step.seeds, step.experiment, step.change
    accuracy, rate, reported = seeds.accuracy, seeds.rate, experiment.reported
    times = [run.run.modified for run in seeds.finished]
    return {
        "step": step.name,
        "title": experiment.title,
        "fingerprint": experiment.fingerprint,
        "parameters": experiment.model_summary.parameters,
        "multiply_adds": experiment.model_summary.multiply_adds,
        "epochs": experiment.recipe.epochs,
        "seeds": seeds.n,
        "diverged": len(seeds.diverged),
        "split": seeds.split,
        "mean_last": _mean(accuracy),
        "mean_last_low": accuracy.low if accuracy and accuracy.has_interval else None,
        "mean_last_high": accuracy.high if accuracy and accuracy.has_interval else None,
        "worst_last": _mean(seeds.spread(lambda run: run.worst(seeds.hold))),
        "best": _mean(step.best),
        "final": _mean(seeds.spread(lambda run: run.final)),
        "train": _mean(step.clean_train),
        "loss": _mean(seeds.loss),
        "seeds_passed": rate.passed if rate else None,
        "seeds_needed": rate.needed if rate else None,
        "budget_met": rate.met if rate else None,
        "against": evidence.steps[change.against].name if change else None,
        **_effect(change.accuracy if change else None),
        "reported_train": reported.train if reported else None,
        "reported_test": reported.test if reported else None,
        "epoch_seconds": step.epoch_seconds,
        "seconds": round(sum(run.summary.seconds for run in seeds.finished), 3) if seeds.finished else None,
        "written": date_text(max(times)) if times else None,
        "teacher": seeds.teacher,
    }


def _mean(spread: Spread | None) -> float | None:
    return spread.mean if spread else None


def _effect(effect: Effect | None) -> dict[str, Cell]:
    if effect is None:
        return {}
    ends = {"effect_low": effect.low, "effect_high": effect.high} if effect.has_interval else {}
    return {"effect": effect.mean, **ends}
