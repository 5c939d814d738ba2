"""MLflow: one MLflow run per run, on the server or in the file that MLflow's own settings name."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from drilldown.evaluation.records import EpochRecord
from drilldown.runs.summary import RunSummary
from drilldown.tracking.record import RunRecord, epoch_figures, final_figures, verdict_texts
from drilldown.tracking.tracker import TrackedRun, Tracker

KEY_TAG = "drilldown.key"
MARK = "epoch"
"""The last metric of each epoch; the number of its points is the number of epochs that MLflow has."""
BATCH = 50
"""Epochs per request: MLflow accepts 1,000 values."""
MOST_PARAMETERS = 100
"""Per request."""
LONGEST_VALUE = 6000
"""Of a parameter, in characters."""


class MLflow(Tracker):
    """Finds runs by a tag with their key."""

    def __init__(self) -> None:
        self._client = MlflowClient()

    def open(self, run: RunRecord) -> TrackedRun | None:
        """Searches the run; creates it with its settings where there is none."""
        place = f"mirrored to {self._client.tracking_uri}"
        experiment = self._experiment()
        found = self._client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{run.key}'", max_results=1)
        if not found:
            return _Run(self._client, self._create(experiment, run), 0, place)
        info = found[0].info
        if info.status in ("FINISHED", "FAILED"):
            return None
        if info.status != "RUNNING":
            self._client.update_run(info.run_id, status="RUNNING")
        epochs = {point.step for point in self._client.get_metric_history(info.run_id, MARK)}
        return _Run(self._client, info.run_id, len(epochs), place)

    def _create(self, experiment: str, run: RunRecord) -> str:
        tags = {KEY_TAG: run.key, "drilldown.run": str(run.path)}
        run_id = str(self._client.create_run(experiment, tags=tags, run_name=run.title).info.run_id)
        params = [Param(_name(key), str(value)[:LONGEST_VALUE]) for key, value in run.settings.items()]
        for start in range(0, len(params), MOST_PARAMETERS):
            self._client.log_batch(run_id, params=params[start : start + MOST_PARAMETERS])
        return run_id

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "drilldown"
        experiment = self._client.get_experiment_by_name(name)
        return str(experiment.experiment_id if experiment else self._client.create_experiment(name))


class _Run(TrackedRun):
    def __init__(self, client: MlflowClient, run_id: str, epochs: int, place: str) -> None:
        self._client, self._run_id, self.epochs, self.place = client, run_id, epochs, place

    def add(self, epochs: Sequence[EpochRecord]) -> None:
        for start in range(0, len(epochs), BATCH):
            part = epochs[start : start + BATCH]
            self._log([({**epoch_figures(epoch), MARK: epoch.epoch}, epoch.epoch) for epoch in part])
            self.epochs += len(part)

    def finish(self, summary: RunSummary) -> None:
        self._log([(final_figures(summary), summary.epochs)])
        for name, text in verdict_texts(summary).items():
            self._client.set_tag(self._run_id, f"verdict.{_name(name)}", text)
        self._client.set_terminated(self._run_id, "FINISHED")

    def fail(self, reason: str) -> None:
        self._client.set_tag(self._run_id, "verdict.budget", f"diverged: {reason}")
        self._client.set_terminated(self._run_id, "FAILED")

    def interrupt(self) -> None:
        self._client.set_terminated(self._run_id, "KILLED")

    def _log(self, points: Sequence[tuple[dict[str, float], int]]) -> None:
        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, step) for figures, step in points for name, value in figures.items()]
        self._client.log_batch(self._run_id, metrics=metrics)


def _name(name: str) -> str:
    """The name with the characters that MLflow accepts."""
    return re.sub(r"[^\w\-. /]", "_", name)


create = MLflow
