"""What all pools of several workers share: who trains what, and how a task ended."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from drilldown.evaluation.records import EpochRecord
from drilldown.runs.pool import Ending, Outcome, PoolCallback, Task, WorkerStatus
from drilldown.workers.cluster import DEATHS, Answer, Cluster, Member, WorkerDiedError
from drilldown.workers.training import Reply


class ClusterPool:
    """Trains tasks on the workers of a cluster; see `Pool`. Subclasses say what is sent and what comes back."""

    def __init__(self, cluster: Cluster, callback: PoolCallback) -> None:
        self.cluster, self.callback = cluster, callback
        self.slots = 0
        self._tasks: dict[str, Task] = {}
        self._workers: dict[str, WorkerStatus] = {}
        self._notices: set[str] = set()
        self._early: list[Outcome] = []
        self.look_around()

    def submit(self, task: Task) -> None:
        """Sends a task to a worker that waits."""
        key = f"{task.experiment.fingerprint}-{task.seed}"
        self._tasks[key] = task
        self.send(key, task)

    def wait(self, seconds: float) -> list[Outcome]:
        """Waits until a task ends; see `Pool.wait`."""
        if self._early:
            ended, self._early = self._early, []
            return ended
        answers, events = self.cluster.wait(seconds)
        for event in events:
            self._note(event)
        outcomes = [self._outcome(answer) for answer in answers if answer.key in self._tasks]
        self.look_around()
        return outcomes

    def look_around(self) -> list[Member]:
        """Asks which workers are there."""
        members = {member.address: member for member in self.cluster.members()}
        for address in [address for address in self._workers if address not in members]:
            del self._workers[address]
        for address, member in members.items():
            self._workers.setdefault(address, WorkerStatus(name=member.name, host=member.host))
        self.slots = sum(map(self.usable, members.values()))
        self.callback.on_workers(tuple(self._workers.values()))
        return list(members.values())

    def send(self, key: str, task: Task) -> None:
        """Submits the task to the cluster."""
        raise NotImplementedError

    def usable(self, member: Member) -> bool:  # noqa: ARG002
        """Whether a worker can train at all."""
        return True

    def receive(self, key: str, task: Task, reply: Reply) -> None:
        """Handles what has come back."""

    def give_up(self, key: str) -> None:
        """Called when a task failed."""

    def end_early(self, key: str, ending: Ending) -> None:
        """Ends a task that was not sent; `wait` returns it."""
        self._early.append(Outcome(self._tasks.pop(key), ending))

    def _outcome(self, answer: Answer) -> Outcome:
        task = self._tasks.pop(answer.key)
        for address, worker in self._workers.items():
            if worker.task is task:
                self._workers[address] = WorkerStatus(name=worker.name, host=worker.host)
        if isinstance(answer.error, WorkerDiedError):
            self.give_up(answer.key)
            return Outcome(task, "failed", f"{DEATHS} workers died while they trained it; train it alone to see why")
        if answer.error is not None:
            raise answer.error
        reply: Reply = answer.value
        self.receive(answer.key, task, reply)
        return Outcome(task, reply.ending, reply.reason)

    def _note(self, event: dict[str, Any]) -> None:
        task, worker = self._tasks.get(event["key"]), self._workers.get(event["address"])
        if "notice" in event:
            if event["notice"] not in self._notices:  # each worker says it, and for each run
                self._notices.add(event["notice"])
                self.callback.on_notice(event["notice"])
        elif task is not None and worker is not None:
            epoch = EpochRecord.from_json(event["epoch"]) if event["epoch"] else None
            started = worker.started if worker.task is task else time.monotonic()
            self._workers[event["address"]] = replace(worker, task=task, epoch=epoch, started=started)
