"""What a worker does that shares the driver's disk: one training, in the run's own folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drilldown.engines.engine import Progress
from drilldown.errors import TrainingDivergedError
from drilldown.evaluation.records import EpochRecord
from drilldown.experiment.experiment import Experiment
from drilldown.runs.callback import Callback
from drilldown.runs.folder import FINISHED, RunBusyError
from drilldown.runs.perform import perform
from drilldown.runs.pool import Ending
from drilldown.runs.run import Run
from drilldown.settings import Compute, Folders
from drilldown.training.training import Training
from drilldown.trust import trust_all
from drilldown.workers.cluster import report_event, stop_if_cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A task for a worker that shares the driver's disk."""

    key: str
    experiment: Experiment
    seed: int
    run_dir: Path
    compute: Compute
    folders: Folders
    again: bool
    trusts_all: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """How a task ended, and what comes back."""

    ending: Ending
    reason: str = ""
    archive: bytes = b""
    """The run's folder, from a worker on another machine."""


class EventSender(Callback):
    """Sends the events of a run to its driver, and ends a run for which no driver waits any more."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.trained = False
        """Whether the run was trained to its end here, and not by another process in the meantime."""

    def on_notice(self, text: str) -> None:
        """Sends the sentence."""
        report_event({"key": self.key, "notice": text})

    def on_start(self, run: Run, training: Training) -> None:  # noqa: ARG002
        """Sends the last saved epoch of a run that is resumed."""
        self._send(training.epochs[-1] if training.epochs else None)

    def on_progress(self, progress: Progress) -> None:  # noqa: ARG002
        """Ends the run if no driver waits for it."""
        stop_if_cancelled()

    def on_epoch_end(self, epoch: EpochRecord) -> None:
        """Sends the record."""
        stop_if_cancelled()
        self._send(epoch)

    def on_finish(self, run: Run) -> None:  # noqa: ARG002
        """Notes that the run was trained here."""
        self.trained = True

    def _send(self, epoch: EpochRecord | None) -> None:
        report_event({"key": self.key, "epoch": None if epoch is None else epoch.to_json()})


def train_in_place(job: Job) -> Reply:
    """Trains in the run's own folder; whichever process trains a run holds its lock."""
    if job.trusts_all:
        trust_all()
    if not job.again and Run(job.run_dir).status == FINISHED:  # another driver was quicker
        return Reply("busy")
    report_event({"key": job.key, "epoch": None})
    sender = EventSender(job.key)
    try:
        perform(
            job.experiment, seed=job.seed, run_dir=job.run_dir, compute=job.compute, folders=job.folders,
            again=job.again, callback=sender,
        )  # fmt: skip
    except TrainingDivergedError as error:
        return Reply("diverged", str(error))
    except RunBusyError:
        return Reply("busy")
    return Reply("finished" if sender.trained else "busy")
