"""Measures how many digits are read from photographs of each kind.

    python benchmarks/pictures.py [--run RUN] [--pictures N] [--seeds N [N …]] [--family WORD]

Test digits of MNIST are drawn as photographs, see `photographs.py`, prepared as `drilldown predict` prepares pictures,
and classified by a run of the flagship; without `--run` it is trained first. The table is in Markdown. The thresholds
were chosen with the seeds below 100; report others.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

import drilldown
from drilldown.data.dataset import Split
from drilldown.data.preparation import prepare_pixels
from drilldown.errors import DrilldownError
from photographs import FAMILIES, photograph

SURE = 0.9
"""A wrong prediction with at least this probability is counted apart."""


def measure_family(family: str, test: Split, run: drilldown.Run, pictures: int, seed: int) -> tuple[int, int, int, int]:
    """Reads photographs of one family; returns the numbers of right, refused, wrong, and surely wrong pictures."""
    draw = np.random.default_rng([seed, sum(family.encode())])
    images, labels = [], []
    for index in draw.choice(len(test), pictures, replace=False):
        drawn = np.asarray(photograph(family, test.images[index, 0].numpy(), draw), np.float32)
        try:
            images.append(prepare_pixels(drawn, 28, 28, run.conventions()))
            labels.append(int(test.labels[index]))
        except DrilldownError:  # refused
            continue
    probabilities = run.predict(torch.stack(images)).softmax(1)
    sure, best = probabilities.max(1)
    wrong = best != torch.tensor(labels)
    return int((~wrong).sum()), pictures - len(images), int(wrong.sum()), int((wrong & (sure >= SURE)).sum())


def main() -> None:
    """Prints a row for each family, then the time of one picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100])
    parser.add_argument("--family", default="")
    options = parser.parse_args()
    run = drilldown.Run(options.run) if options.run else drilldown.perform(drilldown.load("under-8k"))
    test = run.dataset().test
    begun, count = time.process_time(), 0
    print(f"{options.pictures} pictures of each family with each of the seeds {options.seeds}\n")
    print("| family | read, % | refused, % | wrong, % | wrong and sure, % |")
    print("| --- | --: | --: | --: | --: |")
    for family in FAMILIES:
        if options.family not in family:
            continue
        counts = np.sum([measure_family(family, test, run, options.pictures, seed) for seed in options.seeds], axis=0)
        total = options.pictures * len(options.seeds)
        count += total
        cells = " | ".join(f"{100 * number / total:.1f}" for number in counts)
        print(f"| {family} | {cells} |", flush=True)
    milliseconds = 1000 * (time.process_time() - begun) / max(1, count)
    print(f"\n{milliseconds:.0f} ms of CPU time for a picture, drawing included")


if __name__ == "__main__":
    main()
