"""Results as documents for `--json`: numbers are numbers, accuracies are in percent, a missing figure is null.

The reference page "JSON and CSV" lists the keys; scripts rely on them.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from drilldown.analysis.ablation import Ablation
from drilldown.analysis.audits import AuditedSeeds
from drilldown.analysis.comparison import Comparison, Contrast
from drilldown.analysis.seeds import Seeds
from drilldown.analysis.study import StepEffect, StudyEvidence, StudyStep
from drilldown.data.conventions import Conventions
from drilldown.data.dataset import Dataset, Split
from drilldown.data.recognition import conventions_of
from drilldown.errors import Problem
from drilldown.evaluation.bootstrap import AccuracyInterval
from drilldown.evaluation.effects import Effect
from drilldown.evaluation.intervals import PassRate, Spread
from drilldown.evaluation.records import Tally
from drilldown.experiment.budget import Budget
from drilldown.experiment.difference import ABSENT, Difference
from drilldown.runs.audit import Audit
from drilldown.runs.run import FinishedRun

Document = dict[str, Any]


def run_document(run: FinishedRun) -> Document:
    """A finished run: the figures of its summary, with the verdict by the budget that holds."""
    summary = {key: value for key, value in run.summary.to_json().items() if key != "files"}
    return {**summary, "path": str(run.run.path), "status": "finished", "verdict": verdict_document(run)}


def verdict_document(run: FinishedRun) -> Document:
    """The verdict on a run; null for a part of the budget that is not set."""
    verdict, budget = run.verdict, (run.run.source or run.run.trained_experiment).budget
    met = {line.name: line.met for line in verdict.lines}
    last = [epoch.test for epoch in run.epochs[-budget.hold :]]
    worst = min(last, key=lambda tally: tally.accuracy)
    found: dict[str, Document] = {
        "parameters": {"limit": budget.parameters, "found": run.summary.parameters},
        "epochs": {"limit": budget.epochs, "found": len(run.epochs)},
        "accuracy": {
            "limit": budget.accuracy,
            "hold": budget.hold,
            "worst": float(worst.accuracy),
            "worst_correct": worst.correct,
            "total": worst.total,
        },
        "flash": {},
        "ram": {},
    }
    if (chip := run.chip) is not None:
        common = {"chip": chip.chip, "missing": chip.missing or None}
        found["flash"] = {"limit": budget.flash, "found": chip.flash, **common}
        found["ram"] = {"limit": budget.ram, "found": chip.ram_with_stack, "stack": chip.stack, **common}
    lines = {name: {"met": met[name], **figures} if name in met else None for name, figures in found.items()}
    return {"passed": verdict.passed, "split": verdict.split, "dead": verdict.is_dead, **lines}


def seeds_document(seeds: Seeds) -> Document:
    """An experiment with its runs, and their figures over seeds."""
    experiment, summary = seeds.experiment, seeds.experiment.model_summary
    return {
        "experiment": experiment.name,
        "title": experiment.title,
        "fingerprint": experiment.fingerprint,
        "parameters": summary.parameters,
        "multiply_adds": summary.multiply_adds,
        "epochs": experiment.recipe.epochs,
        "split": seeds.split,
        "teacher": seeds.teacher,
        "budget": _budget(experiment.budget),
        "verdict": _rate(seeds.rate),
        "accuracy": _spread(seeds.accuracy),
        "worst": _spread(seeds.spread(lambda run: run.worst(seeds.hold))),
        "best": _spread(seeds.spread(lambda run: run.best)),
        "final": _spread(seeds.spread(lambda run: run.final)),
        "train": _spread(seeds.spread(lambda run: run.clean_train)),
        "loss": _spread(seeds.loss),
        "runs": [run_document(run) for run in seeds.finished],
        "diverged": [
            {"seed": run.seed, "path": str(run.path), "status": run.status, "reason": run.divergence}
            for run in seeds.diverged
        ],
        "unfinished": [{"seed": run.seed, "path": str(run.path), "status": run.status} for run in seeds.unfinished],
    }


def comparison_document(comparison: Comparison) -> Document:
    """Experiments side by side, each compared with the first."""
    return {
        "subjects": [
            {
                "letter": subject.letter,
                "reference": subject.reference,
                **seeds_document(subject.seeds),
                "against_first": _contrast(subject.against) if subject.against else None,
                "missing": subject.missing,
            }
            for subject in comparison
        ]
    }


def study_document(evidence: StudyEvidence) -> Document:
    """A study: its steps with their effects, and its ablations."""
    return {
        "study": evidence.name,
        "folder": str(evidence.folder),
        "command": evidence.command,
        "extending": evidence.is_ladder,
        "steps": [_step(step, evidence) for step in evidence.steps],
        "ablations": [ablation_document(ablation) for ablation in evidence.ablations],
        "left_out": [str(path) for path in evidence.left_out],
    }


def ablation_document(ablation: Ablation) -> Document:
    """An experiment, and the effect of removing each of its components."""
    return {
        "full": seeds_document(ablation.full),
        "removals": [
            {
                "component": removal.component,
                "effect": _effect(removal.effect),
                **seeds_document(removal.seeds),
            }
            for removal in ablation.removals
        ],
        "skipped": [{"component": skipped.component, "reason": skipped.why} for skipped in ablation.skipped],
    }


def audit_document(audit: Audit) -> Document:
    """The audit of a run, beside its accuracy on the test images."""
    ends = audit.difference_interval
    return {
        "experiment": audit.experiment,
        "fingerprint": audit.fingerprint,
        "seed": audit.seed,
        "audit": _judged(audit.audit, audit.audit_interval) | {"independent": interval_document(audit.independent)},
        "test": _judged(audit.test, audit.test_interval),
        "difference": {"points": audit.difference, "interval": None if ends is None else interval_document(ends)},
        "writers": audit.writers,
        "shared_writers": audit.shared_writers,
        "classes": [{"class": number, **of_class.model_dump()} for number, of_class in enumerate(audit.classes)],
    }


def audited_seeds_document(seeds: AuditedSeeds) -> Document:
    """The audits of an experiment, and their figures over seeds."""
    return {
        "experiment": seeds.audits[0].experiment,
        "audit": _spread(seeds.audit),
        "test": _spread(seeds.test),
        "difference": _effect(seeds.difference),
        "audits": [audit_document(audit) for audit in seeds.audits],
    }


def _judged(tally: Tally, interval: AccuracyInterval) -> Document:
    return {"accuracy": float(tally.accuracy), **asdict(tally), "interval": interval_document(interval)}


def interval_document(interval: AccuracyInterval) -> Document:
    """The interval of an accuracy; `writers` is null where images were taken as independent."""
    return asdict(interval)


def predictions_document(
    run: Path,
    conventions: Conventions,
    files: Sequence[Path],
    logits: torch.Tensor,
    problems: Sequence[Problem],
    class_names: Sequence[str] | None = None,
) -> Document:
    """The predicted class of each picture, and the problems of the others; probabilities in percent, by class.

    *Arguments*: `conventions`: those by which the pictures were prepared. `logits`: (N, classes). `class_names`: None
    where the classes are numbers.
    """
    percents = (100 * logits.double().softmax(1)).tolist()
    best = [max(range(len(percent)), key=percent.__getitem__) for percent in percents]
    return {
        "run": str(run),
        "class_names": class_names and list(class_names),
        "prepared": str(conventions),
        "problems": [{"picture": str(problem.file), "problem": problem.message} for problem in problems],
        "predictions": [
            {
                "picture": str(file),
                "class": number,
                "name": class_names and class_names[number],
                "confidence": max(percent),
                "percents": percent,
            }
            for file, percent, number in zip(files, percents, best, strict=True)
        ],
    }


def dataset_document(dataset: Dataset) -> Document:
    """A dataset's statistics."""
    conventions = conventions_of(dataset)
    channels, height, width = dataset.image_shape
    return {
        "dataset": dataset.name,
        "channels": channels,
        "height": height,
        "width": width,
        "classes": dataset.classes,
        "class_names": dataset.class_names and list(dataset.class_names),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "polarity": conventions.polarity,
        "framing": conventions.framing,
        "train": _split(dataset.train, dataset.classes),
        "test": _split(dataset.test, dataset.classes),
        "notice": dataset.leakage_notice,
        "notices": list(dataset.notices),
    }


def _split(split: Split, classes: int) -> Document:
    return {"images": len(split), "by_class": split.labels.bincount(minlength=classes).tolist()}


def _budget(budget: Budget) -> Document:
    return budget.model_dump(mode="json")


def _step(step: StudyStep, evidence: StudyEvidence) -> Document:
    return {
        "step": step.name,
        **seeds_document(step.seeds),
        "reported": step.experiment.reported.model_dump(mode="json") if step.experiment.reported is not None else None,
        "epoch_seconds": step.epoch_seconds,
        "effect": _step_effect(step.change, evidence) if step.change else None,
    }


def _step_effect(change: StepEffect, evidence: StudyEvidence) -> Document:
    return {
        "against": evidence.steps[change.against].name,
        "components": list(change.components),
        "difference": _difference(change.difference),
        "accuracy": _effect(change.accuracy),
        "loss": _effect(change.loss),
        "among_all": change.among_all,
        "why_not": change.why_not,
    }


def _contrast(contrast: Contrast) -> Document:
    return {
        "components": list(contrast.components),
        "difference": _difference(contrast.difference),
        "accuracy": _effect(contrast.accuracy),
        "loss": _effect(contrast.loss),
        "why_not": contrast.why_not,
    }


def _difference(difference: Difference) -> Document:
    return {
        "settings": [
            {"setting": change.name, "before": _value(change.before), "after": _value(change.after)}
            for change in difference.settings
        ],
        "layers": list(difference.layers),
    }


def _value(text: str) -> Any:
    """The value of a setting; null where an experiment does not have it."""
    if text == ABSENT:
        return None
    try:
        value = tomllib.loads(f"value = {text.replace(',', '_')}")["value"]  # shown with separators of thousands
    except tomllib.TOMLDecodeError:
        return text
    return value if isinstance(value, int | float) else text


def _effect(effect: Effect | None) -> Document | None:
    if effect is None:
        return None
    figures = {"mean": effect.mean, "low": effect.low, "high": effect.high, "p": effect.p}
    return {"n": effect.n, **_known(figures), "measurable": effect.measurable}


def _spread(spread: Spread | None) -> Document | None:
    if spread is None:
        return None
    ends = {"low": spread.low, "high": spread.high} if spread.has_interval else {"low": math.nan, "high": math.nan}
    return {"n": spread.n, **_known({"mean": spread.mean, "deviation": spread.deviation, **ends})}


def _rate(rate: PassRate | None) -> Document | None:
    if rate is None:
        return None
    low, high = rate.interval
    return {
        "passed": rate.met, "seeds_passed": rate.passed, "seeds": rate.n, "seeds_needed": rate.needed,
        "low": 100 * low, "high": 100 * high,
    }  # fmt: skip


def _known(figures: dict[str, float]) -> dict[str, float | None]:
    """The figures, with null in place of those that too few seeds leave open: JSON has no NaN."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}
