"""A pool that computes results by a formula and writes them as run folders: searches of hundreds of candidates."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drilldown.evaluation.records import EpochRecord, Tally
from drilldown.evaluation.verdict import judge
from drilldown.files import file_digest, json_bytes, with_checksum
from drilldown.runs.folder import DIVERGENCE, RECORDS, SUMMARY
from drilldown.runs.pool import Outcome, Task
from drilldown.runs.summary import AccuracyFigures, Normalisation, RunSummary
from drilldown.search.callback import SearchCallback
from drilldown.search.journal import read_journal
from drilldown.search.reading import SearchFile, read_search
from drilldown.search.running import run_search, search_folder
from drilldown.search.state import Candidate, SearchState, Trial
from drilldown.settings import Folders

IMAGES = 1000
SPACE = """\
w1 = { int = [2, 12] }
w2 = { int = [2, 24] }
"recipe.optimizer.lr" = { float = [0.01, 1.0], log = true }
"""
SEARCH = """\
title = "A stand-in"
[search]
goal = "{goal}"
candidates = {candidates}
confirm = {{ rate = 0.8, most = 20 }}
[space]
{space}
[network]
layers = ["conv 3x3 {{w1}}, relu, maxpool 2, conv 3x3 {{w2}}, relu", "gap, linear 10"]
[recipe]
dataset = "glyphs"
epochs = 1
holdout = {images}
optimizer = {{ name = "sgd", lr = 0.1 }}
[budget]
parameters = {limit}
hold = 1
{accuracy}
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What a training gives; `ending`: "diverged" and "failed" have no loss."""

    loss: float = 0.0
    ending: str = "finished"
    seconds: float = 1.0


Formula = Callable[[Task], Result]


def learning_curve(task: Task) -> Result:
    """The loss falls with the parameters and is lowest at lr = 0.1; seeds differ by some percent."""
    lr, parameters = task.experiment.recipe.optimizer.lr, task.experiment.model_summary.parameters
    noise = random.Random(f"{task.experiment.fingerprint} {task.seed}").gauss(0, 0.05)
    return Result((0.05 + 40 / parameters + 0.1 * math.log10(lr / 0.1) ** 2) * math.exp(noise))


def correct_for(loss: float) -> int:
    """The correct predictions of `IMAGES` at a loss: 900 at 0.1."""
    return max(0, min(IMAGES, round(IMAGES * (1 - loss))))


class StandInPool:
    """Trains nothing: results come from a formula, in a random order where it has several slots."""

    def __init__(self, formula: Formula = learning_curve, slots: int = 1, order: int = 0) -> None:
        self.formula, self.slots = formula, slots
        self.random = random.Random(order)
        self.submitted: list[Task] = []
        self.trained: list[tuple[str, int]] = []
        """Fingerprint and seed of each training, in the order in which they ended."""

    def submit(self, task: Task) -> None:
        assert len(self.submitted) < self.slots
        assert not task.ended
        self.submitted.append(task)

    def wait(self, seconds: float) -> list[Outcome]:  # noqa: ARG002
        task = self.submitted.pop(self.random.randrange(len(self.submitted)))
        result = self.formula(task)
        self.trained.append((task.experiment.fingerprint, task.seed))
        if result.ending == "finished":
            write_finished(task, result)
        elif result.ending == "diverged":
            write_diverged(task)
        return [Outcome(task, result.ending, "" if result.ending == "finished" else "a reason")]  # type: ignore[arg-type]


class StoppingPool(StandInPool):
    """Ends like Ctrl-C in the middle of a training, after a number of trainings."""

    def __init__(self, after: int, **options: Any) -> None:
        super().__init__(**options)
        self.after = after

    def wait(self, seconds: float) -> list[Outcome]:
        if len(self.trained) == self.after:
            raise KeyboardInterrupt
        return super().wait(seconds)


def write_finished(task: Task, result: Result) -> None:
    """Writes a finished run, as far as a search reads it."""
    experiment, folder = task.experiment, task.run.path
    folder.mkdir(parents=True, exist_ok=True)
    tally = Tally(result.loss, correct_for(result.loss), IMAGES)
    epoch = EpochRecord(
        epoch=1, lr=0.1, train=tally, test=tally, held_out=True, train_seconds=result.seconds, test_seconds=0.0
    )
    records = json_bytes(epoch.to_json()).replace(b"\n", b"") + b"\n"
    (folder / RECORDS).write_bytes(records)
    accuracy = float(tally.accuracy)
    parameters = experiment.model_summary.parameters
    summary = RunSummary(
        experiment=experiment.name, seed=task.seed, fingerprint=experiment.fingerprint, parameters=parameters,
        epochs=1, engine="native", device="cpu", threads=1, seconds=result.seconds,
        accuracy=AccuracyFigures(best=accuracy, final=accuracy, last=(accuracy,), mean_last=accuracy),
        last_correct=(tally.correct,), total=IMAGES, test=tally, files={RECORDS: file_digest(records)},
        normalisation=Normalisation(mean=(0.1,), std=(0.3,)), clean_train_correct=1, clean_train_total=1,
        verdict=judge(experiment.budget, parameters, [epoch]),
    )  # fmt: skip
    (folder / SUMMARY).write_bytes(json_bytes(with_checksum(summary.to_json())))


def write_diverged(task: Task) -> None:
    task.run.path.mkdir(parents=True, exist_ok=True)
    owner = {"fingerprint": task.experiment.fingerprint, "seed": task.seed}
    (task.run.path / DIVERGENCE).write_bytes(json_bytes(with_checksum({"reason": "the loss is nan", **owner})))


def write_search(
    folder: Path, *, goal: str = "best", candidates: int = 30, limit: int = 2000, accuracy: float | None = 85.0,
    space: str = SPACE,
) -> Path:  # fmt: skip
    """Writes a search file; 85 % needs a loss below 0.15."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "stand.toml"
    budget = "" if accuracy is None else f"accuracy = {accuracy}"
    file.write_text(
        SEARCH.format(
            goal=goal, candidates=candidates, limit=limit, accuracy=budget, space=space, images=IMAGES
        )
    )  # fmt: skip
    return file


class Listener(SearchCallback):
    """Records what a search tells."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def on_candidate(self, candidate: Candidate) -> None:
        self.told.append(("candidate", candidate.number))

    def on_result(self, candidate: Candidate, seed: int) -> None:
        self.told.append(("result", (candidate.number, seed)))

    def on_trial(self, trial: Trial) -> None:
        self.told.append(("trial", trial.decision))

    def on_limit(self, limit: int, reason: str) -> None:  # noqa: ARG002
        self.told.append(("limit", limit))

    def on_wait(self, task: Task) -> None:
        self.told.append(("wait", str(task)))


def search_with(
    file: Path, pool: StandInPool, *overrides: str, runs: Path | None = None, deterministic: bool = False,
    listener: SearchCallback | None = None,
) -> tuple[SearchState, list[dict[str, Any]]]:  # fmt: skip
    """Runs a search beside its file; returns its state, and its events without the clock."""
    search = read_search(file, overrides)
    folders = Folders(runs=runs or file.parent / "runs")
    state = run_search(search, pool, listener or SearchCallback(), folders=folders, deterministic=deterministic)
    return state, events_of(search, folders.runs)


def events_of(search: SearchFile, runs: Path) -> list[dict[str, Any]]:
    """The events of a search's journal, without the clock."""
    events = read_journal(search_folder(search, runs))
    return [{key: value for key, value in event.items() if key != "clock"} for event in events]
