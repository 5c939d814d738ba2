"""Measures one seed, and several seeds at once, on one device.

    python benchmarks/replicas.py [EXPERIMENT] [--device cuda|cpu] [--seeds 1 16 64] [--set TABLE.KEY=VALUE …]

For each number of seeds it trains all epochs, and judges each of them on the test images. The table has the first
epoch, the median of the others, the time from the start of Python to the end, and the time until the mean accuracy of
the seeds first reached the bar of the budget. One process measures one row, so that each pays for its start.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

import torch

from drilldown import Training, load
from drilldown.engines.replicas import Replicas
from drilldown.experiment.experiment import Experiment
from drilldown.settings import Compute

HEADER = "| seeds | first epoch, s | epoch, s | whole, s | to the bar, s | budget met | mean of the last epochs, % |"


def measure(experiment: Experiment, device: torch.device, seeds: int, started: float) -> dict[str, object]:
    """Trains all seeds at once; times in seconds, those of the whole counted from `started`."""
    compute = Compute(engine="torch", device="cpu")  # they only plan
    trainings = [Training(experiment, seed=seed, compute=compute) for seed in range(seeds)]
    networks = [experiment.build_for_training(seed) for seed in range(seeds)]
    replicas = Replicas(networks, experiment.recipe, trainings[0].dataset, device=device)
    test = trainings[0].judged.to(device)
    epochs: list[float] = []
    accuracies: list[list[float]] = []
    reached = None
    for number in range(1, experiment.recipe.epochs + 1):
        begun = time.perf_counter()
        replicas.train_epoch([training.plan(number) for training in trainings])
        epochs.append(time.perf_counter() - begun)
        accuracies.append([float(evaluation.tally.accuracy) for evaluation in replicas.evaluate(test)])
        if reached is None and statistics.fmean(accuracies[-1]) >= (experiment.budget.accuracy or 0):
            reached = time.time() - started
    held = accuracies[-experiment.budget.hold :]
    met = sum(min(values) >= (experiment.budget.accuracy or 0) for values in zip(*held, strict=True))
    return {
        "seeds": seeds, "first": epochs[0], "epoch": statistics.median(epochs[1:] or epochs),
        "whole": time.time() - started, "reached": reached, "met": met,
        "accuracy": statistics.fmean(value for values in held for value in values),
    }  # fmt: skip


def main() -> None:
    """Measures each row in a process of its own and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default="under-8k")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    parser.add_argument("--row", type=float, help=argparse.SUPPRESS)  # the time at which a process was started
    options = parser.parse_args()
    device = torch.device(options.device)
    if options.row:
        experiment = load(options.experiment, options.set)
        print(json.dumps(measure(experiment, device, options.seeds[0], options.row)))
        return
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{options.experiment} on {name}, torch {torch.__version__}\n\n{HEADER}")
    print("| --: | --: | --: | --: | --: | --: | --: |")
    for seeds in options.seeds:
        command = [sys.executable, __file__, options.experiment, "--device", options.device, "--seeds", str(seeds)]
        command += [f"--set={change}" for change in options.set]
        done = subprocess.run([*command, "--row", str(time.time())], check=True, stdout=subprocess.PIPE, text=True)
        row = json.loads(done.stdout.splitlines()[-1])
        reached = "not reached" if row["reached"] is None else f"{row['reached']:.1f}"
        print(
            f"| {seeds} | {row['first']:.2f} | {row['epoch']:.2f} | {row['whole']:.1f} | {reached} "
            f"| {row['met']} of {seeds} | {row['accuracy']:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
