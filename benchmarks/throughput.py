"""Measures how well many trainings share machines, and what the driver itself costs.

    python benchmarks/throughput.py [seeds|overhead|runs|workers …] [--rounds N]

| part | what is measured |
| --- | --- |
| seeds | `drilldown run under-8k --seeds 8`: `--workers 2` against one after another with two threads, whole commands |
| overhead | the time of a task on a worker beyond the same task in this process |
| runs | `drilldown runs` over 2,000 folders, and whether it imports PyTorch |
| workers | the share of time that 64 workers work, with a stand-in for a training that takes one second |
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import drilldown
from drilldown.experiment.experiment import Experiment
from drilldown.runs.pool import InProcessPool, Outcome, Pool, PoolCallback, Task, work
from drilldown.runs.run import Run
from drilldown.workers.cluster import start_local
from drilldown.workers.local_pool import LocalPool
from drilldown.workers.pool import ClusterPool
from drilldown.workers.training import Reply

SEEDS = 8
TINY = ("recipe.dataset=glyphs", "recipe.epochs=1", "network.layers=['flatten, linear 10']", "recipe.augment={}")
TASKS = 40
FOLDERS = 2_000
WORKERS, ROUNDS = 64, 10


def command(*arguments: str) -> float:
    """The seconds of a whole command."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "drilldown", *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def measure_seeds(rounds: int) -> None:
    """Eight seeds with two workers of one thread each, against one after another with two threads."""
    ratios = []
    for _ in range(rounds):
        seconds = {}
        for workers in ("1", "2"):
            with tempfile.TemporaryDirectory() as folder:
                options = ("--seeds", str(SEEDS), "--runs", folder, "--workers", workers)
                seconds[workers] = command("run", "under-8k", *options)
        ratios.append(seconds["2"] / seconds["1"])
        print(
            f"  {SEEDS} seeds: in turn {seconds['1']:.0f} s, two workers {seconds['2']:.0f} s, ratio {ratios[-1]:.3f}"
        )
    print(f"seeds: ratio, median of {rounds}: {statistics.median(ratios):.3f}")


class List:
    """A queue of tasks; see `drilldown.runs.pool.Queue`."""

    def __init__(self, tasks: list[Task]) -> None:
        self.tasks = tasks

    def next(self) -> Task | None:
        """The next task."""
        return self.tasks.pop(0) if self.tasks else None

    def end(self, outcome: Outcome) -> None:
        """Expects that it went well."""
        assert outcome.ending == "finished", outcome

    @property
    def left(self) -> bool:
        """Whether tasks are left."""
        return bool(self.tasks)

    def idle(self) -> None:
        """Nothing to do."""


def measure_overhead(rounds: int) -> None:
    """A task on a worker, against the same task in this process; the first task warms both up."""
    experiment = drilldown.load("under-8k", TINY)
    differences = []
    for _ in range(rounds):
        each = []
        with tempfile.TemporaryDirectory() as folder:
            folders = drilldown.Folders(runs=Path(folder))
            compute = drilldown.Compute(threads=1)

            def train(pool: Pool, first: int, folder: str = folder) -> float:
                work(List([Task(experiment, first, Run.of(experiment, first, folder))]), pool)
                seeds = range(first + 1, first + 1 + TASKS)
                started = time.perf_counter()
                work(List([Task(experiment, seed, Run.of(experiment, seed, folder)) for seed in seeds]), pool)
                return (time.perf_counter() - started) / TASKS

            each.append(train(InProcessPool(compute, folders, PoolCallback()), 0))
            with LocalPool(lambda: start_local(1), compute, folders, PoolCallback(), again=False) as pool:
                each.append(train(pool, 10_000))
        differences.append(1000 * (each[1] - each[0]))
        print(f"  a task: in this process {1000 * each[0]:.0f} ms, on a worker {1000 * each[1]:.0f} ms")
    print(f"overhead: {statistics.median(differences):.0f} ms a task, median of {rounds}")


def measure_runs(rounds: int) -> None:
    """`drilldown runs` over many folders."""
    experiment = drilldown.load("under-8k", TINY)
    with tempfile.TemporaryDirectory() as folder:
        run = drilldown.perform(experiment, folders=drilldown.Folders(runs=Path(folder)))
        step = run.path.parent
        for number in range(1, FOLDERS):
            shutil.copytree(run.path, step.parent / f"copy{number}-{experiment.fingerprint}" / "seed-0")
        seconds = [command("runs", "--runs", folder) for _ in range(rounds)]
        shown = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "drilldown", "runs", "--runs", folder],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    imports = "imports" if any(line.split("|")[-1].strip() == "torch" for line in shown.stderr.splitlines()) else "no"
    print(f"runs: {FOLDERS} folders in {statistics.median(seconds):.2f} s, median of {rounds}; {imports} PyTorch")


def stand_in(key: str, seconds: float) -> Reply:  # noqa: ARG001
    """Takes as long as a training, and no processor."""
    time.sleep(seconds)
    return Reply("finished")


class StandInPool(ClusterPool):
    """A pool whose tasks only wait."""

    def send(self, key: str, task: Task) -> None:  # noqa: ARG002
        """Submits a stand-in."""
        self.cluster.submit(key, stand_in, key, 1.0)


def measure_workers(rounds: int) -> None:
    """The share of time that many workers work, with one driver."""
    experiment = drilldown.load("under-8k", TINY)
    with StandInPool(lambda: start_local(WORKERS), PoolCallback()) as pool:
        shares = [_busy_share(pool, experiment) for _ in range(rounds)]
    print(f"workers: {WORKERS} workers work {100 * statistics.median(shares):.0f} % of the time, median of {rounds}")


def _busy_share(pool: Pool, experiment: Experiment) -> float:
    tasks = [Task(experiment, seed, Run(Path(f"seed-{seed}"))) for seed in range(WORKERS * ROUNDS)]
    started, processor = time.perf_counter(), time.process_time()
    work(List(tasks), pool)
    seconds, busy = time.perf_counter() - started, time.process_time() - processor
    count = WORKERS * ROUNDS
    print(f"  {count} tasks of 1 s in {seconds:.1f} s; the driver took {1000 * busy / count:.1f} ms each")
    return ROUNDS / seconds


PARTS = {"seeds": measure_seeds, "overhead": measure_overhead, "runs": measure_runs, "workers": measure_workers}


def main() -> None:
    """Measures the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for part in options.parts:
        PARTS[part](options.rounds)


if __name__ == "__main__":
    main()
