"""The workers that a machine offers to a crew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from drilldown.engines.native import library
from drilldown.errors import DrilldownError
from drilldown.workers.crew import make_crew, versions_text, write_crew
from drilldown.workers.machine import list_offers
from drilldown.workers.opening import count_cores
from drilldown.workers.remote import THREADS
from support.study import command

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


def offered(workers: int, *, gpus: int | None = None, threads: int | None = None):
    return list_offers(workers, gpus, threads, lambda _: None)


@pytest.mark.parametrize("workers", [1, 2, 3, 64])
def test_the_cores_are_shared_out(workers: int) -> None:
    offers = offered(workers)
    assert len(offers) == workers
    each = [int(offer.environment[THREADS]) for offer in offers]
    assert all(threads == max(1, count_cores() // workers) for threads in each)
    assert {offer.environment[THREADS] for offer in offered(workers, threads=3)} == {"3"}


def test_names_are_unique_also_where_machines_and_processes_have_the_same() -> None:
    """Two containers may have the same host name, and processes with the same number."""
    offers = [*offered(4), *offered(4)]
    assert len({offer.name for offer in offers}) == 8


def test_a_worker_on_the_cpu_sees_no_gpu() -> None:
    for offer in offered(2):
        assert offer.environment["CUDA_VISIBLE_DEVICES"] == ""
        assert "cuda" not in offer.resources
        assert versions_text() in offer.resources


def test_a_machine_without_a_compiler_says_so_and_offers_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_loaded", [])
    monkeypatch.setenv("CXX", "/nowhere/c++")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    notices: list[str] = []
    (offer,) = list_offers(1, None, None, notices.append)
    assert list(offer.resources) == [versions_text()]
    assert notices[-1].startswith("this machine trains only what PyTorch trains: ")


@no_gpu
@pytest.mark.parametrize(("asked", "expected"), [("all", 1), ("1", 1), ("3", 3)])
def test_gpus_that_are_not_there_are_one_message(asked: str, expected: int, tmp_path: Path) -> None:
    write_crew(make_crew("127.0.0.1"), tmp_path / "crew.json")
    with pytest.raises(DrilldownError) as caught:
        command("worker", "crew.json", "--gpus", asked, cwd=tmp_path)
    assert str(caught.value) == f"--gpus: PyTorch finds 0 CUDA devices; expected at least {expected}"


@pytest.mark.parametrize("wrong", ["0", "-1", "1.5", "many", "", "²"])
def test_a_wrong_number_of_gpus_is_one_message(wrong: str, tmp_path: Path) -> None:
    write_crew(make_crew("127.0.0.1"), tmp_path / "crew.json")
    with pytest.raises(DrilldownError) as caught:
        command("worker", "crew.json", f"--gpus={wrong}", cwd=tmp_path)
    assert str(caught.value) == f'--gpus: found "{wrong}"; expected a number of at least 1, or "all"'


def test_a_gpu_is_given_to_each_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of devices is the only answer that PyTorch gives; here it is that of another machine."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for gpus, count in ((0, 4), (3, 3)):
        offers = offered(0, gpus=gpus)
        assert [offer.environment["CUDA_VISIBLE_DEVICES"] for offer in offers] == [str(n) for n in range(count)]
        assert all("cuda" in offer.resources for offer in offers)
    with pytest.raises(DrilldownError, match="PyTorch finds 4 CUDA devices; expected at least 5"):
        offered(0, gpus=5)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds a process to cores")
def test_a_job_with_a_part_of_the_cores_takes_no_more() -> None:
    """As in a job of SLURM, which gets a part of its machine's cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert [offer.environment[THREADS] for offer in offered(0)] == ["1"]
        assert [offer.environment[THREADS] for offer in offered(1)] == ["1"]
    finally:
        os.sched_setaffinity(0, before)
