"""The pool of this machine: tasks go to other processes, which train in the runs' own folders."""

from __future__ import annotations

from collections.abc import Callable

from drilldown import trust
from drilldown.runs.pool import PoolCallback, Task
from drilldown.settings import Compute, Folders
from drilldown.workers.cluster import Cluster
from drilldown.workers.pool import ClusterPool
from drilldown.workers.training import Job, train_in_place


class LocalPool(ClusterPool):
    """Trains tasks on workers of this machine, in the runs' own folders, so that they resume after any interruption."""

    def __init__(
        self,
        open_cluster: Callable[[], Cluster],
        compute: Compute,
        folders: Folders,
        callback: PoolCallback,
        *,
        again: bool,
        keep_going: bool = False,
    ) -> None:
        super().__init__(open_cluster, callback, keep_going=keep_going)
        self.compute, self.folders, self.again = compute, folders, again

    def send(self, key: str, task: Task) -> None:
        """Sends the experiment itself: the worker reads the same files as this process."""
        task.experiment.recipe.load_dataset(self.folders.data, on_download=self.callback.on_download)  # fetched once
        job = Job(
            key=key,
            experiment=task.experiment,
            seed=task.seed,
            run_dir=task.run.path.absolute(),
            compute=self.compute,
            folders=Folders(data=self.folders.data, runs=self.folders.runs.absolute()),
            again=self.again,
            trusts_all=trust.trusts_all(),
        )
        self.cluster.submit(key, train_in_place, job)
