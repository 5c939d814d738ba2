"""Measures how long an epoch takes on this machine, for the table of times in the documentation.

    python benchmarks/machines.py [--rounds N]

The engines take turns, epoch by epoch, on all training images of MNIST. The medians go into machines.jsonl beside this
file, one line per machine; a second measurement replaces the line. Stop other work before: the script refuses a machine
whose load average is above 0.5.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import sys
import time
from pathlib import Path

import psutil
import torch

import drilldown
from drilldown.data.loading import load_dataset
from drilldown.runs.summarise import processor_name
from drilldown.settings import Compute, EngineName
from drilldown.training.training import Training
from drilldown.workers.opening import count_cores

FILE = Path(__file__).with_name("machines.jsonl")
EXPERIMENTS = ("under-8k/01-flagship", "eva5-s5/06-dropout", "era-s7/05-augmentation")
ROUNDS = 3
LOAD = 0.5


def main() -> None:
    """Measures, and writes the machine's line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    load = psutil.getloadavg()[0]
    if load > LOAD:
        sys.exit(f"the load average is {load:.2f}: stop other work, wait a minute, and repeat the command")
    line = {
        **machine(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rounds": options.rounds,
        "seconds": {name: measure(name, options.rounds) for name in EXPERIMENTS},
    }
    lines = [json.loads(text) for text in FILE.read_text("utf-8").splitlines()] if FILE.exists() else []
    others = [other for other in lines if (other["processor"], other["cores"]) != (line["processor"], line["cores"])]
    kept = sorted([*others, line], key=lambda one: (one["processor"], one["cores"]))
    FILE.write_text("".join(json.dumps(one) + "\n" for one in kept), "utf-8")
    print(json.dumps(line, indent=2))


def machine() -> dict[str, str | int]:
    """The properties of the machine on which the times depend."""
    return {
        "processor": processor_name(),
        "cores": count_cores(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
    }


def measure(name: str, rounds: int) -> dict[str, float]:
    """The seconds of an epoch, training and evaluation, by engine and threads: the median of the rounds.

    An epoch before the first round warms everything up and is not counted.
    """
    experiment = drilldown.load(name, [f"recipe.epochs={rounds + 1}"])
    dataset = load_dataset(experiment.recipe.dataset)
    cores = count_cores()
    settings: dict[str, tuple[EngineName, int]] = {
        f"native, {cores} threads": ("native", cores),
        "native, 1 thread": ("native", 1),
        f"torch, {cores} threads": ("torch", cores),
    }
    trainings = {
        label: iter(Training(experiment, dataset, compute=Compute(engine=engine, device="cpu", threads=threads)))
        for label, (engine, threads) in settings.items()
    }
    seconds: dict[str, list[float]] = {label: [] for label in settings}
    for round_ in range(rounds + 1):
        for label, epochs in trainings.items():
            torch.set_num_threads(settings[label][1])
            before = time.perf_counter()
            next(epochs)
            if round_:
                seconds[label].append(time.perf_counter() - before)
    return {label: round(statistics.median(each), 2) for label, each in seconds.items()}


if __name__ == "__main__":
    main()
