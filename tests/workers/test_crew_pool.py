"""A crew of machines: runs come back whole, whichever of its processes is killed, frozen or cut off."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from distributed.comm import connect as open_connection

from drilldown import Compute, Folders, load, perform
from drilldown.data.loading import load_dataset, with_writers
from drilldown.errors import DrilldownError
from drilldown.evaluation.records import EpochRecord
from drilldown.runs.callback import Callback
from drilldown.runs.folder import FINISHED
from drilldown.runs.run import Run
from drilldown.workers.cluster import DisconnectedError, connect
from drilldown.workers.crew import make_crew
from support.cli import drilldown, environment, start, world
from support.crews import CrewProcesses, running_crew, runs_finished, trained_files, wait_until, workers_of
from support.study import command
from support.teachers import random_shares, write_teacher
from workers.conftest import SharedCrew

EPOCHS = ("--set", "recipe.epochs=100")
"""A training of a second."""
TLS_ALERT, NO_PAGE = 21, b"HTTP/1.1 404"
ENDLESS = ("--set", "recipe.epochs=10000")
MODULE = """\
import sys
from torch import nn
from parts.head import head


class Net(nn.Sequential):
    def __init__(self, width):
        super().__init__(nn.Flatten(), nn.Linear(784, width), head(width))
        print("printed by the module")
        print("and an error", file=sys.stderr)
        assert sys.stdin.read() == ""
"""
OWN = """\
title = "Own"
[network]
python = "net.py:Net"
arguments = { width = 12 }
[recipe]
dataset = "./letters"
epochs = 2
optimizer = { name = "sgd", lr = 0.1 }
[budget]
parameters = 10_000
"""


@pytest.fixture
def crew(lab: Path):
    with running_crew(lab) as running:
        yield running


def ended(process: subprocess.Popen[str], seconds: float = 120) -> str:
    _, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err
    return err


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Reads the process's messages until one contains the text."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"it ended without saying: {text}")


class StopsAfter(Callback):
    """Interrupts a training as Ctrl-C does."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_end(self, epoch: EpochRecord) -> None:
        if epoch.epoch == self.epochs:
            raise KeyboardInterrupt


def test_runs_come_back_with_the_same_bytes_as_from_this_process(
    shared_crew: SharedCrew, lab: Path, train_alone: Callable[..., dict[str, bytes]]
) -> None:
    """The workers lack the dataset: it travels with the first task."""
    command("run", "tiny.toml", "--seeds", "3", *shared_crew.on, cwd=lab)
    assert len(list(lab.glob("runs/*/*/seed-*/report.html"))) == 3
    assert trained_files(lab) == train_alone(seeds=3)
    _, err = command("run", "tiny.toml", "--seed", "2", "--again", *shared_crew.on, cwd=lab)
    assert "0 of 1 run finished, 1 to train" in err
    assert trained_files(lab) == train_alone(seeds=3)


def test_an_interrupted_run_is_resumed_by_the_crew(shared_crew: SharedCrew, lab: Path) -> None:
    experiment = load(lab / "tiny.toml", [EPOCHS[1]])
    with pytest.raises(KeyboardInterrupt):
        perform(
            experiment, compute=Compute(threads=1), folders=Folders(runs=lab / "runs"), callback=StopsAfter(7)
        )  # fmt: skip
    run = Run.of(experiment, 0, lab / "runs")
    saved = run.epochs
    assert len(saved) == 7
    command("run", "tiny.toml", *EPOCHS, *shared_crew.on, cwd=lab)
    assert run.status == FINISHED
    assert run.epochs[:7] == saved, "the finished epochs were trained again"


def test_two_drivers_of_one_folder_train_each_run_once(shared_crew: SharedCrew, lab: Path) -> None:
    both = [start("run", "tiny.toml", "--seeds", "3", *shared_crew.on, cwd=lab) for _ in range(2)]
    shown = [ended(process) for process in both]
    assert sum(text.count("budget met") for text in shown) == 3, shown


def test_two_drivers_of_different_folders_share_one_crew(
    shared_crew: SharedCrew, tmp_path: Path, train_alone: Callable[..., dict[str, bytes]]
) -> None:
    """They train the same experiment with the same seeds, and one of them with another engine."""
    labs = [tmp_path / name for name in ("one", "two")]
    for folder in labs:
        world(folder)
    engines = {"one": "native", "two": "torch"}
    both = [
        start("run", "tiny.toml", "--seeds", "2", "--engine", engines[folder.name], *shared_crew.on, cwd=folder)
        for folder in labs
    ]
    shown = [ended(process) for process in both]
    for folder, text in zip(labs, shown, strict=True):
        assert text.count("budget met") == 2
        experiment = load(folder / "tiny.toml")
        summaries = [Run.of(experiment, seed, folder / "runs").read().summary for seed in range(2)]
        assert {summary.engine for summary in summaries} == {engines[folder.name]}
    assert trained_files(labs[0]) == train_alone(seeds=2)


def test_the_users_module_travels(shared_crew: SharedCrew, lab: Path) -> None:
    """It prints and finds no input. The driver's machine trusts it, although it trains elsewhere, and reports it."""
    (lab / "own.toml").write_text(OWN)
    (lab / "net.py").write_text(MODULE)
    (lab / "parts").mkdir()
    (lab / "parts" / "head.py").write_text("from torch import nn\ndef head(width):\n    return nn.Linear(width, 10)\n")
    done = subprocess.run(
        [sys.executable, "-m", "drilldown", "run", "own.toml", *shared_crew.on],
        cwd=lab, env=environment(XDG_DATA_HOME=str(lab / "data-home")), input="", capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (report,) = lab.glob("runs/*/*/seed-0/report.html")
    assert report.stat().st_size > 10_000
    assert (report.parent / "parts" / "head.py").read_bytes() == (lab / "parts" / "head.py").read_bytes()


def test_a_teacher_travels(shared_crew: SharedCrew, lab: Path) -> None:
    write_teacher(lab / "teacher.npz", p_train=random_shares(300), teacher="a friend")
    command("run", "tiny.toml", "--set", "recipe.teacher=teacher.npz", *shared_crew.on, cwd=lab)
    experiment = load(lab / "tiny.toml", [f"recipe.teacher={lab / 'teacher.npz'}"])
    alone = perform(experiment, compute=Compute(threads=1), folders=Folders(runs=lab / "alone/runs"))
    assert trained_files(lab) == trained_files(lab / "alone")
    run = Run.of(experiment, 0, lab / "runs")
    assert run.read().summary.teacher == alone.read().summary.teacher


def test_mnist_by_writers_travels_to_workers_that_have_nothing(shared_crew: SharedCrew, lab: Path) -> None:
    if not os.environ.get("DRILLDOWN_DATA"):
        pytest.skip("DRILLDOWN_DATA does not say where MNIST lies")
    try:
        with_writers(load_dataset("mnist"))
    except DrilldownError as error:
        pytest.skip(str(error))
    changes = ["recipe.dataset=mnist", "recipe.epochs=1", "recipe.holdout={images=59000, by='writer'}"]
    options = [part for change in changes for part in ("--set", change)]
    command("run", "tiny.toml", *options, *shared_crew.on, cwd=lab)
    alone = perform(
        load(lab / "tiny.toml", changes), compute=Compute(threads=1), folders=Folders(runs=lab / "alone/runs")
    )
    assert trained_files(lab) == trained_files(lab / "alone")
    assert alone.read().split == "validation"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_driver_that_ends_frees_its_workers_and_its_runs(
    signum: signal.Signals, shared_crew: SharedCrew, lab: Path
) -> None:
    """Dask itself would let the workers train to the end: here for minutes."""
    driver = start("run", "tiny.toml", "--seeds", "2", *ENDLESS, *shared_crew.on, cwd=lab)
    before = shared_crew.cpu_seconds
    wait_until(lambda: shared_crew.cpu_seconds > before + 1.0)
    driver.send_signal(signum)
    _, err = driver.communicate(timeout=20)
    if signum != signal.SIGKILL:
        assert driver.returncode == 128 + signum
        _, count, *lines = [line for line in err.strip().splitlines() if not line.startswith("images: ")]
        assert count == "training with 2 workers"
        assert lines[0] == "interrupted: 0 of 2 runs finished, and every finished epoch is saved"
        assert lines[1].startswith("resume with: drilldown run tiny.toml --set recipe.epochs=10000 --seeds 2 --on ")
        assert len(lines) == 2
        assert not list(lab.glob("runs/*/*")), "a run that never came back leaves nothing behind"

    def idle() -> bool:
        begun = shared_crew.cpu_seconds
        time.sleep(1)
        return shared_crew.cpu_seconds - begun < 0.2

    wait_until(idle, 20)
    command("run", "tiny.toml", *shared_crew.on, cwd=lab)


MANY = """\
import json, sys
from pathlib import Path

import psutil

from drilldown import Compute, Folders, load
from drilldown.runs.worklist import WorklistCallback, list_tasks, plan_work, train_all
from drilldown.workers.opening import open_pool

processes = [psutil.Process(), *(psutil.Process(int(number)) for number in sys.argv[2:])]
sizes = []


class Sizes(WorklistCallback):
    def on_task_end(self, outcome):
        assert outcome.ending == "finished"
        sizes.append([process.memory_info().rss for process in processes])


plan = plan_work(list_tasks([load("tiny.toml", ["recipe.epochs=1"])], range(200), Path("runs")))
with open_pool(Compute(), Folders(), Sizes(), crew=Path(sys.argv[1])) as pool:
    train_all(plan, Sizes(), pool)
    print(json.dumps([len(pool._datasets), sizes]))
"""


def test_two_hundred_tasks_take_no_more_memory_than_fifty(shared_crew: SharedCrew, lab: Path) -> None:
    """What a task leaves behind anywhere, such as its archive of 20 kB or its dataset of 280 kB, would add up."""
    numbers = [shared_crew.processes.scheduler.pid, *(worker.pid for worker in shared_crew.workers)]
    done = subprocess.run(
        [sys.executable, "-c", MANY, shared_crew.processes.file, *map(str, numbers)],
        cwd=lab, env=environment(), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shared, sizes = json.loads(done.stdout)
    assert shared == 1, "the dataset was sent more than once"
    assert len(sizes) == 200
    for name, early, late in zip(("driver", "scheduler", "worker", "worker"), sizes[50], sizes[-1], strict=True):
        assert late - early < 12_000_000, name


def test_only_those_with_the_key_get_an_answer(shared_crew: SharedCrew) -> None:
    port = shared_crew.processes.port
    stranger = make_crew("127.0.0.1", port)
    with pytest.raises(DisconnectedError):
        connect(stranger.address, stranger.security)

    async def without_encryption() -> None:
        await open_connection(f"tcp://127.0.0.1:{port}", timeout=3)

    with pytest.raises((OSError, TimeoutError, RuntimeError)):
        asyncio.run(without_encryption())
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        plain.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP" not in plain.recv(1000)
    assert shared_crew.processes.scheduler.poll() is None


def test_no_open_port_of_a_crew_says_anything_to_those_without_the_key(shared_crew: SharedCrew) -> None:
    """Workers and their supervisors listen too. Dask's pages listen on loopback alone, and there are none."""
    family = [psutil.Process(process.pid) for process in shared_crew.processes.processes]
    ports = {
        connection.laddr.port
        for process in (*family, *shared_crew.workers)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert len(ports) >= 5
    for port in ports:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            plain.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                answer = plain.recv(1000)
                assert answer == b"" or answer[0] == TLS_ALERT or answer.startswith(NO_PAGE), answer


def test_a_killed_worker_and_a_killed_scheduler_cost_no_run(
    crew: CrewProcesses, lab: Path, train_alone: Callable[..., dict[str, bytes]]
) -> None:
    first = crew.start_worker()
    driver = start("run", "tiny.toml", "--seeds", "3", *EPOCHS, "--on", "crew.json", cwd=lab)
    wait_until(lambda: runs_finished(lab) >= 1)
    for process in workers_of(psutil.Process(first.pid)):
        process.kill()  # the process that trains: it is started again
    wait_until(lambda: runs_finished(lab) >= 2)
    crew.scheduler.kill()
    crew.scheduler.wait()
    read_until(driver, "does not answer; waiting for it")
    crew.scheduler = crew.start_scheduler()
    assert "connected again" in ended(driver)
    assert trained_files(lab) == train_alone(epochs=100, seeds=3)
    assert crew.log(first).count("joined the crew") == 2


def test_a_worker_that_is_stopped_leaves_at_once_and_another_one_takes_its_run(crew: CrewProcesses, lab: Path) -> None:
    def stop(worker: subprocess.Popen[str], signum: signal.Signals) -> None:
        family = psutil.Process(worker.pid).children(recursive=True)
        worker.send_signal(signum)
        assert worker.wait(timeout=5) == 128 + signum
        joined, left = crew.log(worker).splitlines()
        assert "joined the crew" in joined
        assert left.startswith("left the crew")
        _, alive = psutil.wait_procs(family, timeout=3)
        assert alive == []

    first = crew.start_worker()
    (process,) = crew.wait_for_workers(first)
    driver = start("run", "tiny.toml", "--set", "recipe.epochs=500", "--on", "crew.json", cwd=lab)
    begun = process.cpu_times().user
    wait_until(lambda: process.cpu_times().user > begun + 0.5)
    stop(first, signal.SIGTERM)
    read_until(driver, "the crew has no workers")
    second = crew.start_worker()
    ended(driver)
    stop(second, signal.SIGINT)


def test_the_result_of_a_frozen_worker_is_not_needed_and_does_no_harm(lab: Path) -> None:
    with running_crew(lab, DRILLDOWN_SILENCE_SECONDS="10") as crew:
        frozen = crew.start_worker()
        crew.wait_for_workers(frozen)
        driver = start("run", "tiny.toml", *EPOCHS, "--on", "crew.json", cwd=lab)
        family = [psutil.Process(frozen.pid), *workers_of(psutil.Process(frozen.pid))]
        for process in family:
            process.suspend()
        crew.start_worker()
        ended(driver)
        written = {path: path.stat().st_mtime_ns for path in lab.glob("runs/*/*/seed-0/*")}
        for process in family:
            process.resume()
        wait_until(lambda: crew.log(frozen).count("joined") >= 2)
        assert {path: path.stat().st_mtime_ns for path in lab.glob("runs/*/*/seed-0/*")} == written


def test_a_task_waits_for_a_worker_that_can_train_it(crew: CrewProcesses, lab: Path) -> None:
    """The first worker has another version, the second one no compiler, the third one all that is needed.

    The version comes from the metadata of the installed package: here they are those of another folder.
    """
    other = lab / "other" / "drilldown-0.1.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: drilldown\nVersion: 0.1.9\n")
    old = crew.start_worker(PYTHONPATH=str(lab / "other"))
    crew.wait_for_workers(old)
    driver = start("run", "tiny.toml", "--engine", "native", "--on", "crew.json", cwd=lab)
    read_until(driver, "no worker of the crew has drilldown")
    assert "drilldown 0.1.9" in drilldown("crew", "crew.json", cwd=lab).stdout
    without = crew.start_worker(CXX="/nowhere/c++", XDG_CACHE_HOME=str(lab / "empty"))
    read_until(driver, "no worker of the crew can train")
    assert "this machine trains only what PyTorch trains" in crew.log(without)
    assert driver.poll() is None
    crew.start_worker()
    ended(driver)
    assert Run.of(load(lab / "tiny.toml"), 0, lab / "runs").read().summary.engine == "native"


def test_a_missing_crew_is_one_message(lab: Path) -> None:
    for arguments in (("run", "tiny.toml", "--on", "none.json"), ("worker", "none.json"), ("crew", "none.json")):
        with pytest.raises(DrilldownError) as caught:
            command(*arguments, cwd=lab)
        (problem,) = caught.value.problems
        assert str(problem).startswith("none.json: cannot be read")
