"""The pool of a crew: tasks go to other machines, and run folders come back."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from drilldown.data.catalogue import is_dataset_path
from drilldown.data.travel import OWN, TEACHER, dataset_files
from drilldown.experiment.experiment import Experiment
from drilldown.runs.folder import FINISHED, RunBusyError
from drilldown.runs.pool import PoolCallback, Task
from drilldown.settings import Compute, EngineName, Folders
from drilldown.training.choice import choose_engine
from drilldown.trust import trust_files
from drilldown.workers.archive import pack_run, unpack_run
from drilldown.workers.cluster import Cluster, DisconnectedError, Member, connect
from drilldown.workers.crew import abilities, no_answer, read_crew, versions_text
from drilldown.workers.pool import ClusterPool
from drilldown.workers.remote import RemoteJob, train_remotely
from drilldown.workers.training import Reply


@dataclass(slots=True, kw_only=True)
class _Sent:
    """A task that is out."""

    lock: contextlib.ExitStack
    """Holds the lock of its run."""
    job: RemoteJob
    dataset: _Shared
    needs: set[str]


@dataclass(slots=True)
class _Shared:
    """The files of a dataset, and the handle for them in a cluster."""

    key: str
    contents: dict[str, bytes]
    cluster: Cluster | None = None
    handle: Any = None

    def sent_to(self, cluster: Cluster) -> Any:
        """The handle of the files in this cluster: they go to its scheduler once, and to each worker once."""
        if self.cluster is not cluster:
            self.cluster, self.handle = cluster, cluster.share(f"data-{self.key}", self.contents)
        return self.handle


class CrewPool(ClusterPool):
    """Trains tasks on the machines of a crew; only this process writes the folder of runs.

    It holds the lock of each run that is out, so that no other process on this disk trains it.

    *Raises* DrilldownError where the crew's file cannot be read, or its scheduler does not answer.
    """

    def __init__(
        self,
        file: Path,
        compute: Compute,
        folders: Folders,
        callback: PoolCallback,
        *,
        again: bool,
        keep_going: bool = False,
    ) -> None:
        self.file, self.crew = file, read_crew(file)
        self.compute, self.folders, self.again = compute, folders, again
        self._sent: dict[str, _Sent] = {}
        self._engines: dict[str, EngineName] = {}
        """The engine of each experiment, by its fingerprint."""
        self._datasets: dict[str, _Shared] = {}
        """By the paths and times of change of their files."""
        self._told = ""
        try:
            super().__init__(lambda: connect(self.crew.address, self.crew.security), callback, keep_going=keep_going)
        except DisconnectedError:
            raise no_answer(self.crew, file) from None

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        for sent in reversed(self._sent.values()):  # the first one made the folders that all of them share
            sent.lock.close()

    def look_around(self) -> list[Member]:
        """Asks which workers are there, and says why none can train."""
        members = super().look_around()
        text = self._lack(members)
        if text and text != self._told:
            self.callback.on_notice(text)
        self._told = text
        return members

    def _lack(self, members: Sequence[Member]) -> str:
        """Says what the crew lacks; empty where nothing is lacking."""
        if not members:
            return f"the crew has no workers; start some with drilldown worker {self.file}"
        if not self.slots:
            return f"no worker of the crew has {versions_text()}, as this machine has"
        for key, sent in self._sent.items():
            if not any(sent.needs <= set(member.abilities) for member in members):
                lacking = ", ".join(sorted(sent.needs - {versions_text()}))
                return f"no worker of the crew can train {self._tasks[key]} now: it needs {lacking}"
        return ""

    def usable(self, member: Member) -> bool:
        """Whether a worker has the versions of this driver."""
        return versions_text() in member.abilities

    def send(self, key: str, task: Task) -> None:
        """Locks the run and sends the experiment, its module, its dataset, and the state that is saved."""
        with contextlib.ExitStack() as lock:
            try:
                lock.enter_context(task.run.lock())
            except RunBusyError:
                self.end_early(key, "busy")
                return
            if task.run.status == FINISHED and not self.again:  # another process was quicker
                self.end_early(key, "busy")
                return
            if task.run.named_fingerprint not in (None, task.experiment.fingerprint):
                self.end_early(key, "failed", f"{task.run.path} is of version 0.1; train it without --on")
                return
            engine = self._engine(task.experiment)
            dataset = self._dataset(task.experiment)
            needs = abilities(native=engine == "native", cuda=self.compute.device == "cuda")
            job = self._job(key, task, engine, dataset.key)
            self._sent[key] = _Sent(lock=lock.pop_all(), job=job, dataset=dataset, needs=set(needs))
        self.send_again(key, task)

    def send_again(self, key: str, task: Task) -> None:  # noqa: ARG002
        """Submits the job, also a second time to a scheduler that answers again: the run is still locked."""
        sent = self._sent[key]
        self.cluster.submit(key, train_remotely, sent.job, sent.dataset.sent_to(self.cluster), needs=sorted(sent.needs))

    def lost_text(self) -> str:
        """Says which command starts the crew again."""
        return (
            f"the crew at {self.crew.address} does not answer; waiting for it. "
            f"Start it again there with drilldown crew start --file {self.file}"
        )

    def receive(self, key: str, task: Task, reply: Reply) -> None:
        """Writes the run's folder and releases its lock."""
        try:
            unpack_run(reply.archive, task.run.path, task.experiment, before=task.run.clear if self.again else None)
        finally:
            self.give_up(key)

    def give_up(self, key: str) -> None:
        """Releases the lock of a run that is not out any more."""
        self._sent.pop(key).lock.close()

    def _engine(self, experiment: Experiment) -> EngineName:
        """The engine that trains the experiment: the driver decides it, once."""
        if self.compute.device == "cuda" and self.compute.engine != "native":  # this machine may have no GPU
            return "torch"
        if experiment.fingerprint not in self._engines:
            dataset = experiment.recipe.load_dataset(self.folders.data, on_download=self.callback.on_download)
            self._engines[experiment.fingerprint] = choose_engine(
                experiment, dataset, 0, name=self.compute.engine, threads=1, on_notice=self.callback.on_notice,
                device=torch.device("cuda" if self.compute.device == "cuda" else "cpu"),
            ).name  # fmt: skip
        return self._engines[experiment.fingerprint]

    def _job(self, key: str, task: Task, engine: EngineName, data_key: str) -> RemoteJob:
        experiment, run = task.experiment, task.run
        files = {"step.toml": experiment.to_toml().encode()}
        if experiment.parent is not None:
            files["parent.toml"] = experiment.parent.to_toml().encode()
        code_files = experiment.code_files
        trust_files(code_files.values())  # this machine's user trains with them, though elsewhere
        return RemoteJob(
            key=key,
            name=experiment.name,
            fingerprint=experiment.fingerprint,
            seed=task.seed,
            files=files | code_files,
            dataset=experiment.recipe.dataset,
            teacher=experiment.recipe.teacher,
            data_key=data_key,
            compute=replace(self.compute, engine=engine),
            saved=b"" if self.again or not run.checkpoint(experiment, task.seed) else pack_run(run.path, experiment),
        )

    def _dataset(self, experiment: Experiment) -> _Shared:
        """Reads the files of the experiment's dataset, once."""
        recipe = experiment.recipe
        recipe.load_dataset(self.folders.data, on_download=self.callback.on_download)  # it may have to be fetched
        paths = dataset_files(recipe.dataset, self.folders.data, recipe.image)
        if recipe.teacher is not None:
            paths[TEACHER] = Path(recipe.teacher)
        stamp = repr(sorted((name, str(path), path.stat().st_mtime_ns) for name, path in paths.items()))
        if stamp not in self._datasets:
            contents = {name: path.read_bytes() for name, path in paths.items()}
            digest = hashlib.sha256()
            for name, content in sorted(contents.items()):
                digest.update(name.encode() + hashlib.sha256(content).digest())
            kind = OWN if is_dataset_path(recipe.dataset) else recipe.dataset
            self._datasets[stamp] = _Shared(f"{kind}-{digest.hexdigest()[:16]}", contents)
        return self._datasets[stamp]
