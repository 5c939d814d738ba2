"""The only module that uses Dask: a scheduler, workers that train, and a driver that submits tasks.

Dask.distributed does the scheduling, restarts workers that died, moves tasks away from workers that do not answer, and
carries the bytes. Every connection is encrypted, and both sides show a certificate, also between processes of one
machine: everybody who can submit tasks to a scheduler can do all that its user can.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import dask
from distributed import Client, Future, KilledWorker, Nanny, Reschedule, Scheduler, Security, SpecCluster, get_worker
from distributed.client import FutureCancelledError
from distributed.comm import get_address_host
from distributed.utils import get_ip, get_ipv6

TOPIC = "drilldown"
"""The topic of the events that workers send to drivers."""
DEATHS = 3
"""The number of workers that may die while they train a task; then the task fails."""
SLOT = "task"
"""The resource of which every worker has one and every task takes one."""
SILENCE_SECONDS = int(os.environ.get("DRILLDOWN_SILENCE_SECONDS", "60"))  # tests have less patience
"""A worker that says nothing for this long is taken for dead; its task moves to another worker."""
CLOSE_SECONDS = 2.0
CONNECT_SECONDS = 10.0
"""Seconds in which a scheduler must answer a driver."""
REJOIN_SECONDS = 2.0
"""Seconds before a worker tries to join again."""

_SETTINGS = {
    "distributed.scheduler.allowed-failures": DEATHS - 1,
    "distributed.scheduler.worker-ttl": f"{SILENCE_SECONDS} s",
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.nanny.pre-spawn-environ": {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "critical"},
    "distributed.diagnostics.nvml": False,
    # Dask watches every process closely. On a driver of 64 workers, that alone takes a third of a core.
    "distributed.admin.tick.interval": "1 s",
    "distributed.admin.tick.cycle": "10 s",
    "distributed.admin.tick.limit": "60 s",
    "distributed.admin.system-monitor.interval": "10 s",
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.worker.memory.monitor-interval": "10 s",
    "distributed.admin.large-graph-warning-threshold": "1 TB",  # a dataset is large, and is sent once
    "distributed.comm.require-encryption": True,
    "distributed.comm.timeouts.connect": f"{min(SILENCE_SECONDS, 30)} s",
    "distributed.comm.timeouts.tcp": "60 s",
}
_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado", "tornado.application", "asyncio")
_NO_PAGE: dict[str, Any] = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
"""Without these, Dask serves web pages, which are not encrypted, on every address of the machine."""


class WorkerDiedError(Exception):
    """All workers that tried a task died."""


class DisconnectedError(Exception):
    """The scheduler does not answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a task: what its function returned, or the exception that it raised."""

    key: str
    value: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A connected worker."""

    name: str
    address: str
    abilities: tuple[str, ...]
    """What it offers, see `drilldown.workers.crew.abilities`."""
    busy: str = ""
    """The key of the task that it trains."""

    @property
    def host(self) -> str:
        """Its machine's address."""
        return self.address.split("//")[-1].rpartition(":")[0].strip("[]")  # IPv6 is written in brackets


class Cluster:
    """A driver's connection to a scheduler and its workers.

    *Arguments*: `client`: the connection. `local`: the scheduler and the workers, where they belong to this process.
    """

    def __init__(self, client: Client, local: SpecCluster | None = None) -> None:
        self._client, self._local = client, local
        self._futures: dict[str, Future] = {}
        self._arrivals: queue.SimpleQueue[Future | dict[str, Any]] = queue.SimpleQueue()
        client.subscribe_topic(TOPIC, lambda event: self._arrivals.put(event[1]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, key: str, function: Callable[..., Any], *arguments: Any, needs: Sequence[str] = ()) -> None:
        """Sends a task.

        *Arguments*: `key`: names the task among those of all drivers. `needs`: the resources that its worker must have.

        *Raises* DisconnectedError where the scheduler does not answer.
        """
        self._check_connection()
        future = self._client.submit(
            function, *arguments, key=key, resources=dict.fromkeys([SLOT, *needs], 1), pure=False
        )
        self._futures[key] = future
        future.add_done_callback(self._arrivals.put)

    def share(self, key: str, value: Any) -> Any:
        """Stores a value once in the cluster; the result stands for it among the arguments of `submit`."""
        return self._client.submit(_same, value, key=key, pure=False)

    def wait(self, seconds: float) -> tuple[list[Answer], list[dict[str, Any]]]:
        """Waits until something arrives, at most for some seconds; returns the ended tasks and the events.

        *Raises* DisconnectedError where the scheduler does not answer.
        """
        ended: list[Future] = []
        events: list[dict[str, Any]] = []
        with contextlib.suppress(queue.Empty):
            arrival = self._arrivals.get(timeout=seconds)
            while True:
                (events if isinstance(arrival, dict) else ended).append(arrival)
                arrival = self._arrivals.get_nowait()
        self._check_connection()
        return self._answers(ended), events

    def members(self, *, with_tasks: bool = False) -> list[Member]:
        """The connected workers, and what they train; raises DisconnectedError where the scheduler does not answer."""
        try:
            # Not `scheduler_info`: Dask overwrites what that returns, now and then, by one without workers.
            workers = self._client.sync(self._client.scheduler.identity, n_workers=-1)["workers"]
            tasks = self._client.processing() if with_tasks else {}
        except (OSError, TimeoutError, ValueError):
            raise DisconnectedError from None
        return [
            Member(
                str(worker["name"]),
                address,
                tuple(name for name in worker["resources"] if name != SLOT),
                next(iter(tasks.get(address, ())), ""),
            )
            for address, worker in workers.items()
        ]

    def close(self) -> None:
        """Ends the connection; the workers of this process are killed, which costs them nothing: epochs are saved."""
        if self._local is not None:
            for nanny in self._local.workers.values():
                nanny.auto_restart = False
                with contextlib.suppress(ProcessLookupError, TypeError):
                    os.kill(nanny.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        for part in (self._client, self._local):
            if part is not None:
                with contextlib.suppress(Exception):  # nothing that fails now matters to anybody
                    part.close(timeout=CLOSE_SECONDS)

    def _answers(self, ended: Sequence[Future]) -> list[Answer]:
        """Fetches the results of ended tasks, all of them in one step: workers often end together."""
        if any(future.status not in ("finished", "error") for future in ended):
            raise DisconnectedError  # cancelled
        finished = [future for future in ended if future.status == "finished"]
        try:
            values = self._client.gather(finished) if finished else []
        except (OSError, TimeoutError, FutureCancelledError):  # the results were lost on their way
            raise DisconnectedError from None
        answers = [Answer(str(future.key), value=value) for future, value in zip(finished, values, strict=True)]
        for future in ended:
            if future.status == "error":
                raised = future.exception(timeout=SILENCE_SECONDS)
                error = WorkerDiedError() if isinstance(raised, KilledWorker) else raised
                answers.append(Answer(str(future.key), error=error))
            self._futures.pop(str(future.key), None)
            future.release()
        return answers

    def _check_connection(self) -> None:
        if self._client.status != "running":
            raise DisconnectedError


def configure() -> None:
    """Sets what Dask needs to behave, in each process that uses it."""
    dask.config.set(_SETTINGS)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # we say ourselves what users can act on


def start_local(workers: int, gpus: int = 0) -> Cluster:
    """Starts workers on this machine; they end with this process.

    *Arguments*: `gpus`: the number of CUDA devices to share out, one to each worker.
    """
    configure()
    # Ctrl-C reaches all processes of a terminal. The workers inherit that it is blocked: only the driver acts on it.
    security = Security.temporary()
    loopback = {"host": "127.0.0.1", "protocol": "tls", "security": security, **_NO_PAGE}
    options = {**loopback, **_worker_options(()), "nthreads": 1, "preload_argv": ["--quiet"]}
    with _blocked_interrupts():
        cluster = SpecCluster(
            scheduler={"cls": Scheduler, "options": loopback},
            workers={
                number: {"cls": Nanny, "options": {**options, "env": _see_gpu(number % gpus) if gpus else {}}}
                for number in range(workers)
            },
            security=security,
            silence_logs=False,  # `configure` does it
        )
        return Cluster(Client(cluster, security=security, set_as_default=False), cluster)


def connect(address: str, security: Security) -> Cluster:
    """Connects to a scheduler; raises DisconnectedError where it does not answer."""
    configure()
    try:
        return Cluster(Client(address, security=security, set_as_default=False, timeout=CONNECT_SECONDS))
    except (OSError, TimeoutError):
        raise DisconnectedError from None


def serve_scheduler(host: str, port: int, security: Security, on_start: Callable[[str], None]) -> None:
    """Runs a scheduler until the process ends.

    *Arguments*: `host`: the address to listen on. `on_start`: called with the scheduler's address.

    *Raises* OSError where the address cannot be listened on.
    """
    configure()

    async def serve() -> None:
        async with Scheduler(
            host=_bracketed(host), port=port, protocol="tls", security=security, **_NO_PAGE
        ) as scheduler:
            on_start(scheduler.address)
            await scheduler.finished()

    try:
        asyncio.run(serve())
    except RuntimeError as error:  # Dask's own error hides the system's
        raise error.__cause__ if isinstance(error.__cause__, OSError) else error from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One worker that a machine offers to a crew."""

    name: str
    resources: Sequence[str]
    """See `drilldown.workers.crew.abilities`."""
    environment: Mapping[str, str]
    """The variables of its process."""


def serve_workers(
    address: str,
    security: Security,
    offers: Sequence[Offer],
    *,
    on_event: Callable[[str], None],
    host: str | None = None,
) -> None:
    """Runs workers until the process ends; each joins again whenever it has lost its scheduler.

    *Arguments*: `on_event`: called with a sentence when a worker joins, and when something is in its way. `host`: the
    address at which the others reach this machine.
    """
    configure()

    async def serve_all() -> None:
        async with asyncio.TaskGroup() as group:
            for offer in offers:
                group.create_task(serve(offer))

    async def serve(offer: Offer) -> None:
        waiting = False
        while True:
            try:
                await serve_once(offer)
                on_event(f"{offer.name}: lost the crew at {address}; trying to join again")
                waiting = False
            except (OSError, TimeoutError, RuntimeError) as error:
                if not waiting:
                    reason = f"{error}".splitlines()[0] if str(error) else type(error).__name__
                    on_event(f"{offer.name} cannot join the crew at {address}: {reason}; trying again")
                waiting = True
            await asyncio.sleep(REJOIN_SECONDS)

    async def serve_once(offer: Offer) -> None:
        with tempfile.TemporaryDirectory(prefix="drilldown-worker-") as folder:
            async with Nanny(
                address, name=offer.name, security=security, protocol="tls", local_directory=folder,
                host=_bracketed(host or _own_host(address)), env=dict(offer.environment), nthreads=1,
                death_timeout=SILENCE_SECONDS, **_worker_options(offer.resources),
            ) as nanny:  # fmt: skip
                await check_way_back(nanny)
                on_event(f"{offer.name}: joined the crew at {address}")
                await nanny.finished()

    async def check_way_back(nanny: Nanny) -> None:
        """Without this check, the worker would train, and nobody would get its results."""
        own = str(nanny.worker_address)
        try:
            await nanny.scheduler.broadcast(msg={"op": "identity"}, workers=[own])
        except (OSError, TimeoutError):
            raise RuntimeError(
                f"the scheduler cannot reach {own}, where this worker listens (is the port open? is --host right?)"
            ) from None

    asyncio.run(serve_all())


def report_event(event: dict[str, Any]) -> None:
    """Sends an event from a task to the drivers; its values must be plain."""
    worker = get_worker()
    worker.log_event(TOPIC, {"worker": str(worker.name), "address": worker.address, **event})


def stop_if_cancelled() -> None:
    """Ends the task that this thread trains, if nobody waits for it: its driver has ended, or was cut off.

    Dask itself cannot end a task that has begun.
    """
    worker = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    if task is None or task.state == "cancelled":
        raise Reschedule  # where another driver asks for it at this moment, it starts again


def worker_folder() -> str:
    """The temporary folder of the worker that runs this task."""
    return str(get_worker().local_directory)


def _worker_options(resources: Sequence[str]) -> dict[str, Any]:
    return {
        "resources": dict.fromkeys([SLOT, *resources], 1),
        "memory_limit": 0,  # Dask would pause or kill workers by its own estimates
        "preload": ["drilldown.workers.preload"],
        **_NO_PAGE,
    }


def _see_gpu(number: int) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": str(number)}


def _own_host(scheduler: str) -> str:
    """The address of this machine on the way to a scheduler; without it, Dask's workers listen on all addresses."""
    host = get_address_host(scheduler)
    return str(get_ipv6(host) if ":" in host else get_ip(host))


def _bracketed(host: str) -> str:
    """Dask takes an address of IPv6 in brackets only."""
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """Blocks SIGINT in this thread, and so in the threads and processes that it starts."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows: the preload ignores it
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _same(value: Any) -> Any:
    return value
