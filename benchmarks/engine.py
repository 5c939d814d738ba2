"""Compares the native engine with the plain pipelines, and measures the time of each of its layers.

    python benchmarks/engine.py [EXPERIMENT…] [--images N] [--rounds N]

All pipelines train on the first N images of MNIST: fewer images save time, because the plain pipelines are slow.
The script prints Markdown tables for README.md beside this file.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

import drilldown
from drilldown.benchmark.measure import ROUNDS, measure_speed
from drilldown.data.dataset import Dataset, Split
from drilldown.data.loading import load_dataset
from drilldown.engines.native.engine import NativeEngine
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.network import Network
from drilldown.settings import Compute
from drilldown.training.training import Training

EXPERIMENTS = ("eva5-s5/06", "session6/03", "eva-drilldown/07")


def main() -> None:
    """Measures each experiment and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", default=EXPERIMENTS)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    dataset = first_images(load_dataset("mnist"), options.images)
    for name in options.experiments:
        experiment = drilldown.load(name)
        against_plain(experiment, dataset, options.rounds)
        layer_by_layer(experiment, dataset)
    linearity(drilldown.load(options.experiments[0]), dataset)


def first_images(dataset: Dataset, count: int) -> Dataset:
    """Returns the dataset with only its first `count` training images."""
    return replace(dataset, train=Split(dataset.train.images[:count], dataset.train.labels[:count]))


def against_plain(experiment: Experiment, dataset: Dataset, rounds: int) -> None:
    """Prints the seconds of each pipeline; the pipelines take turns, epoch by epoch."""
    measured = measure_speed(experiment, dataset, rounds=rounds)
    print(f"\n### {experiment.name}, {len(dataset.train):,} images, {measured.threads} threads, {rounds} rounds\n")
    print("| pipeline | seconds, median | ratio, median | range | test accuracy |\n| --- | --: | --: | --- | --: |")
    for timing in measured.timings:
        print(
            f"| {timing.name} | {statistics.median(timing.seconds):.2f} | {statistics.median(timing.ratios):.2f} "
            f"| {min(timing.ratios):.2f}–{max(timing.ratios):.2f} | {timing.accuracy:.2%} |",
            flush=True,
        )


def layer_by_layer(experiment: Experiment, dataset: Dataset) -> None:
    """Prints the seconds of each layer, and the share of the processor's peak that its multiply-adds reach."""
    training = Training(experiment, dataset, compute=Compute(engine="native"))
    engine = training.engine
    assert isinstance(engine, NativeEngine)
    assert experiment.layout is not None
    engine.train_epoch(training.plan(1))
    peak = float(engine.library.drilldown_peak(training.threads)) / training.threads
    layers, rest = engine.timings()
    layout = experiment.layout
    total = sum(forward + backward for _, forward, backward in layers) + sum(rest.values())
    print(f"\nPeak of one thread: {peak / 1e9:.0f} GFLOP/s. Seconds of all threads, {total:.2f} in total:\n")
    print("| layers | input | forward s | of peak | backward s | of peak |\n| --- | --- | --: | --: | --: | --: |")
    for index, (positions, forward, backward) in enumerate(layers):
        placed = layout[positions]
        work = 2 * sum(layer.multiply_adds for layer in placed) * len(dataset.train)
        shares = (
            [f"{work / forward / peak:.0%}", f"{work * (2 if index else 1) / backward / peak:.0%}"]
            if work
            else ["", ""]
        )
        shape = "×".join(map(str, placed[0].input))
        words = ", ".join(str(layer.layer) for layer in placed)
        print(f"| {words} | {shape} | {forward:.2f} | {shares[0]} | {backward:.2f} | {shares[1]} |")
    for name, seconds in rest.items():
        print(f"| {name} | | {seconds:.2f} | | | |")
    print(flush=True)


def linearity(experiment: Experiment, dataset: Dataset) -> None:
    """Prints how the time of an epoch grows with the number of images and with multiply-adds."""
    print("\n| images | seconds | microseconds per image |\n| --: | --: | --: |")
    for share in (0.25, 0.5, 1.0):
        part = first_images(dataset, int(share * len(dataset.train)))
        seconds = epoch_seconds(experiment, part)
        print(f"| {len(part.train):,} | {seconds:.2f} | {1e6 * seconds / len(part.train):.1f} |")
    print(
        "\n| channels | multiply-adds per image | seconds | nanoseconds per multiply-add |\n| --: | --: | --: | --: |"
    )
    for channels in (8, 16, 32):
        layers = [f"conv 3x3 {channels}, relu"] * 4 + ["gap", "linear 10"]
        wider = Experiment(title=experiment.title, network=Network(layers=tuple(layers)), recipe=experiment.recipe)
        work = wider.model_summary.multiply_adds
        part = first_images(dataset, min(10_000, len(dataset.train)))
        seconds = epoch_seconds(wider, part)
        print(f"| {channels} | {work:,} | {seconds:.2f} | {1e9 * seconds / work / len(part.train):.4f} |", flush=True)


def epoch_seconds(experiment: Experiment, dataset: Dataset) -> float:
    """Returns the median time of three epochs, after one that is not counted."""
    training = Training(experiment, dataset, compute=Compute(engine="native"))
    plan = training.plan(1)
    seconds = []
    for _ in range(4):
        begun = time.perf_counter()
        training.engine.train_epoch(plan)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[1:])


if __name__ == "__main__":
    main()
