"""Writes a run folder while a run trains.

Records are appended to `epochs.jsonl`. Then `state.safetensors` is written whole: it is the commit point. It holds the
weights and the optimizer's buffers, and the number and the checksum of the records before it. So a commit takes the
same time after ten epochs and after ten thousand.
"""

from __future__ import annotations

import hashlib
import json

from drilldown.errors import TrainingDivergedError
from drilldown.evaluation.predictions import Evaluation
from drilldown.evaluation.records import EpochRecord, Tally, log_text
from drilldown.files import (
    append,
    explain_write_errors,
    file_digest,
    json_bytes,
    with_checksum,
    write_below,
)
from drilldown.runs.folder import (
    DIVERGENCE,
    EXPERIMENT,
    LOG,
    PARENT,
    PREDICTIONS,
    RECORDS,
    STATE,
    SUMMARY,
    WEIGHTS,
)
from drilldown.runs.run import Run
from drilldown.runs.storable import check_storable
from drilldown.runs.summarise import summarise_run
from drilldown.runs.tensor_files import Owner, tensor_bytes
from drilldown.training.training import Training
from drilldown.trust import trust_files


class RunWriter:
    """Writes the files of one run; its owner holds the run's lock.

    *Arguments*: `run`: the run's folder. `training`: the training, new or restored from the run's checkpoint.

    *Raises* DrilldownError, here and in every method, where the folder cannot be written.
    """

    def __init__(self, run: Run, training: Training) -> None:
        self.folder, self.training = run.path, training
        self.fingerprint = run.named_fingerprint or training.experiment.fingerprint
        check_storable(training, self._owner)
        before = run.checksums()
        self.files: dict[str, str] = {}
        """The SHA-256 of the files that are written once, by name."""
        self._write_experiment()
        # Written whole, without lines of epochs that have no state; it is a new file, to which links do not lead.
        records = run.records() if training.epochs else b""
        self._digest, self._size = hashlib.sha256(records), len(records)
        self._write(RECORDS, records)
        log = "".join(map(log_text, training.epochs)).encode()
        self._log_size = len(log)
        self._write(LOG, log)
        if training.epochs and self.files != before:  # the title, for instance, is another one
            self._write_state(training.epochs[-1])
        experiment = training.experiment.located(path=self.folder / EXPERIMENT, name=run.name)
        self.run = Run(self.folder, experiment, run.source)
        """The run with its experiment in memory. A user's module is then that of the folder."""

    def commit(self, epoch: EpochRecord) -> None:
        """Saves the last epoch: first its record, then the state, which makes it count."""
        line = (json.dumps(epoch.to_json()) + "\n").encode()
        with explain_write_errors(self.folder):
            append(self.folder / RECORDS, line, self._size)
            self._digest.update(line)
            self._size += len(line)
            self._write_state(epoch)
            text = log_text(epoch).encode()
            append(self.folder / LOG, text, self._log_size, durable=False)  # it can be written again
            self._log_size += len(text)

    def _write_state(self, epoch: EpochRecord) -> None:
        checkpoint = self.training.checkpoint()
        self._write(
            STATE,
            tensor_bytes(
                checkpoint.tensors,
                self._owner,
                engine=checkpoint.engine,
                threads=checkpoint.threads,
                device=checkpoint.device,
                records={"count": epoch.epoch, "bytes": self._size, "sha256": self._digest.hexdigest()},
                files=self.files,
            ),
        )

    def finish(self, test: Evaluation, clean_train: Tally) -> None:
        """Writes the judged model, its predictions and the summary; the run is finished then."""
        self.files[RECORDS] = self._digest.hexdigest()
        self._write_once(WEIGHTS, tensor_bytes(self.training.engine.model().state_dict(), self._owner))
        self._write_once(PREDICTIONS, tensor_bytes({"scores": test.logits}, self._owner))
        summary = summarise_run(self.training, test, clean_train, self.fingerprint, self.files)
        self._write(SUMMARY, json_bytes(with_checksum(summary.to_json())))

    def diverge(self, error: TrainingDivergedError) -> None:
        """Writes that the training diverged, and why."""
        owner = {"fingerprint": self.fingerprint, "seed": self.training.seed}
        self._write(DIVERGENCE, json_bytes(with_checksum({"reason": str(error), **owner})))

    @property
    def _owner(self) -> Owner:
        training = self.training
        return Owner(
            fingerprint=self.fingerprint,
            seed=training.seed,
            epoch=len(training.epochs),
            versions=training.versions,
        )

    def _write_experiment(self) -> None:
        experiment = self.training.experiment
        self._write_once(EXPERIMENT, experiment.to_toml().encode())
        if experiment.parent is not None:
            self._write_once(PARENT, experiment.parent.to_toml().encode())
        files = experiment.code_files
        for name, content in files.items():
            self._write_once(name, content)
        trust_files(files.values())  # this machine trains them now

    def _write_once(self, name: str, content: bytes) -> None:
        self.files[name] = file_digest(content)
        self._write(name, content)

    def _write(self, name: str, content: bytes) -> None:
        with explain_write_errors(self.folder):
            write_below(self.folder, name, content)
