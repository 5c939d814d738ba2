"""A crew of machines: runs come back whole, whichever of its processes is killed, frozen or cut off."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
from pathlib import Path

import psutil
import pytest
from distributed.comm import connect as open_connection

from drilldown import load
from drilldown.runs.folder import FINISHED
from drilldown.runs.run import Run
from drilldown.workers.cluster import DisconnectedError, connect
from drilldown.workers.crew import make_crew
from support.cli import drilldown, start, world
from support.crews import CrewProcesses, running_crew, wait_until, workers_of

EPOCHS = ("--set", "recipe.epochs=100")


def trained(lab: Path) -> dict[str, bytes]:
    """The files of all runs that depend on nothing but the training."""
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for name in ("weights.safetensors", "predictions.safetensors", "experiment.toml")
        for path in lab.glob(f"runs/*/*/seed-*/{name}")
    }


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    world(tmp_path)
    return tmp_path


@pytest.fixture
def crew(lab: Path):
    with running_crew(lab) as running:
        yield running


def ended(process, seconds: float = 120) -> str:
    _, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err
    return err


def test_runs_come_back_with_the_same_bytes_as_from_this_process(crew: CrewProcesses, lab: Path) -> None:
    crew.start_worker()
    crew.start_worker()
    done = drilldown("run", "tiny.toml", "--seeds", "3", "--on", "crew.json", cwd=lab)
    assert done.returncode == 0, done.stderr
    assert len(list(lab.glob("runs/*/*/seed-*/report.html"))) == 3
    from_crew = trained(lab)
    shutil.rmtree(lab / "runs")
    alone = drilldown("run", "tiny.toml", "--seeds", "3", cwd=lab)
    assert alone.returncode == 0, alone.stderr
    assert from_crew == trained(lab)
    again = drilldown("run", "tiny.toml", "--seeds", "3", "--on", "crew.json", cwd=lab)
    assert "3 of 3 runs finished, nothing left to train" in again.stderr


def test_an_interrupted_run_is_resumed_by_the_crew(crew: CrewProcesses, lab: Path) -> None:
    experiment = load(lab / "tiny.toml", [EPOCHS[1]])
    interrupted = start("run", "tiny.toml", *EPOCHS, cwd=lab)
    run = Run.of(experiment, 0, lab / "runs")
    wait_until(lambda: run.path.exists() and len(run.epochs) > 5)
    interrupted.send_signal(signal.SIGINT)
    interrupted.communicate(timeout=30)
    saved = run.epochs
    crew.start_worker()
    assert drilldown("run", "tiny.toml", *EPOCHS, "--on", "crew.json", cwd=lab).returncode == 0
    assert run.status == FINISHED
    assert run.epochs[: len(saved)] == saved, "the finished epochs were trained again"


def test_a_killed_worker_and_a_killed_scheduler_cost_no_run(crew: CrewProcesses, lab: Path) -> None:
    first = crew.start_worker()
    driver = start("run", "tiny.toml", "--seeds", "4", *EPOCHS, "--on", "crew.json", cwd=lab)
    wait_until(lambda: len(list(lab.glob("runs/*/*/seed-*/summary.json"))) >= 1)
    for process in workers_of(psutil.Process(first.pid)):
        process.kill()  # the process that trains: it is started again
    wait_until(lambda: len(list(lab.glob("runs/*/*/seed-*/summary.json"))) >= 2)
    crew.scheduler.kill()
    crew.scheduler.wait()
    assert driver.stderr is not None
    for line in driver.stderr:
        if "does not answer; waiting for it" in line:
            break
    crew.scheduler = crew.start_scheduler()
    err = ended(driver)
    assert "connected again" in err
    assert len(list(lab.glob("runs/*/*/seed-*/summary.json"))) == 4
    assert "joined the crew" in crew.log(first)


def test_the_result_of_a_frozen_worker_is_not_needed_and_does_no_harm(crew: CrewProcesses, lab: Path) -> None:
    frozen = crew.start_worker(DRILLDOWN_SILENCE_SECONDS="3")
    driver = start("run", "tiny.toml", *EPOCHS, "--on", "crew.json", cwd=lab)
    wait_until(lambda: "joined" in crew.log(frozen))
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


def test_two_drivers_train_each_run_once(crew: CrewProcesses, lab: Path) -> None:
    crew.start_worker()
    both = [start("run", "tiny.toml", "--seeds", "3", "--on", "crew.json", cwd=lab) for _ in range(2)]
    shown = [ended(process) for process in both]
    assert sum(text.count("budget met") for text in shown) == 3, shown


def test_only_those_with_the_key_get_an_answer(crew: CrewProcesses) -> None:
    stranger = make_crew("127.0.0.1", crew.port)
    with pytest.raises(DisconnectedError):
        connect(stranger.address, stranger.security)

    async def without_encryption() -> None:
        await open_connection(f"tcp://127.0.0.1:{crew.port}", timeout=3)

    with pytest.raises((OSError, TimeoutError, RuntimeError)):
        asyncio.run(without_encryption())
    with socket.create_connection(("127.0.0.1", crew.port), timeout=5) as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        plain.settimeout(5)
        try:
            assert b"HTTP" not in plain.recv(1000)
        except ConnectionResetError:
            pass
    assert crew.scheduler.poll() is None


def test_a_worker_of_another_version_gets_no_task(crew: CrewProcesses, lab: Path) -> None:
    """The versions come from the installed package's metadata: here they are those of another folder."""
    other = lab / "other" / "drilldown-0.1.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: drilldown\nVersion: 0.1.9\n")
    crew.start_worker(PYTHONPATH=str(lab / "other"))
    driver = start("run", "tiny.toml", "--on", "crew.json", cwd=lab)
    assert driver.stderr is not None
    for line in driver.stderr:
        if "no worker of the crew has drilldown" in line:
            break
    listed = drilldown("crew", "crew.json", cwd=lab).stdout
    assert "drilldown 0.1.9" in listed
    crew.start_worker()
    ended(driver)


def test_a_worker_without_a_compiler_declines(crew: CrewProcesses, lab: Path) -> None:
    crew.start_worker(CXX="/nowhere/c++", XDG_CACHE_HOME=str(lab / "empty"))
    driver = start("run", "tiny.toml", "--engine", "native", "--on", "crew.json", cwd=lab)
    assert driver.stderr is not None
    for line in driver.stderr:
        if "no worker of the crew can train" in line:
            break
    assert driver.poll() is None
    crew.start_worker()
    ended(driver)
    assert Run.of(load(lab / "tiny.toml"), 0, lab / "runs").read().summary.engine == "native"


def test_a_missing_crew_is_one_message(lab: Path) -> None:
    for arguments in (("run", "tiny.toml", "--on", "none.json"), ("worker", "none.json"), ("crew", "none.json")):
        refused = drilldown(*arguments, cwd=lab)
        assert refused.returncode == 2
        assert refused.stderr.startswith("drilldown: none.json: cannot be read")
        assert len(refused.stderr.strip().splitlines()) == 1
