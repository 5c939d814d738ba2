"""Two runs at once on the same cores, against one alone.

    python benchmarks/sharing.py [EXPERIMENT] [--engine native|torch] [--rounds N]

Waiting threads that spin would make the two hinder each other; two that share fairly take twice as long as one.
One alone and two at once take turns; each trains an epoch in a process of its own, timed after a first short one.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

TRAIN = """
import sys, time, drilldown
from drilldown.train import Training
training = Training(drilldown.load(sys.argv[1]), engine=sys.argv[2])
training.engine.evaluate(training.test)
print("ready", flush=True)
input()
begun = time.perf_counter()
training.engine.train_epoch(training.plan(1))
print(time.perf_counter() - begun, flush=True)
"""


def seconds(experiment: str, engine: str, processes: int) -> float:
    """Until the last of so many processes, begun together, has trained an epoch."""
    command = [sys.executable, "-c", TRAIN, experiment, engine]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return max(float(process.communicate()[0]) for process in started)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default="under-8k")
    parser.add_argument("--engine", default="native")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rounds = [
        (seconds(options.experiment, options.engine, 1), seconds(options.experiment, options.engine, 2))
        for _ in range(options.rounds)
    ]
    ratios = [two / one for one, two in rounds]
    alone, together = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"{options.experiment}, {options.engine}: alone {alone:.2f} s, two at once {together:.2f} s; ", end="")
    print(f"ratio, median of {options.rounds}: {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})")


if __name__ == "__main__":
    main()
