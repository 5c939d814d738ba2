"""The events of a training, for progress displays and loggers."""

from __future__ import annotations

from drilldown.engines.engine import Progress
from drilldown.evaluation.records import EpochRecord
from drilldown.runs.run import Run
from drilldown.training.training import Training


class Callback:
    """Is called while a run trains; override the events that you need."""

    def on_download(self, file: str, received: int, total: int | None) -> None:
        """Called while a dataset is fetched: bytes received, and bytes in total where the server tells them."""

    def on_notice(self, text: str) -> None:
        """Called with a sentence about a slow step or a decision before training begins."""

    def on_start(self, run: Run, training: Training) -> None:
        """Called when training begins, or resumes after `training.epochs`."""

    def on_progress(self, progress: Progress) -> None:
        """Called about fifty times per epoch."""

    def on_epoch_end(self, epoch: EpochRecord) -> None:
        """Called when an epoch is finished and saved."""

    def on_finish(self, run: Run) -> None:
        """Called when the run is finished and saved."""
