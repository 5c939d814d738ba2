"""The part of a run's folder that is mirrored: settings, epochs, summary, divergence."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from drilldown.evaluation.records import EpochRecord
from drilldown.files import file_digest
from drilldown.runs.folder import DIVERGENCE, EXPERIMENT, RECORDS, RunFolder
from drilldown.runs.summary import RunSummary

Setting = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as its folder has it at one moment."""

    key: str
    """Names the training: fingerprint, seed, and a digest of the first epoch. A resumed run has the same key; a run
    that was repeated with `--again` has another one, because its epochs would be mixed with those before."""
    path: Path
    name: str
    """`study/step`."""
    seed: int
    settings: dict[str, Setting]
    """Name, seed, title, and the experiment's network, recipe and budget, by key path: `recipe.optimizer.lr`."""
    epochs: tuple[EpochRecord, ...]
    summary: RunSummary | None
    divergence: str | None

    @property
    def title(self) -> str:
        """`study/step, seed n`."""
        return f"{self.name}, seed {self.seed}"


def read_record(run_dir: Path, epochs: int | None = None) -> RunRecord | None:
    """Reads a run's folder; None where nothing can be mirrored yet: no epoch is saved, and the run has not diverged.

    *Arguments*: `epochs`: the number of saved epochs while the run is trained. Then only they are read, and no other
    file that the training writes. None: the training has ended.

    *Raises* DrilldownError, OSError or ValueError where the files cannot be read.
    """
    folder = RunFolder(run_dir)
    summary = folder.summary if epochs is None else None
    diverged = epochs is None and summary is None and folder.has(DIVERGENCE)
    records = folder.epochs if epochs is None else tuple(_first_epochs(run_dir / RECORDS, epochs))
    if not records and not diverged:
        return None
    experiment = (run_dir / EXPERIMENT).read_bytes()
    fingerprint = folder.named_fingerprint or file_digest(experiment)[:8]
    first = json.dumps(records[0].to_json()) if records else ""
    return RunRecord(
        key=f"{fingerprint}-{folder.seed}-{file_digest(first.encode())[:8]}",
        path=run_dir,
        name=folder.name,
        seed=folder.seed,
        settings={"name": folder.name, "seed": folder.seed, **_settings(tomllib.loads(experiment.decode()))},
        epochs=records,
        summary=summary,
        divergence=folder.divergence if diverged else None,
    )


def epoch_figures(epoch: EpochRecord) -> dict[str, float]:
    """The figures of an epoch: losses in nats, accuracies in percent, times in seconds.

    >>> from drilldown.evaluation.records import Tally
    >>> half = Tally(loss=0.7, correct=5, total=10)
    >>> epoch_figures(EpochRecord(epoch=1, lr=0.1, train=half, test=half, train_seconds=2.0, test_seconds=0.5))
    {'loss/train': 0.7, 'loss/test': 0.7, 'accuracy/train': 50.0, 'accuracy/test': 50.0, 'lr': 0.1, ...}
    """
    part = "validation" if epoch.held_out else "test"
    raw = {}
    if epoch.raw_test_correct is not None:
        raw[f"accuracy/{part}_raw"] = 100 * epoch.raw_test_correct / epoch.test.total
    return {
        "loss/train": epoch.train.loss,
        f"loss/{part}": epoch.test.loss,
        "accuracy/train": float(epoch.train.accuracy),
        f"accuracy/{part}": float(epoch.test.accuracy),
        **raw,
        "lr": epoch.lr,
        "seconds/train": epoch.train_seconds,
        "seconds/test": epoch.test_seconds,
    }


def final_figures(summary: RunSummary) -> dict[str, float]:
    """The figures of a finished run: accuracies in percent, times in seconds; `budget_met` is 0 or 1."""
    return {
        "final/parameters": summary.parameters,
        "final/epochs": summary.epochs,
        "final/seconds": summary.seconds,
        "final/best_accuracy": summary.accuracy.best,
        "final/last_accuracy": summary.accuracy.final,
        "final/mean_of_last_epochs": summary.accuracy.mean_last,
        "final/worst_of_last_epochs": min(summary.accuracy.last),
        "final/test_accuracy": float(summary.test.accuracy),
        "final/test_loss": summary.test.loss,
        "final/train_accuracy_without_augmentation": summary.clean_train_accuracy,
        "final/budget_met": int(summary.verdict.passed),
    }


def verdict_texts(summary: RunSummary) -> dict[str, str]:
    """The verdict in words: the whole, then each line of the budget; and the teacher, if the run has one."""
    lines = {line.name: line.text for line in summary.verdict.lines}
    teacher = {"teacher": summary.teacher_text} if summary.teacher_text else {}
    return {"budget": "met" if summary.verdict.passed else "not met", **lines, **teacher}


def _first_epochs(file: Path, count: int) -> Iterator[EpochRecord]:
    if count:  # before the first epoch is saved, there may be no file
        with file.open("rb") as lines:
            for line in islice(lines, count):
                yield EpochRecord.from_json(json.loads(line))


def _settings(document: dict[str, Any]) -> dict[str, Setting]:
    tables: dict[str, Any] = {name: document[name] for name in ("network", "recipe", "budget") if name in document}
    return {"title": str(document.get("title", "")), **dict(_flatten(tables))}


def _flatten(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Setting]]:
    """Key paths and values; a list of texts, such as the layers, becomes a text of several lines."""
    for key, value in table.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{path}.")
        elif isinstance(value, str | int | float):
            yield path, value
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            yield path, "\n".join(value)
        else:
            yield path, json.dumps(value, default=str)
