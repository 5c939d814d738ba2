"""The pool of a crew: tasks go to other machines, and run folders come back."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from drilldown.data.catalogue import is_dataset_folder
from drilldown.data.travel import dataset_files
from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.experiment import Experiment
from drilldown.runs.folder import FINISHED
from drilldown.runs.pool import PoolCallback, Task
from drilldown.runs.run import RunBusyError
from drilldown.settings import Compute, Folders
from drilldown.training.choice import choose_device, choose_engine
from drilldown.trust import trust_file
from drilldown.workers.archive import pack_run, unpack_run
from drilldown.workers.cluster import DisconnectedError, Member, connect
from drilldown.workers.crew import abilities, read_crew, versions_text
from drilldown.workers.pool import ClusterPool
from drilldown.workers.remote import RemoteJob, train_remotely
from drilldown.workers.training import Reply


class CrewPool(ClusterPool):
    """Trains tasks on the machines of a crew; only this process writes the folder of runs.

    It holds the lock of each run that is out, so that no other process on this disk trains it.

    *Raises* DrilldownError where the crew's file cannot be read, or its scheduler does not answer.
    """

    def __init__(self, file: Path, compute: Compute, folders: Folders, callback: PoolCallback, *, again: bool) -> None:
        self.file, self.crew = file, read_crew(file)
        self.compute, self.folders, self.again = compute, folders, again
        self._locks: dict[str, contextlib.ExitStack] = {}
        self._resend: dict[str, Callable[[], None]] = {}
        self._needs: dict[str, set[str]] = {}
        self._engines: dict[str, str] = {}
        self._data: dict[str, tuple[str, dict[str, bytes]]] = {}
        self._shared: dict[str, Any] = {}
        self._told = ""
        try:
            super().__init__(lambda: connect(self.crew.address, self.crew.security), callback)
        except DisconnectedError:
            raise DrilldownError(
                Problem(
                    file=file,
                    found=f"no crew answers at {self.crew.address}",
                    suggestion=f"start it there with drilldown crew start --file {file}",
                )
            ) from None

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        for lock in reversed(self._locks.values()):  # the first one made the folders that all of them share
            lock.close()

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
        for key, needs in self._needs.items():
            if not any(needs <= set(member.abilities) for member in members):
                lacking = ", ".join(sorted(needs - {versions_text()}))
                return f"no worker of the crew can train {self._tasks[key]} now: it needs {lacking}"
        return ""

    def usable(self, member: Member) -> bool:
        """Whether a worker has the versions of this driver."""
        return versions_text() in member.abilities

    def send(self, key: str, task: Task) -> None:
        """Locks the run and sends the experiment, its module, its dataset, and the state that is saved."""
        lock = contextlib.ExitStack()
        try:
            lock.enter_context(task.run.lock())
        except RunBusyError:
            self.end_early(key, "busy")
            return
        self._locks[key] = lock
        if task.run.status == FINISHED and not self.again:  # another process was quicker
            self._release(key)
            self.end_early(key, "busy")
            return
        engine = self._engine(task.experiment)
        job = self._job(key, task, engine)
        needs = abilities(native=engine == "native", cuda=self.compute.device == "cuda")

        def submit() -> None:
            self.cluster.submit(key, train_remotely, job, self._share(job.data_key), needs=needs)

        self._resend[key] = submit
        self._needs[key] = set(needs)
        submit()

    def send_again(self, key: str, task: Task) -> None:  # noqa: ARG002
        """Submits the same job to the scheduler that answers again; the run is still locked."""
        self._resend[key]()

    def lost_text(self) -> str:
        """Says which command starts the crew again."""
        self._shared.clear()
        return (
            f"the crew at {self.crew.address} does not answer; waiting for it. "
            f"Start it again there with drilldown crew start --file {self.file}"
        )

    def receive(self, key: str, task: Task, reply: Reply) -> None:
        """Writes the run's folder and releases its lock."""
        try:
            unpack_run(reply.archive, task.run.path, task.experiment, before=task.run.clear if self.again else None)
        finally:
            self._release(key)

    def give_up(self, key: str) -> None:
        """Releases the lock of a run that no worker could train."""
        self._release(key)

    def _release(self, key: str) -> None:
        self._resend.pop(key, None)
        self._needs.pop(key, None)
        self._locks.pop(key).close()

    def _engine(self, experiment: Experiment) -> str:
        """The engine that trains the experiment: the driver decides it, once."""
        if experiment.fingerprint not in self._engines:
            dataset = experiment.recipe.load_dataset(self.folders.data, on_download=self.callback.on_download)
            self._engines[experiment.fingerprint] = choose_engine(
                experiment, dataset, 0, name=self.compute.engine, threads=1, on_notice=self.callback.on_notice,
                device=choose_device("cpu"),
            ).name if self.compute.device != "cuda" else "torch"  # fmt: skip
        return self._engines[experiment.fingerprint]

    def _job(self, key: str, task: Task, engine: str) -> RemoteJob:
        experiment, run = task.experiment, task.run
        files = {"step.toml": experiment.to_toml().encode()}
        if experiment.parent is not None:
            files["parent.toml"] = experiment.parent.to_toml().encode()
        if experiment.network.python is not None:
            module = experiment.network.python.partition(":")[0]
            files[module] = (experiment.folder / module).read_bytes()
            trust_file(experiment.folder / module)  # this machine's user trains with it, though elsewhere
        return RemoteJob(
            key=key,
            name=experiment.name,
            fingerprint=experiment.fingerprint,
            seed=task.seed,
            files=files,
            dataset=experiment.recipe.dataset,
            data_key=self._read_data(experiment),
            compute=Compute(
                engine="native" if engine == "native" else "torch",
                device=self.compute.device,
                threads=self.compute.threads,
            ),
            saved=b"" if self.again or not run.checkpoint(experiment, task.seed) else pack_run(run.path, experiment),
        )

    def _read_data(self, experiment: Experiment) -> str:
        """Reads the files of the experiment's dataset; returns the key that names them."""
        recipe = experiment.recipe
        paths = dataset_files(recipe.dataset, self.folders.data)
        stamp = repr(sorted((name, str(path), path.stat().st_mtime_ns) for name, path in paths.items()))
        if stamp not in self._data:
            contents = {name: path.read_bytes() for name, path in paths.items()}
            digest = hashlib.sha256()
            for name, content in sorted(contents.items()):
                digest.update(name.encode() + hashlib.sha256(content).digest())
            kind = "own" if is_dataset_folder(recipe.dataset) else recipe.dataset
            self._data[stamp] = f"{kind}-{digest.hexdigest()[:16]}", contents
        return self._data[stamp][0]

    def _share(self, data_key: str) -> Any:
        """The dataset in the cluster: it is sent to the scheduler once, and to each worker once."""
        if data_key not in self._shared:
            contents = next(contents for key, contents in self._data.values() if key == data_key)
            self._shared[data_key] = self.cluster.share(f"data-{data_key}", contents)
        return self._shared[data_key]
