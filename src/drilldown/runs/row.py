"""A run as a row of a table, for `runs --csv`. Reading it needs no PyTorch."""

from __future__ import annotations

from datetime import UTC, datetime

from drilldown.errors import DrilldownError
from drilldown.runs.folder import DAMAGED, DIVERGED, RunFolder
from drilldown.runs.summary import RunSummary

Cell = str | int | float | bool | None
"""None where there is nothing to say."""

RUN_COLUMNS = (
    "path", "status", "experiment", "title", "seed", "fingerprint", "parameters", "epochs", "split", "mean_last",
    "worst_last", "best", "final", "correct", "images", "test", "test_correct", "test_images", "test_loss", "train",
    "train_correct", "train_images", "budget_met", "seconds", "written", "engine", "device", "threads", "host",
    "processor", "drilldown", "torch", "python", "teacher",
    "problem",
)  # fmt: skip
"""The columns of `runs --csv`; the reference page "JSON and CSV" explains them."""


def run_row(run: RunFolder) -> dict[str, Cell]:
    """The figures of a run by column; of an unfinished run those that it has, of a damaged run the problem."""
    row: dict[str, Cell] = dict.fromkeys(RUN_COLUMNS)
    row.update(path=str(run.path), status=DAMAGED)
    try:
        summary = run.summary
        row.update(experiment=run.name, seed=run.seed, written=date_text(run.modified))
        row.update(_unfinished(run) if summary is None else _finished(summary))
        row.update(status=run.status)
    except DrilldownError as error:
        row.update(problem=str(error))
    return row


def date_text(seconds: float) -> str:
    """A time as text, in UTC; `seconds`: since 1970.

    >>> date_text(0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _finished(summary: RunSummary) -> dict[str, Cell]:
    accuracy, test, machine = summary.accuracy, summary.test, summary.machine
    return {
        "experiment": summary.experiment,
        "title": summary.title,
        "fingerprint": summary.fingerprint,
        "parameters": summary.parameters,
        "epochs": summary.epochs,
        "split": summary.verdict.split,
        "mean_last": accuracy.mean_last,
        "worst_last": min(accuracy.last),
        "best": accuracy.best,
        "final": accuracy.final,
        "correct": summary.last_correct[-1] if summary.last_correct else None,
        "images": summary.total,
        "test": float(test.accuracy),
        "test_correct": test.correct,
        "test_images": test.total,
        "test_loss": test.loss,
        "train": summary.clean_train_accuracy,
        "train_correct": summary.clean_train_correct,
        "train_images": summary.clean_train_total,
        "budget_met": summary.verdict.passed,
        "seconds": summary.seconds,
        "engine": summary.engine,
        "device": summary.device,
        "threads": summary.threads,
        "host": machine.host if machine else None,
        "processor": machine.processor if machine else None,
        **{name: summary.versions.get(name) for name in ("drilldown", "torch", "python")},
        "teacher": summary.teacher_text,
    }


def _unfinished(run: RunFolder) -> dict[str, Cell]:
    epochs = run.epochs
    row: dict[str, Cell] = {"epochs": len(epochs)}
    if run.status == DIVERGED:
        row.update(budget_met=False, problem=run.divergence)
    if epochs:
        last = epochs[-1].test
        row.update(split="validation" if epochs[-1].held_out else "test", final=float(last.accuracy))
        row.update(correct=last.correct, images=last.total, best=float(max(epoch.test.accuracy for epoch in epochs)))
        row.update(seconds=round(sum(epoch.train_seconds + epoch.test_seconds for epoch in epochs), 3))
    return row
