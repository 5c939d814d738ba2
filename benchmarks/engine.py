"""The native engine against the plain pipelines, and where its time goes, layer by layer.

    python benchmarks/engine.py [EXPERIMENT…] [--images N] [--rounds N]

Trains on the first N images of MNIST, so that the slow pipelines do not take the afternoon; all pipelines alike.
Prints Markdown, as it stands in README.md beside this file.
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
from drilldown.settings import Compute
from drilldown.training.training import Training

EXPERIMENTS = ("eva5-s5/06", "session6/03", "eva-drilldown/07")


def main() -> None:
    """Measures and prints."""
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
    """The dataset with its first training images only."""
    return replace(dataset, train=Split(dataset.train.images[:count], dataset.train.labels[:count]))


def against_plain(experiment: Experiment, dataset: Dataset, rounds: int) -> None:
    """An epoch of each pipeline in turn."""
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
    """Each layer's seconds, and what share of the processor's peak its multiply-adds reach."""
    training = Training(experiment, dataset, compute=Compute(engine="native"))
    engine = training.engine
    assert isinstance(engine, NativeEngine)
    assert experiment.layout is not None
    engine.train_epoch(training.plan(1))
    peak = float(engine.library.drilldown_peak(training.threads)) / training.threads
    layers, rest = engine.timings()
    placed = experiment.layout
    total = sum(forward + backward for _, forward, backward in layers) + sum(rest.values())
    print(f"\nPeak of one thread: {peak / 1e9:.0f} GFLOP/s. Seconds of all threads, {total:.2f} together:\n")
    print("| layers | input | forward s | of peak | backward s | of peak |\n| --- | --- | --: | --: | --: | --: |")
    for index, (which, forward, backward) in enumerate(layers):
        items = placed[which]
        work = 2 * sum(item.multiply_adds for item in items) * len(dataset.train)
        shares = (
            [f"{work / forward / peak:.0%}", f"{work * (2 if index else 1) / backward / peak:.0%}"]
            if work
            else ["", ""]
        )
        shape = "×".join(map(str, items[0].input))
        words = ", ".join(str(item.layer) for item in items)
        print(f"| {words} | {shape} | {forward:.2f} | {shares[0]} | {backward:.2f} | {shares[1]} |")
    for name, seconds in rest.items():
        print(f"| {name} | | {seconds:.2f} | | | |")
    print(flush=True)


def linearity(experiment: Experiment, dataset: Dataset) -> None:
    """An epoch's time over the number of images, and over multiply-adds."""
    print("\n| images | seconds | microseconds an image |\n| --: | --: | --: |")
    for share in (0.25, 0.5, 1.0):
        part = first_images(dataset, int(share * len(dataset.train)))
        seconds = epoch_seconds(experiment, part)
        print(f"| {len(part.train):,} | {seconds:.2f} | {1e6 * seconds / len(part.train):.1f} |")
    print("\n| channels | multiply-adds an image | seconds | nanoseconds each |\n| --: | --: | --: | --: |")
    for channels in (8, 16, 32):
        layers = [f"conv 3x3 {channels}, relu"] * 4 + ["gap", "linear 10"]
        wider = experiment.model_copy(update={"network": type(experiment.network)(layers=tuple(layers))})
        wider.__dict__.pop("model_summary", None)
        work = wider.model_summary.multiply_adds
        part = first_images(dataset, min(10_000, len(dataset.train)))
        seconds = epoch_seconds(wider, part)
        print(f"| {channels} | {work:,} | {seconds:.2f} | {1e9 * seconds / work / len(part.train):.4f} |", flush=True)


def epoch_seconds(experiment: Experiment, dataset: Dataset) -> float:
    """The median of three epochs, after one that is not counted."""
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
