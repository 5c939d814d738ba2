"""TensorBoard: event files in `RUNS/tensorboard/study/step-fingerprint/seed-n`.

The writer of the package `tensorboard` needs neither TensorFlow nor PyTorch. It is used without its thread, which would
report a full disk too late.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from drilldown.evaluation.records import EpochRecord
from drilldown.runs.folder import RunFolder
from drilldown.runs.summary import RunSummary
from drilldown.tracking.record import RunRecord, Setting, epoch_figures, final_figures, verdict_texts
from drilldown.tracking.tracker import TrackedRun, Tracker, command_path

_numbers = itertools.count()


class TensorBoard(Tracker):
    """Writes one event file per run."""

    def open(self, run: RunRecord) -> TrackedRun:
        """Begins a new event file, and removes the one before: the file is written again from the run's records.

        So a file that was damaged is mended, no epoch is in two files, and a training that was repeated replaces the
        one before, as it does in the run's folder.
        """
        place = run.path.resolve()
        runs_dir = place.parents[2] if RunFolder(place).named_fingerprint else place.parent  # of a copy that was moved
        top = runs_dir / "tensorboard"
        folder = top / place.relative_to(runs_dir)
        folder.mkdir(parents=True, exist_ok=True)
        before = list(folder.glob("events.out.tfevents.*"))
        shown = command_path(top)
        tracked = _EventFile(folder, run, f"mirrored to {shown}; show it with: tensorboard --logdir {shown}")
        for file in before:
            file.unlink(missing_ok=True)
        return tracked


class _EventFile(TrackedRun):
    def __init__(self, folder: Path, run: RunRecord, place: str) -> None:
        self.place = place
        name = f"events.out.tfevents.{int(time.time())}.{platform.node()}.{os.getpid()}.{next(_numbers)}"
        self._file = folder / name
        self._writer = RecordWriter(self._file.open("xb"))
        self.epochs = 0
        try:
            self._write(Event(file_version="brain.Event:2"))
            self._write(Event(summary=hparams_pb(run.settings, trial_id=run.key)))
            self._write(Event(summary=text_pb("settings", _table(run.settings))))
            self.add(run.epochs)
        except BaseException:  # on a full disk, parts of files would add up
            with contextlib.suppress(OSError):
                self._writer.close()
            self._file.unlink(missing_ok=True)
            raise

    def add(self, epochs: Sequence[EpochRecord]) -> None:
        for epoch in epochs:
            self._write_figures(epoch_figures(epoch), epoch.epoch)
        self._writer.flush()
        self.epochs += len(epochs)

    def finish(self, summary: RunSummary) -> None:
        self._write_figures(final_figures(summary), summary.epochs)
        self._write(Event(summary=text_pb("verdict", _table(verdict_texts(summary))), step=summary.epochs))
        self._writer.close()

    def fail(self, reason: str) -> None:
        self._write(Event(summary=text_pb("verdict", f"diverged: {reason}"), step=self.epochs))
        self._writer.close()

    def interrupt(self) -> None:
        self._writer.close()

    def _write_figures(self, figures: dict[str, float], step: int) -> None:
        """Writes all figures as one event: it is in the file whole or not at all."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._write(Event(summary=Summary(value=values), step=step))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._writer.write(event.SerializeToString())


def _table(values: dict[str, Setting] | dict[str, str]) -> str:
    """A Markdown table."""
    rows = [
        f"| {name} | {str(value).replace('|', '&#124;').replace(chr(10), '<br>')} |" for name, value in values.items()
    ]
    return "\n".join(["| name | value |", "| --- | --- |", *rows])


create = TensorBoard
