"""What a worker on another machine does: one training in a temporary folder, which goes back as an archive."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from drilldown.data.catalogue import is_dataset_path
from drilldown.data.travel import OWN, TEACHER, place_dataset
from drilldown.errors import DrilldownError, Problem, TrainingDivergedError
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import read_experiment
from drilldown.files import write_below
from drilldown.runs.perform import perform
from drilldown.runs.pool import Ending
from drilldown.runs.run import Run
from drilldown.settings import Compute, Folders
from drilldown.workers.archive import pack_run, unpack_run
from drilldown.workers.cluster import report_event, worker_folder
from drilldown.workers.training import EventSender, Reply

THREADS = "DRILLDOWN_WORKER_THREADS"
"""The environment variable with the CPU threads of a worker's trainings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteJob:
    """A task for a worker on another machine."""

    key: str
    name: str
    """`study/step`."""
    fingerprint: str
    seed: int
    files: dict[str, bytes]
    """The experiment as `step.toml`, its parent, and the files of the user's module."""
    dataset: str
    """As the experiment names it: a name, or the path of a folder on the driver's machine."""
    teacher: str | None
    """The path of the teacher's file on the driver's machine; None without one."""
    data_key: str
    """Names the files of the dataset."""
    compute: Compute
    saved: bytes
    """The archive of an interrupted run; empty where none has begun."""


def train_remotely(job: RemoteJob, dataset: dict[str, bytes]) -> Reply:
    """Trains in a temporary folder; the folder of the run comes back as an archive.

    *Arguments*: `dataset`: the files of the dataset, see `drilldown.data.travel.dataset_files`.

    *Raises* DrilldownError where this worker reads the experiment differently.
    """
    folder = Path(worker_folder()) / "task"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    report_event({"key": job.key, "epoch": None})
    try:
        data_dir = _store(job, dataset)
        for name, content in job.files.items():
            write_below(folder, name, content)
        experiment = read_experiment(folder / "step.toml", name=job.name)
        if "parent.toml" in job.files:
            experiment = experiment.located(parent=read_experiment(folder / "parent.toml"))
        if experiment.fingerprint != job.fingerprint:
            raise DrilldownError(
                Problem(
                    found=f"a worker reads {job.name} as experiment {experiment.fingerprint}",
                    expected=f"{job.fingerprint}, as this machine reads it",
                )
            )
        run = Run.of(experiment, job.seed, folder / "runs")
        if job.saved:
            unpack_run(job.saved, run.path, experiment)
        reply = _perform(experiment, run, job, Folders(data=data_dir, runs=folder / "runs"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return reply


def _perform(experiment: Experiment, run: Run, job: RemoteJob, folders: Folders) -> Reply:
    ending: Ending = "finished"
    reason = ""
    compute = replace(job.compute, threads=job.compute.threads or int(os.environ.get(THREADS, "1")))
    try:
        perform(
            experiment, seed=job.seed, run_dir=run.path, compute=compute, folders=folders,
            callback=EventSender(job.key),
        )  # fmt: skip
    except TrainingDivergedError as error:
        ending, reason = "diverged", str(error)
    return Reply(ending, reason, pack_run(run.path, experiment))


def _store(job: RemoteJob, dataset: dict[str, bytes]) -> Path:
    """Writes the files of a dataset once for all tasks of this worker; returns the folder that holds datasets."""
    folder = Path(worker_folder()) / "data" / job.data_key
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, content in dataset.items():
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_bytes(content)
        partial.rename(folder)
    if is_dataset_path(job.dataset):
        place_dataset(job.dataset, folder / OWN)
    if job.teacher is not None:
        place_dataset(job.teacher, folder / TEACHER)
    return folder
