"""The interface of all trackers, and their names. A tracker needs a package that is an extra of drilldown."""

from __future__ import annotations

import os
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from drilldown.errors import DrilldownError, Problem, did_you_mean, quoted
from drilldown.evaluation.records import EpochRecord
from drilldown.runs.summary import RunSummary
from drilldown.tracking.record import RunRecord


class TrackedRun(ABC):
    """One run in a tracker."""

    epochs: int
    """The number of epochs that the tracker has."""
    place: str
    """Where the user finds it, as a sentence."""

    @abstractmethod
    def add(self, epochs: Sequence[EpochRecord]) -> None:
        """Adds the figures of the epochs that follow."""

    @abstractmethod
    def finish(self, summary: RunSummary) -> None:
        """Adds the summary and the verdict, and closes the run."""

    @abstractmethod
    def fail(self, reason: str) -> None:
        """Closes the run: it diverged."""

    @abstractmethod
    def interrupt(self) -> None:
        """Closes the run: its training was interrupted, and may be resumed."""


class Tracker(ABC):
    """A tracker in its own process; see `drilldown.tracking.process`. All methods may raise any exception."""

    @abstractmethod
    def open(self, run: RunRecord) -> TrackedRun | None:
        """Opens the run that has this record's key, or creates it; None where the tracker has all of it."""


def command_path(path: Path, *parts: str) -> str:
    """A path for a command to copy: short where it is in the working folder, and quoted where it must be."""
    short = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return "/".join([shlex.quote(str(short)), *parts])


@dataclass(frozen=True, slots=True)
class TrackerInfo:
    """A tracker that `--track` knows."""

    title: str
    module: str
    """The module of this package that has its `Tracker`, under the name `create`."""
    environment: dict[str, str] = field(default_factory=dict)
    """Environment variables for its package, where the user has not set them: a mirror reports to nobody but the
    tracker, and does not try for minutes to reach a server."""

    def create(self) -> Tracker:
        """Creates the tracker in this process; raises ImportError where its package is not installed."""
        for name, value in self.environment.items():
            os.environ.setdefault(name, value)
        tracker = import_module(self.module).create()
        assert isinstance(tracker, Tracker)
        return tracker


TRACKERS = {
    "tensorboard": TrackerInfo("TensorBoard", "drilldown.tracking.tensorboard"),
    "mlflow": TrackerInfo(
        "MLflow",
        "drilldown.tracking.mlflow",
        {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        },
    ),
    "wandb": TrackerInfo(
        "Weights & Biases",
        "drilldown.tracking.wandb",
        {"WANDB_ERROR_REPORTING": "false", "WANDB_INIT_TIMEOUT": "30"},
    ),
}
"""All trackers, by the name that `--track` takes. The extra of the package has the same name."""


def check_trackers(names: Iterable[str], place: str | None = None) -> tuple[str, ...]:
    """Returns the names, each once.

    *Arguments*: `place`: the option that named them.

    *Raises* DrilldownError where one is unknown.

    >>> check_trackers(["mlflow", "tensorbord"])
    Traceback (most recent call last):
    drilldown.errors.DrilldownError: found "tensorbord"; expected "tensorboard", "mlflow", "wandb"; did you mean ...
    """
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in TRACKERS:
            raise DrilldownError(
                Problem(
                    place=place,
                    found=f'found "{name}"',
                    expected=quoted(TRACKERS),
                    suggestion=did_you_mean(name, TRACKERS),
                )
            )
    return names
