"""Compares the native engine with the plain pipelines on kinds of experiments beside the usual ones.

    python benchmarks/kinds.py [KIND…] [--images N] [--rounds N]

The kinds are the flagship with Adam, a network with skips, one with separable convolutions, and colour images of 32x32
pixels; all train with Adam.

The pipelines take turns, epoch by epoch, and the ratios are computed round by round: they hold on a busy machine too.
The script prints a Markdown table for README.md beside this file.
"""

from __future__ import annotations

import argparse
import math
import statistics

import torch

import drilldown
from drilldown.benchmark.measure import ROUNDS, measure_speed
from drilldown.data.dataset import Dataset, Split
from drilldown.data.loading import load_dataset
from drilldown.engines.native.engine import NativeEngine
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.network import Network
from drilldown.network.blocks import Block
from drilldown.network.layers import Conv
from drilldown.settings import Compute
from drilldown.training.training import Training

FLAGSHIP = "under-8k"
RECIPE = ('recipe.optimizer={ name = "adam", lr = 0.01 }', 'recipe.schedule={ name = "constant" }')
"""With it, every pipeline learns in a few epochs; a warm-up would need more."""
SKIPS: tuple[Block, ...] = (
    "conv 3x3 8, bn, relu",
    {"skip": ["conv 3x3 8 pad=same, bn, relu, conv 3x3 8 pad=same, bn"]},
    "relu, maxpool 2",
    {"skip": ["conv 3x3 16 pad=same, bn, relu, conv 3x3 16 pad=same, bn"]},
    "relu, maxpool 2",
    {"skip": ["conv 3x3 16 pad=same, bn, relu"]},
    "gap, linear 10",
)
SEPARABLE: tuple[Block, ...] = (
    "conv 3x3 12, bn, relu",
    "sep 3x3 20 pad=same, bn, relu, maxpool 2",
    "sep 3x3 24 pad=same, bn, relu",
    "sep 3x3 32 pad=same, bn, relu, maxpool 2",
    "sep 3x3 64 pad=same, bn, relu, gap, linear 10",
)
COLOUR: tuple[Block, ...] = (
    "conv 3x3 12 pad=same, bn, relu, maxpool 2",
    "conv 3x3 16 pad=same, bn, relu, maxpool 2",
    "conv 3x3 24 pad=same, bn, relu",
    "gap, linear 10",
)
KINDS = ("adam", "skips", "separable", "colour")


def main() -> None:
    """Measures each kind and prints a row of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"any of {', '.join(KINDS)}; all by default")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    print("| kind | drilldown, s | loader, s | memory, s | loader ÷ drilldown | memory ÷ drilldown |")
    print("| --- | --: | --: | --: | --: | --: |")
    for kind in options.kinds or KINDS:
        experiment, dataset = make(kind, options.images)
        measured = measure_speed(experiment, dataset, rounds=options.rounds)
        assert measured.engine == "native", measured.engine
        seconds = [statistics.median(measured[name].seconds) for name in ("drilldown", "loader", "memory")]
        ratios = [measured[name].ratios for name in ("loader", "memory")]
        shown = [f"**{statistics.median(each):.1f}** ({min(each):.1f}–{max(each):.1f})" for each in ratios]
        print(" | ".join([f"| {kind}", *(f"{second:.2f}" for second in seconds), *shown]) + " |", flush=True)
    if "separable" in (options.kinds or KINDS):
        depthwise_share(*make("separable", options.images), options.rounds)


def depthwise_share(experiment: Experiment, dataset: Dataset, rounds: int) -> None:
    """Prints the shares of the depthwise convolutions in the multiply-adds and in the time of all convolutions."""
    training = Training(experiment, dataset, compute=Compute(engine="native"))
    assert isinstance(training.engine, NativeEngine)
    assert experiment.layout is not None
    layout, plan = experiment.layout, training.plan(1)
    shares = []
    for _ in range(rounds):
        training.engine.train_epoch(plan)
        work, seconds = {True: 0, False: 0}, {True: 0.0, False: 0.0}
        for positions, forward, backward in training.engine.timings()[0]:
            item = layout[positions][0]
            if isinstance(item.layer, Conv):
                is_depthwise = item.layer.groups == item.input[0] > 1
                work[is_depthwise] += item.multiply_adds
                seconds[is_depthwise] += forward + backward
        shares.append(seconds[True] / sum(seconds.values()))
    of_work, of_time = work[True] / sum(work.values()), statistics.median(shares)
    print(
        f"\nDepthwise convolutions of `separable`: {of_work:.1%} of the multiply-adds of all convolutions, "
        f"{of_time:.1%} of their time ({min(shares):.1%}–{max(shares):.1%}): {of_time / of_work:.2f} times their share"
    )


def make(kind: str, images: int) -> tuple[Experiment, Dataset]:
    """Makes the experiment and the data of a kind."""
    flagship = drilldown.load(FLAGSHIP, RECIPE)
    if kind == "adam":
        return flagship, first_digits(images)
    layers = {"skips": SKIPS, "separable": SEPARABLE, "colour": COLOUR}[kind]
    experiment = Experiment(title=kind, network=Network(layers=layers), recipe=flagship.recipe)
    if kind != "colour":
        return experiment, first_digits(images)
    dataset = stripes(images)
    experiment.__dict__["image"] = (dataset.image_shape, dataset.classes)  # in place of a folder of images
    return experiment, dataset


def first_digits(count: int) -> Dataset:
    """The first images of MNIST."""
    dataset = load_dataset("mnist")
    train = Split(dataset.train.images[:count], dataset.train.labels[:count])
    return Dataset("mnist", train, dataset.test, dataset.classes, dataset.mean, dataset.std, dataset.identity)


def stripes(count: int, side: int = 32) -> Dataset:
    """Coloured stripes with noise: five angles in two colours, ten classes."""
    generator = torch.Generator().manual_seed(0)

    def split(count: int) -> Split:
        labels = torch.randint(0, 10, (count,), generator=generator)
        angle = (labels % 5) * (math.pi / 5) + 0.1 * torch.randn(count, generator=generator)
        phase = 2 * math.pi * torch.rand(count, generator=generator)
        y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        along = x * angle.cos()[:, None, None] + y * angle.sin()[:, None, None]
        waves = torch.sin(0.8 * along + phase[:, None, None])[:, None]
        tints = torch.tensor([[1.0, 0.6, 0.3], [0.3, 0.6, 1.0]])[labels // 5][:, :, None, None]
        pixels = 128 + 80 * waves * tints + 20 * torch.randn(count, 3, side, side, generator=generator)
        return Split(pixels.clamp(0, 255).to(torch.uint8), labels)

    train, test = split(count), split(1_000)
    scaled = train.images.double() / 255
    mean, std = (tuple(map(float, value)) for value in (scaled.mean((0, 2, 3)), scaled.std((0, 2, 3))))
    return Dataset("stripes", train, test, 10, mean, std, "stripes")


if __name__ == "__main__":
    main()
