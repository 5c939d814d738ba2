"""The dimensions of a network with tables, such as skips: its widths, and how often its blocks are repeated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random

from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.network.blocks import LARGEST_REPEAT, Block, inner_blocks, layers_in, map_texts
from drilldown.network.layers import LARGEST_NUMBER, Conv, GroupNorm, Linear, SeparableConv, parse_block
from drilldown.network.layout import PlacedLayer, lay_out
from drilldown.search.names import replace_names
from drilldown.search.tables import IntDimension

NARROWEST = 2
"""The smallest width that a search tries, unless the network's own is smaller."""
TRIES = 20
"""The number of random networks that must be possible."""


def width_dimension(own: int, step: int = 1) -> IntDimension:
    """From half to double a network's own width, in multiples of `step`.

    >>> width_dimension(9).bounds, width_dimension(8, step=4).bounds
    ((4, 18), (4, 16))
    """
    low = min(own, math.ceil(max(NARROWEST, own // 2) / step) * step)
    high = max(own, min(2 * own, LARGEST_NUMBER // step * step))
    return IntDimension(int=(low, high), step=step, start=own)


def vary_widths(experiment: Experiment) -> tuple[list[Block], dict[str, IntDimension]]:
    """Returns the blocks of an experiment with names, and the dimensions of these names.

    Every width is half to double its own, and every block is repeated once to twice as often as it is, as far as the
    network allows it: a shared convolution, for example, has as many outputs as inputs.

    >>> skip = {"skip": ["conv 3x3 8 pad=same, bn"]}
    >>> network = {"layers": ["conv 3x3 8", {"repeat": 2, "layers": [skip]}, "gap", "linear 10"]}
    >>> blocks, dimensions = vary_widths(drilldown.load({"title": "A", "network": network}))
    >>> blocks[1]
    {'repeat': '{repeat1}', 'layers': [{'skip': ['conv 3x3 {w2} pad=1, bn']}]}
    >>> {name: dimension.bounds for name, dimension in dimensions.items()}
    {'w1': (4, 16), 'w2': (4, 16), 'repeat1': (1, 4)}
    """
    dimensions: dict[str, IntDimension] = {}
    blocks = _name_numbers(experiment.network.layers or (), _common_groups(experiment), dimensions)
    own = {name: dimension.start or dimension.low for name, dimension in dimensions.items()}
    kept = {
        name: dimension
        for name, dimension in dimensions.items()
        if all(_fits(blocks, {**own, name: value}, experiment) for value in dimension.bounds)
    }
    rng = Random(0)
    drawn = [{name: dimension.sample(rng) for name, dimension in kept.items()} for _ in range(TRIES)]
    # All repetitions together can make an image too small that each of them alone does not.
    ends = [{name: dimension.bounds[end] for name, dimension in kept.items()} for end in (0, 1)]
    for numbers in (*ends, *drawn):
        while kept and not _fits(blocks, own | {name: numbers[name] for name in kept}, experiment):
            kept.popitem()
    texts = {name: str(number) for name, number in own.items() if name not in kept}
    return list(map_texts(blocks, lambda text: replace_names(text, texts))), kept


def _common_groups(experiment: Experiment) -> int:
    """The number that all groups of convolutions and norms divide."""
    layers = layers_in(experiment.network.layers or ())
    return math.lcm(*(layer.groups for layer in layers if isinstance(layer, Conv | GroupNorm)))


def _name_numbers(blocks: Sequence[Block], step: int, dimensions: dict[str, IntDimension]) -> list[Block]:
    """Puts a name in place of each width and each number of repetitions, and adds their dimensions."""
    named: list[Block] = []
    for block in blocks:
        if isinstance(block, str):
            named.append(_name_widths(block, step, dimensions))
            continue
        key = "skip" if "skip" in block else "layers"
        table = {**block, key: _name_numbers(inner_blocks(block), step, dimensions)}
        if "repeat" in block:
            name = f"repeat{sum(name.startswith('repeat') for name in dimensions) + 1}"
            most = min(2 * block["repeat"], LARGEST_REPEAT)
            dimensions[name] = IntDimension(int=(1, most), start=block["repeat"])
            table["repeat"] = f"{{{name}}}"
        named.append(table)
    return named


def _name_widths(text: str, step: int, dimensions: dict[str, IntDimension]) -> str:
    layers = []
    for layer in parse_block(text):
        words = str(layer).split()
        if isinstance(layer, Conv | SeparableConv | Linear) and layer.out % step == 0:
            name = f"w{sum(name.startswith('w') for name in dimensions) + 1}"
            dimensions[name] = width_dimension(layer.out, step)
            words[1 if isinstance(layer, Linear) else 2] = f"{{{name}}}"
        layers.append(" ".join(words))
    return ", ".join(layers)


def place_numbers(
    blocks: Sequence[Block], numbers: Mapping[str, int], experiment: Experiment
) -> list[PlacedLayer] | None:
    """Lays out the blocks with numbers in place of names; None where there is no such network."""
    texts = {name: str(number) for name, number in numbers.items()}
    try:
        return lay_out(map_texts(blocks, lambda text: replace_names(text, texts)), *experiment.image)
    except DrilldownError:
        return None


def _fits(blocks: Sequence[Block], numbers: Mapping[str, int], experiment: Experiment) -> bool:
    """Whether there is a network with these numbers; the classifier's outputs, for example, are the classes."""
    return place_numbers(blocks, numbers, experiment) is not None
