"""Two hosts with a cable between them, which is pulled out and put back.

The hosts are network namespaces of Linux, the cable is a pair of virtual Ethernet devices.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from drilldown import Compute, load, perform
from drilldown.runs.run import Run
from support.cli import world
from support.crews import CrewProcesses, kill_family, running_crew, runs_finished, trained_files, wait_until

LISTEN, TLS_ALERT = "0A", b"\x15"
ASK = """\
import contextlib, socket, sys

with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as plain:
    plain.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    with contextlib.suppress(ConnectionResetError):
        sys.stdout.buffer.write(plain.recv(1))
"""
EPOCHS = 200
"""A training of some seconds."""


@dataclass(frozen=True)
class Host:
    """A network namespace with one end of the cable."""

    name: str
    device: str
    address: str
    address6: str

    @property
    def within(self) -> tuple[str, ...]:
        """The command that starts another one on this host."""
        return ("ip", "netns", "exec", self.name)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    if sys.platform != "linux" or shutil.which("ip") is None:
        pytest.skip("needs Linux with the command `ip`")
    number = os.getpid() % 10_000
    pair = tuple(
        Host(f"drilldown-{number}-{end}", f"dd{number}{end}", f"10.93.0.{end}", f"fd93::{end}") for end in (1, 2)
    )
    first, second = pair
    try:
        for host in pair:
            ip("netns", "add", host.name)
        ip(
            "link",
            "add",
            first.device,
            "netns",
            first.name,
            "type",
            "veth",
            "peer",
            second.device,
            "netns",
            second.name,
        )
    except subprocess.CalledProcessError as error:
        remove(first, second)
        pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
    try:
        for host in pair:
            ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", host.device)
            ip("-n", host.name, "addr", "add", f"{host.address6}/64", "dev", host.device, "nodad")
            ip("-n", host.name, "link", "set", "lo", "up")
            ip("-n", host.name, "link", "set", host.device, "up")
        yield first, second
    finally:
        remove(first, second)


def remove(*hosts: Host) -> None:
    for host in hosts:
        subprocess.run(["ip", "netns", "del", host.name], check=False, capture_output=True)


def test_the_cable_is_pulled_out_and_put_back(tmp_path: Path, hosts: tuple[Host, Host]) -> None:
    """It is out for longer than the silence after which a worker counts as dead.

    A second worker stands beside the driver: it finishes the run. The first one trains on behind the cable; it joins
    again, and the result that it has meanwhile is not wanted any more.
    """
    here, there = hosts
    world(tmp_path)
    experiment = load(tmp_path / "tiny.toml", [f"recipe.epochs={EPOCHS}"])
    run = Run.of(experiment, 0, tmp_path / "runs")
    # A worker is silent while it loads PyTorch: on a busy machine for more than ten seconds.
    with running_crew(tmp_path, here.address, here.within, DRILLDOWN_SILENCE_SECONDS="20") as crew:
        far = crew.start_worker("--host", there.address, within=there.within, DRILLDOWN_SILENCE_SECONDS="20")
        (process,) = crew.wait_for_workers(far)
        command = ("run", "tiny.toml", "--set", f"recipe.epochs={EPOCHS}", "--on", "crew.json")
        driver = crew.start(*command, within=here.within)
        idle = process.cpu_times().user
        wait_until(lambda: process.cpu_times().user > idle + 1.5)  # it trains: it has loaded PyTorch before
        ip("-n", there.name, "link", "set", there.device, "down")
        wait_until(lambda: "the crew has no workers" in crew.log(driver))
        near = crew.start_worker("--host", here.address, within=here.within)
        crew.wait_for_workers(near)
        driver.wait(timeout=180)  # the second worker trains all epochs
        assert driver.returncode == 0, crew.log(driver)
        ip("-n", there.name, "link", "set", there.device, "up")
        written = {file: file.stat().st_mtime_ns for file in run.path.iterdir()}
        wait_until(lambda: crew.log(far).count("joined the crew") >= 2)
        assert {file: file.stat().st_mtime_ns for file in run.path.iterdir()} == written
        kill_family(psutil.Process(near.pid))
        more = crew.start("run", "tiny.toml", "--on", "crew.json", within=here.within)
        assert more.wait(timeout=60) == 0, crew.log(more)
    assert runs_finished(tmp_path) == 2
    folder = tmp_path / "alone" / "seed-0"
    alone = perform(experiment, run_dir=folder, compute=Compute(threads=1))
    assert (alone.path / "weights.safetensors").read_bytes() == (run.path / "weights.safetensors").read_bytes()


def test_a_worker_that_the_scheduler_cannot_reach_says_so_and_joins_when_it_can(
    tmp_path: Path, hosts: tuple[Host, Host]
) -> None:
    here, there = hosts
    hidden = "10.94.0.9"
    ip("-n", there.name, "addr", "add", f"{hidden}/32", "dev", there.device)
    ip("-n", here.name, "route", "add", "blackhole", f"{hidden}/32")
    with running_crew(tmp_path, here.address, here.within, DRILLDOWN_SILENCE_SECONDS="3") as crew:
        worker = crew.start_worker("--host", hidden, within=there.within)
        wait_until(lambda: f"the scheduler cannot reach tls://{hidden}:" in crew.log(worker))
        assert "joined" not in crew.log(worker)
        ip("-n", here.name, "route", "replace", f"{hidden}/32", "dev", here.device)
        crew.wait_for_workers(worker)
        assert "joined" in crew.log(worker)


def beyond_loopback(crew: CrewProcesses) -> list[tuple[str, int]]:
    """The addresses and ports at which the crew's processes listen for other machines."""
    parents = [psutil.Process(process.pid) for process in crew.processes if process.poll() is None]
    family = [member for parent in parents for member in (parent, *parent.children(recursive=True))]
    found = []
    for process in family:
        tables = [Path(f"/proc/{process.pid}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
        own = {os.readlink(link) for link in Path(f"/proc/{process.pid}/fd").iterdir()}
        for row in (line.split() for table in tables for line in table):
            host, _, port = row[1].partition(":")
            if row[3] == LISTEN and f"socket:[{row[9]}]" in own:
                found.append((address_text(host), int(port, 16)))
    assert len(found) >= 3
    return [(host, port) for host, port in found if host not in ("127.0.0.1", "::1")]


def address_text(digits: str) -> str:
    """An address as Linux lists it: words of four bytes, each of them in the processor's order."""
    words = [bytes.fromhex(digits[start : start + 8])[::-1] for start in range(0, len(digits), 8)]
    return str(ipaddress.ip_address(b"".join(words)))


def plain_answer(host: Host, address: str, port: int) -> bytes:
    """The first byte that a program without the key gets; empty where the connection ends."""
    done = subprocess.run(
        [*host.within, sys.executable, "-c", ASK, address, str(port)], check=True, capture_output=True
    )
    return done.stdout


def test_a_crew_is_reached_by_ipv6(tmp_path: Path, hosts: tuple[Host, Host]) -> None:
    here, there = hosts
    world(tmp_path)
    with running_crew(tmp_path, here.address6, here.within) as crew:
        far = crew.start_worker("--host", there.address6, within=there.within)
        crew.wait_for_workers(far)
        driver = crew.start("run", "tiny.toml", "--on", "crew.json", within=here.within)
        assert driver.wait(timeout=60) == 0, crew.log(driver)
        for name, port in beyond_loopback(crew):
            assert plain_answer(here if name == here.address6 else there, name, port) in (b"", TLS_ALERT), (name, port)
        listed = crew.start("crew", "crew.json", within=there.within)
        assert listed.wait(timeout=60) == 0
        assert there.address6 in crew.log(listed)
    assert len(trained_files(tmp_path)) == 2
