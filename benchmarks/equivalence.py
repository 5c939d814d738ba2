"""Tests whether two engines train to the same accuracy: an equivalence test over seeds.

    python benchmarks/equivalence.py SUMMARIES.jsonl

The file holds the `summary.json` of finished runs of one experiment, one per line. Each engine trained some of them.
The figure of a run is its mean accuracy over the last epochs. "No significant difference" would be easy to reach with
few seeds. This test asks the opposite: does the data show that the difference of the means lies within a margin? It
uses two one-sided t tests at 5 % each (Schuirmann, 1987): a 90 % interval (Welch's) must lie within the margin.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, variance

from scipy import stats

MARGIN = 0.08
"""The largest difference, in percentage points, at which two engines count as equivalent."""


def interval(a: list[float], b: list[float], level: float = 0.90) -> tuple[float, float]:
    """Returns Welch's interval for mean(a) − mean(b).

    >>> low, high = interval([99.5, 99.6, 99.4], [99.5, 99.4, 99.6])
    >>> round(low, 3), round(high, 3)
    (-0.174, 0.174)
    """
    parts = [variance(sample) / len(sample) for sample in (a, b)]
    error = math.sqrt(sum(parts))
    freedom = sum(parts) ** 2 / sum(part**2 / (len(s) - 1) for part, s in zip(parts, (a, b), strict=True))
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    return mean(a) - mean(b) - half, mean(a) - mean(b) + half


def main() -> None:
    """Prints a table and the result of the test; exits with 1 if the test does not show equivalence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("summaries", type=Path)
    options = parser.parse_args()
    by_engine: dict[str, dict[int, float]] = defaultdict(dict)
    for line in options.summaries.read_text("utf-8").splitlines():
        summary = json.loads(line)
        by_engine[summary["engine"]][summary["seed"]] = summary["accuracy"]["mean_last"]
    print("| engine | seeds | mean of the last epochs, % | standard deviation over seeds |\n| --- | --: | --: | --: |")
    for engine, figures in sorted(by_engine.items()):
        values = list(figures.values())
        print(f"| {engine} | {len(values)} | {mean(values):.4f} | {math.sqrt(variance(values)):.4f} |")
    a, b = (list(by_engine[engine].values()) for engine in ("native", "torch"))
    low, high = interval(a, b)
    shown = low > -MARGIN and high < MARGIN
    print(f"\nnative − torch: {mean(a) - mean(b):+.4f} points, 90 % interval {low:+.4f} to {high:+.4f}; ", end="")
    print(f"equivalence within ±{MARGIN} points is {'shown' if shown else 'NOT shown'}")
    sys.exit(0 if shown else 1)


if __name__ == "__main__":
    main()
