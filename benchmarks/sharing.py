"""Compares two runs at the same time on the same cores with one run alone.

    python benchmarks/sharing.py [EXPERIMENT] [--engine native|torch] [--rounds N]

Two runs would slow each other down if waiting threads spin. Two runs that share fairly take twice as long as one.
One run alone and two at once take turns. Each run trains one epoch in a separate process. The clock starts after a
warm-up, an evaluation of the test images.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

TRAIN = """
import sys, time, drilldown
training = drilldown.Training(drilldown.load(sys.argv[1]), compute=drilldown.Compute(engine=sys.argv[2]))
training.engine.evaluate(training.test)
print("ready", flush=True)
input()
begun = time.perf_counter()
training.engine.train_epoch(training.plan(1))
print(time.perf_counter() - begun, flush=True)
"""


def seconds(experiment: str, engine: str, processes: int) -> float:
    """Returns the time in which the slowest of these processes trains an epoch; all start at the same time."""
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
    """Measures the ratio and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default="under-8k")
    parser.add_argument("--engine", default="native")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rounds = [
        (seconds(options.experiment, options.engine, 1), seconds(options.experiment, options.engine, 2))
        for _ in range(options.rounds)
    ]
    ratios = [pair / single for single, pair in rounds]
    alone, together = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"{options.experiment}, {options.engine}: alone {alone:.2f} s, two at once {together:.2f} s; ", end="")
    print(f"ratio, median of {options.rounds}: {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})")


if __name__ == "__main__":
    main()
