"""Weights & Biases: one of its runs per run; where and as whom, its own settings say (`WANDB_…`, `wandb login`)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import wandb

from drilldown.evaluation.records import EpochRecord
from drilldown.runs.summary import RunSummary
from drilldown.tracking.record import RunRecord, epoch_figures, final_figures, verdict_texts
from drilldown.tracking.tracker import TrackedRun, Tracker, command_path

COMPLETE = "complete"
"""A file in the folder of an offline run, once it has all of the run."""


class WeightsAndBiases(Tracker):
    """Opens runs by their key as `id`."""

    def open(self, run: RunRecord) -> TrackedRun | None:
        """Resumes the run on the server; offline, where none can be read, it is written again from its beginning."""
        folders = Path(wandb.setup().settings.wandb_dir)
        before = list(folders.glob(f"offline-run-*-{run.key}"))
        if wandb.setup().settings.mode == "offline" and any((folder / COMPLETE).exists() for folder in before):
            return None
        opened = wandb.init(
            id=run.key,
            project=os.environ.get("WANDB_PROJECT") or "drilldown",
            group=os.environ.get("WANDB_RUN_GROUP") or run.name,
            name=run.title,
            config=run.settings,
            resume="allow",
            reinit="create_new",  # several runs may be trained at once
            settings=wandb.Settings(
                console="off",
                disable_code=True,
                disable_git=True,
                silent=True,
                x_disable_stats=True,  # they would describe the mirror's process, not the training
                x_save_requirements=False,
            ),
        )
        if not opened.offline:
            return _Run(opened, f"mirrored to {opened.url}")
        for folder in before:
            shutil.rmtree(folder, ignore_errors=True)
        return _Run(opened, f"mirrored offline; upload with: wandb sync {command_path(folders, 'offline-run-*')}")


class _Run(TrackedRun):
    def __init__(self, run: wandb.Run, place: str) -> None:
        self._run, self.place = run, place
        self.epochs = max(0, run.starting_step - 1) if run.resumed else 0

    def add(self, epochs: Sequence[EpochRecord]) -> None:
        for epoch in epochs:
            self._run.log({"epoch": epoch.epoch, **epoch_figures(epoch)}, step=epoch.epoch)
        self.epochs += len(epochs)

    def finish(self, summary: RunSummary) -> None:
        self._run.summary.update(final_figures(summary))
        self._run.summary.update({f"verdict/{name}": text for name, text in verdict_texts(summary).items()})
        self._run.finish()
        if self._run.offline:
            (Path(self._run.dir).parent / COMPLETE).touch()

    def fail(self, reason: str) -> None:
        self._run.summary.update({"verdict/budget": f"diverged: {reason}"})
        self._run.finish(exit_code=1)

    def interrupt(self) -> None:
        self._run.finish(exit_code=1)


create = WeightsAndBiases
