"""The dimensions of a network in block notation: widths, depth, head.

A *unit* is a convolution with the layers behind it that work element by element; a depthwise convolution and the 1x1
convolution behind it are one unit. A *stage* is a sequence of units without pooling between them.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from drilldown.experiment.experiment import Experiment
from drilldown.network.blocks import layers_in
from drilldown.network.layers import (
    Conv,
    Flatten,
    GlobalAveragePool,
    GroupNorm,
    Layer,
    Linear,
    SeparableConv,
)
from drilldown.network.layout import PlacedLayer
from drilldown.search.default_widths import TRIES, place_numbers, width_dimension
from drilldown.search.tables import Choice, Dimension, IntDimension


@dataclass(slots=True)
class _Unit:
    """Layers that stay together."""

    items: list[PlacedLayer]
    text: str = ""
    """The unit in block notation, with names for widths."""
    repeated: str = ""
    """The same text for a copy behind the unit; it is padded, so that the image keeps its size."""

    @property
    def convs(self) -> list[Conv]:
        return [item.layer for item in self.items if isinstance(item.layer, Conv)]

    @property
    def can_repeat(self) -> bool:
        """Whether a copy can keep the size of the image."""
        return all(conv.stride == 1 and conv.kernel % 2 for conv in self.convs)

    @property
    def spatial(self) -> bool:
        return any(conv.kernel > 1 for conv in self.convs)


@dataclass(slots=True)
class _Widths:
    """The names of widths, and which numbers each must be a multiple of."""

    items: dict[str, PlacedLayer] = field(default_factory=dict)
    multiples: dict[str, int] = field(default_factory=dict)

    def add(self, item: PlacedLayer) -> str:
        name = f"w{len(self.items) + 1}"
        self.items[name], self.multiples[name] = item, 1
        return name

    def divide(self, groups: int, *names: str | None) -> None:
        """Notes that `groups` must divide these widths."""
        for name in names:
            if name is not None:
                self.multiples[name] = math.lcm(self.multiples[name], groups)

    def dimensions(self) -> dict[str, IntDimension]:
        """From half to double the network's own width."""
        found = {}
        for name, item in self.items.items():
            assert isinstance(item.layer, Conv | Linear)
            found[name] = width_dimension(item.layer.out, self.multiples[name])
        return found


def vary_layers(experiment: Experiment) -> tuple[list[str], dict[str, Dimension]]:
    """Returns the blocks of an experiment with names, and the dimensions of these names.

    Every width is half to double its own; convolutions with the number of their input channels as `groups` follow their
    input. In each stage, one unit is once, never or twice in the network. The head is `gap` and a linear layer, a 1x1
    convolution and `gap`, or a layer with a weight for every position, as far as these fit the images and the budget.

    >>> blocks, dimensions = vary_layers(drilldown.load("eva5-s5/04"))
    >>> blocks[1:4]
    ['{depth1}', 'maxpool 2', 'conv 3x3 {w3}, bn, relu']
    >>> dimensions["depth1"].values
    ('conv 3x3 {w2}, bn, relu', '', 'conv 3x3 {w2}, bn, relu, conv 3x3 {w2} pad=1, bn, relu')
    """
    items = _own_layers(experiment)
    weighted = [item for item in items if isinstance(item.layer, Conv | Linear)]
    classifier = weighted[-1] if weighted else None
    units = _units(items)
    widths = _write(units, classifier)
    dimensions: dict[str, Dimension] = dict(widths.dimensions())
    first, last = _head(units, classifier)
    own = [unit.text for unit in units]
    blocks = list(own)
    numbers = {name: dimension for name, dimension in dimensions.items() if isinstance(dimension, IntDimension)}
    for number, stage in enumerate(_stages(units, range(first)), start=1):
        choice = _depth(stage, units, own, numbers, experiment)
        if choice is not None:
            position, dimensions[f"depth{number}"] = choice
            blocks[position] = f"{{depth{number}}}"
    heads = _heads(units[first:last], own[:first], numbers, experiment)
    if len(heads) > 1:
        dimensions["head"] = Choice(one_of=heads)
        blocks[first:last] = ["{head}"]
    return blocks, dimensions


def _own_layers(experiment: Experiment) -> list[PlacedLayer]:
    """Returns the layers that the file gives, without each `flatten` that the layout adds."""
    placed = iter(experiment.layout or ())
    items = []
    for layer in layers_in(experiment.network.layers or ()):
        item = next(placed)
        items.append(next(placed) if isinstance(item.layer, Flatten) and not isinstance(layer, Flatten) else item)
        if isinstance(layer, SeparableConv):
            items.append(next(placed))  # it stands for two convolutions
    return items


def _units(items: Sequence[PlacedLayer]) -> list[_Unit]:
    units: list[_Unit] = []
    for item in items:
        behind_depthwise = bool(units) and _is_depthwise_open(units[-1])
        pointwise = isinstance(item.layer, Conv) and item.layer.kernel == 1 and item.layer.groups == 1
        if units and (item.layer.overwrites or (behind_depthwise and pointwise)):
            units[-1].items.append(item)
        else:
            units.append(_Unit([item]))
    return units


def _is_depthwise(item: PlacedLayer) -> bool:
    layer = item.layer
    return isinstance(layer, Conv) and layer.groups > 1 and layer.groups == item.input[0] == layer.out


def _is_depthwise_open(unit: _Unit) -> bool:
    """Whether the last convolution of a unit is depthwise, so that a 1x1 convolution belongs to it."""
    return _is_depthwise([item for item in unit.items if isinstance(item.layer, Conv)][-1]) if unit.convs else False


def _write(units: Sequence[_Unit], classifier: PlacedLayer | None) -> _Widths:
    """Writes the text of each unit, with a name for each width; the classifier keeps its number of outputs."""
    widths = _Widths()
    channels: str | None = None  # the name of the number of channels at this point
    for unit in units:
        own: dict[int, str] = {}
        for index, item in enumerate(unit.items):
            if isinstance(item.layer, Conv | Linear) and item is not classifier and not _is_depthwise(item):
                own[index] = widths.add(item)
        unit.text, behind = _unit_text(unit, channels, own, widths, classifier, padded=False)
        unit.repeated, _ = _unit_text(unit, behind, own, widths, classifier, padded=True)
        channels = behind
    return widths


def _unit_text(
    unit: _Unit, channels: str | None, own: Mapping[int, str], widths: _Widths, classifier: PlacedLayer | None,
    *, padded: bool,
) -> tuple[str, str | None]:  # fmt: skip
    """Returns the text of a unit behind a layer with `channels` outputs, and the name of its own outputs."""
    texts = []
    for index, item in enumerate(unit.items):
        layer: Layer = item.layer
        name = own.get(index)
        if isinstance(layer, Conv):
            layer = dataclasses.replace(layer, pad=layer.span // 2) if padded else layer
            follows = _is_depthwise(item) and item is not classifier and channels is not None
            if layer.groups > 1 and not follows:
                widths.divide(layer.groups, name, channels)
            channels = channels if follows else name
            texts.append(_conv_text(layer, channels, follows=follows))
        elif isinstance(layer, GroupNorm):
            widths.divide(layer.groups, channels)
            texts.append(str(layer))
        elif isinstance(layer, Linear):
            channels = name
            texts.append(f"linear {{{name}}}" if name else str(layer))
        else:
            channels = channels if item.input[0] == item.output[0] else None
            texts.append(str(layer))
    return ", ".join(texts), channels


def _conv_text(conv: Conv, out: str | None, *, follows: bool) -> str:
    word, kernel, number, *options = str(conv).split()
    if follows:
        options = [f"groups={{{out}}}" if option.startswith("groups=") else option for option in options]
    return " ".join([word, kernel, number if out is None else f"{{{out}}}", *options])


def _stages(units: Sequence[_Unit], positions: range) -> Iterator[list[int]]:
    """Yields the positions of the units of each stage."""
    for is_stage, stage in itertools.groupby(positions, key=lambda position: bool(units[position].convs)):
        if is_stage:
            yield list(stage)


def _depth(
    stage: Sequence[int], units: Sequence[_Unit], blocks: list[str], widths: Mapping[str, IntDimension],
    experiment: Experiment,
) -> tuple[int, Choice] | None:  # fmt: skip
    """Finds the unit of a stage that can best be left out or repeated; returns its position and the choice."""
    best: tuple[tuple[int, bool, int], Choice] | None = None
    for position in stage:
        unit = units[position]
        variants = [""] if len(stage) > 1 else []  # a stage keeps at least one unit
        variants += [f"{unit.text}, {unit.repeated}"] if unit.can_repeat else []
        fitting = [
            variant
            for variant in variants
            if _fits([*blocks[:position], variant, *blocks[position + 1 :]], widths, experiment)
        ]
        rank = len(fitting), unit.spatial, position
        if fitting and (best is None or rank > best[0]):
            best = rank, Choice(one_of=[unit.text, *fitting])
    return None if best is None else (best[0][2], best[1])


def _fits(blocks: Sequence[str], widths: Mapping[str, IntDimension], experiment: Experiment) -> bool:
    """Whether these blocks make a network for many widths; blocks may contain the names of widths only."""
    rng = Random(0)
    drawn = [{name: width.sample(rng) for name, width in widths.items()} for _ in range(TRIES)]
    return all(_count(blocks, numbers, experiment) is not None for numbers in drawn)


def _count(blocks: Sequence[str], numbers: Mapping[str, int], experiment: Experiment) -> int | None:
    """Counts the parameters with these widths; None where there is no such network."""
    placed = place_numbers([block for block in blocks if block], numbers, experiment)
    return None if placed is None else sum(item.parameters for item in placed)


def _head(units: Sequence[_Unit], classifier: PlacedLayer | None) -> tuple[int, int]:
    """Returns the positions of the head, (first, last + 1): the classifier with the poolings before and after it."""
    position = next((n for n, unit in enumerate(units) if classifier in unit.items), len(units))
    first = position
    while first and _only(units[first - 1], GlobalAveragePool, Flatten):
        first -= 1
    return first, len(units)


def _heads(
    head: Sequence[_Unit], body: Sequence[str], widths: Mapping[str, IntDimension], experiment: Experiment
) -> list[str]:
    """Returns the possible heads, its own first; only that one where the head is none of the usual ones."""
    classes = experiment.image[1]
    layers = [item.layer for unit in head for item in unit.items]
    plain = all(_only(unit, GlobalAveragePool, Flatten, Conv, Linear) for unit in head)
    if not head or not plain or math.prod(head[0].items[0].input[1:]) == 1:
        return []  # the image has one pixel, or there is no image: all heads are the same
    own = ", ".join(unit.text for unit in head)
    pooled = any(isinstance(layer, GlobalAveragePool) for layer in layers)
    linear = any(isinstance(layer, Linear) for layer in layers)
    pointwise = any(isinstance(layer, Conv) and layer.kernel == 1 for layer in layers)
    others = {
        f"gap, linear {classes}": pooled and linear,
        f"conv 1x1 {classes}, gap": pooled and pointwise,
        f"flatten, linear {classes}": not pooled,
    }
    narrow = {name: width.low for name, width in widths.items()}
    limit = experiment.budget.parameters or math.inf
    limit = max(limit, _count([*body, own], narrow, experiment) or 0)  # a head that is no larger than its own is fine
    return [own] + [
        text
        for text, is_own in others.items()
        if not is_own and (_count([*body, text], narrow, experiment) or math.inf) <= limit
    ]


def _only(unit: _Unit, *kinds: type[Layer]) -> bool:
    return len(unit.items) == 1 and isinstance(unit.items[0].layer, kinds)
