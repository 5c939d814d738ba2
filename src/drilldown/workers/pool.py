"""What all pools of several workers share: who trains what, and how a task ended."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

from drilldown.drives import mark_as_given_out
from drilldown.errors import CannotTrainError
from drilldown.evaluation.records import EpochRecord
from drilldown.runs.pool import POLL_SECONDS, Ending, Outcome, PoolCallback, Task, WorkerStatus, reason_text
from drilldown.workers.cluster import DEATHS, Answer, Cluster, DisconnectedError, Member, WorkerDiedError
from drilldown.workers.training import Reply

RECONNECT_SECONDS = 5.0


class ClusterPool:
    """Trains tasks on the workers of a cluster; see `Pool`. Subclasses say what is sent and what comes back."""

    def __init__(
        self, open_cluster: Callable[[], Cluster], callback: PoolCallback, *, keep_going: bool = False
    ) -> None:
        self.open_cluster, self.callback, self.keep_going = open_cluster, callback, keep_going
        self.cluster = open_cluster()
        self.slots = 0
        self._tasks: dict[str, Task] = {}
        self._workers: dict[str, WorkerStatus] = {}
        self._notices: set[str] = set()
        self._early: list[Outcome] = []
        self._next_look = 0.0
        self._token = secrets.token_hex(4)
        """Is part of the keys of tasks: drivers of other folders may train the same, with other options."""
        self.look_around()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.close()

    def submit(self, task: Task) -> None:
        """Sends a task to a worker that waits."""
        key = f"{task.experiment.fingerprint}-{task.seed}-{self._token}"
        self._tasks[key] = task
        try:
            self.send(key, task)
        except DisconnectedError:
            pass  # `wait` connects again, and sends it again
        except self._harmless as error:
            self.end_early(key, "failed", reason_text(error), all_seeds=isinstance(error, CannotTrainError))

    def wait(self, seconds: float) -> list[Outcome]:
        """Waits until a task ends; see `Pool.wait`."""
        if self._early:
            ended, self._early = self._early, []
            return ended
        try:
            answers, events = self.cluster.wait(seconds)
            if time.monotonic() >= self._next_look:
                self.look_around()
        except DisconnectedError:
            self._reconnect()
            return []
        for event in events:
            self._note(event)
        return [self._outcome(answer) for answer in answers if answer.key in self._tasks]

    def _reconnect(self) -> None:
        """Connects again, and sends again what was out: a task that is done twice does no harm."""
        self.cluster.close()
        self.callback.on_notice(self.lost_text())
        while True:
            try:
                self.cluster = self.open_cluster()
                self._workers.clear()
                for key, task in tuple(self._tasks.items()):
                    self.send_again(key, task)
                self.look_around()
                break
            except DisconnectedError:
                time.sleep(RECONNECT_SECONDS)
        self.callback.on_notice("connected again")

    def look_around(self) -> list[Member]:
        """Asks which workers are there."""
        members = {member.address: member for member in self.cluster.members()}
        for address in [address for address in self._workers if address not in members]:
            del self._workers[address]
        for address, member in members.items():
            self._workers.setdefault(address, WorkerStatus(name=member.name, host=member.host))
        self.slots = sum(map(self.usable, members.values()))
        self._next_look = time.monotonic() + POLL_SECONDS
        self.callback.on_workers(tuple(self._workers.values()))
        return list(members.values())

    def send(self, key: str, task: Task) -> None:
        """Submits the task to the cluster."""
        raise NotImplementedError

    def send_again(self, key: str, task: Task) -> None:
        """Submits the task to a new cluster."""
        self.send(key, task)

    def lost_text(self) -> str:
        """What the user is told where the scheduler does not answer."""
        return "the workers of this machine do not answer; starting them again"

    def usable(self, member: Member) -> bool:  # noqa: ARG002
        """Whether a worker can train at all."""
        return True

    def receive(self, key: str, task: Task, reply: Reply) -> None:
        """Handles what has come back."""

    def give_up(self, key: str) -> None:
        """Called when a task failed."""

    def end_early(self, key: str, ending: Ending, reason: str = "", *, all_seeds: bool = False) -> None:
        """Ends a task that was not sent; `wait` returns it."""
        self._early.append(Outcome(self._tasks.pop(key), ending, reason, all_seeds))

    @property
    def _harmless(self) -> type[Exception]:
        """The errors that concern one task, and do not end the others."""
        return Exception if self.keep_going else CannotTrainError

    def _outcome(self, answer: Answer) -> Outcome:
        task = self._tasks.pop(answer.key)
        for address, worker in self._workers.items():
            if worker.task is task:
                self._workers[address] = WorkerStatus(name=worker.name, host=worker.host)
        if isinstance(answer.error, WorkerDiedError):
            self.give_up(answer.key)
            return Outcome(task, "failed", f"{DEATHS} workers died while they trained it; train it alone to see why")
        if isinstance(answer.error, self._harmless):
            self.give_up(answer.key)
            all_seeds = isinstance(answer.error, CannotTrainError)
            return Outcome(task, "failed", reason_text(answer.error), all_seeds)
        if answer.error is not None:
            raise answer.error
        reply: Reply = answer.value
        self.receive(answer.key, task, reply)
        return Outcome(task, reply.ending, reply.reason)

    def _note(self, event: dict[str, Any]) -> None:
        task, worker = self._tasks.get(event["key"]), self._workers.get(event["address"])
        if task is None:  # another driver's: events go to all drivers
            return
        if "notice" in event:
            if event["notice"] not in self._notices:  # each worker says it, and for each run
                self._notices.add(event["notice"])
                mark_as_given_out(event["notice"])
                self.callback.on_notice(event["notice"])
        elif worker is not None:
            epoch = EpochRecord.from_json(event["epoch"]) if event["epoch"] else None
            started = worker.started if worker.task is task else time.monotonic()
            self._workers[event["address"]] = replace(worker, task=task, epoch=epoch, started=started)
