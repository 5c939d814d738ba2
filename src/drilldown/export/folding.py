"""Folds a trained network into a graph for inference, in float64.

While the layers are read one after another, a value is a node's output with a scale and a shift of each channel that
are still to be applied. A batch norm, or the normalisation of the images, only changes scale and shift. They go

- back into the weights of the convolution that gives the value, where no other layer takes its output,
- or forward into the next convolution,
- or, where neither is possible, into a convolution of their own: 1x1, and each channel for itself.

If the training rounded the weights, they stay whole numbers of steps. A scale of an output channel goes into the steps.
Different scales of the channels that an output sees would not, so their sizes first go back to the convolution before,
through relu and poolings, and their signs into the whole numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.experiment import Experiment
from drilldown.export import graph
from drilldown.export.graph import Graph, Node, Shape
from drilldown.network import layers
from drilldown.network.layers import Layer
from drilldown.network.layout import IMAGE, PlacedLayer
from drilldown.network.rounding import INNER_BITS, OUTER_BITS, Rounding, roundings


@dataclass(frozen=True, slots=True)
class _Value:
    """The output of a node, before its scale and its shift are applied."""

    source: int
    shape: Shape
    scale: torch.Tensor
    """(channels,), float64."""
    shift: torch.Tensor
    """(channels,), float64."""
    owned: bool
    """Whether no other layer takes the node's output, so that the node itself may be changed."""

    @property
    def is_plain(self) -> bool:
        """Whether scale and shift change nothing."""
        return bool((self.scale == 1).all() and (self.shift == 0).all())


def fold_experiment(
    experiment: Experiment, network: nn.Module, normalisation: tuple[Sequence[float], Sequence[float]]
) -> Graph:
    """Folds the judged network of an experiment in block notation, with weights as its precision rounds them.

    *Arguments*, *raises*: as of `fold`. `normalisation`: mean and standard deviation of each channel.
    """
    assert experiment.layout is not None
    rounded = roundings(network) if experiment.recipe.precision == "int4" else None
    return fold(experiment.layout, network, *normalisation, rounded)


def fold(
    layout: Sequence[PlacedLayer], network: nn.Module, mean: Sequence[float], std: Sequence[float],
    roundings: Mapping[str, Rounding] | None = None,
) -> Graph:  # fmt: skip
    """Folds a trained network in block notation.

    *Arguments*: `layout`: the network's layers. `network`: the module of `experiment.build`, with trained weights.
    `mean`, `std`: of each channel's pixels, scaled to 0…1, as of `normalise_pixels`. `roundings`: of the weights, by
    the name of the layer, where the training rounded them.

    *Returns* a graph that maps raw pixels to the logits that the network gives for normalised ones.

    *Raises* DrilldownError where a layer cannot be exported.

    >>> from drilldown.network.layout import lay_out
    >>> from drilldown.network.modules import build_network
    >>> layout = lay_out(["conv 3x3 8, bn, relu", "gap, linear 10"], (1, 28, 28), 10)
    >>> [node.kind for node in fold(layout, build_network(layout).eval(), [0.13], [0.31]).nodes]
    ['conv', 'gap', 'conv']
    """
    builder = _Builder(layout, roundings or {})
    values = {IMAGE: _image_value(layout[0].input, mean, std)}
    for index, placed in enumerate(layout):
        inputs = [values[source] for source in placed.sources]
        value = builder.add(placed, network.get_submodule(placed.name), inputs)
        if builder.takers[index] > 1:  # later layers must not change the node for each other
            value = replace(builder.folded_back(value), owned=False)
            builder.shared.add(value.source)
        values[index] = value
    last = builder.settled(values[len(layout) - 1], "logits")
    assert last.source == len(builder.nodes) - 1
    return Graph(layout[0].input, tuple(builder.nodes))  # type: ignore[arg-type]


def _image_value(shape: tuple[int, ...], mean: Sequence[float], std: Sequence[float]) -> _Value:
    """The raw image, with the normalisation still to be applied."""
    deviation = torch.tensor(std, dtype=torch.float64)
    shift = -torch.tensor(mean, dtype=torch.float64) / deviation
    return _Value(IMAGE, _image_shape(shape), 1 / (255 * deviation), shift, owned=False)


def _image_shape(shape: tuple[int, ...]) -> Shape:
    """A shape of the layout with three dimensions."""
    channels, height, width = shape if len(shape) == 3 else (*shape, 1, 1)
    return channels, height, width


class _Builder:
    """The nodes so far, while layers are added one after another."""

    def __init__(self, layout: Sequence[PlacedLayer], roundings: Mapping[str, Rounding]) -> None:
        self.nodes: list[Node] = []
        self.roundings = roundings
        self.shared = {IMAGE}
        """The nodes whose outputs several layers take, and the image: they must not change for one layer."""
        self.takers = Counter(source for placed in layout for source in placed.sources)

    def add(self, placed: PlacedLayer, module: nn.Module, inputs: Sequence[_Value]) -> _Value:
        """Adds a layer behind the values that it takes."""
        name, layer, value = placed.name, placed.layer, inputs[0]
        match layer:
            case layers.Dropout():
                return value
            case layers.BatchNorm():
                return self._batch_norm(value, module)
            case layers.Conv() | layers.Linear():
                return self._convolution(name, layer, value, module)
            case layers.GlobalAveragePool():
                return self._mean(name, value)
            case layers.MaxPool() | layers.AvgPool() | layers.BlurPool():
                return self._pool(name, layer, value, placed)
            case layers.Flatten():
                return self._flatten(name, value)
            case layers.Add():
                one, other = (self.settled(item, name) for item in inputs)
                return self._append(
                    graph.Add(name=name, sources=(one.source, other.source), input=one.shape, output=one.shape)
                )
            case layers.SqueezeExcitation() | layers.GroupNorm() | layers.LayerNorm():
                return self._whole(name, self.settled(value, name), module)
        return self._activation(name, layer, self.settled(value, name), module)

    def folded_back(self, value: _Value) -> _Value:
        """The value with its scale and its shift in the weights of its convolution, where that is possible."""
        node = None if value.source == IMAGE else self.nodes[value.source]
        if value.is_plain or not value.owned or not isinstance(node, graph.Conv) or node.relu:
            return value
        self.nodes[value.source] = node.scaled(value.scale, value.shift)
        return _plain(value.source, value.shape)

    def with_signs(self, value: _Value) -> _Value | None:
        """The value with scales of 1, 0 and −1, whose sizes are in the weights of a convolution before it.

        None where a function is between them that a factor does not pass.
        """
        size, index = torch.where(value.scale == 0, 1.0, value.scale.abs()), value.source
        while index not in self.shared:
            node = self.nodes[index]
            if isinstance(node, graph.Conv):
                self.nodes[index] = node.scaled(size)
                return replace(value, scale=value.scale.sign())
            if isinstance(node, graph.Flatten):
                pixels = size.view(node.input[0], -1)
                if bool((pixels != pixels[:, :1]).any()):
                    return None
                size = pixels[:, 0]
            elif not graph.is_proportional(node):
                return None
            (index,) = node.sources
        return None

    def settled(self, value: _Value, name: str) -> _Value:
        """The value with its scale and its shift applied."""
        value = self.folded_back(value)
        if value.is_plain:
            return value
        channels = value.shape[0]
        return self._append(
            graph.Conv(
                name=f"{name}.scale",
                sources=(value.source,),
                input=value.shape,
                output=value.shape,
                weight=value.scale.view(-1, 1, 1, 1),
                bias=value.shift,
                groups=channels,
            )
        )

    def _append(self, node: Node) -> _Value:
        self.nodes.append(node)
        return _plain(len(self.nodes) - 1, node.output)

    def _batch_norm(self, value: _Value, module: nn.Module) -> _Value:
        assert isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
        assert module.running_mean is not None
        assert module.running_var is not None
        scale = (module.running_var.double() + module.eps).rsqrt()
        shift = -module.running_mean.double() * scale
        if module.weight is not None:
            scale, shift = scale * module.weight.detach().double(), shift * module.weight.detach().double()
        shift = shift + module.bias.detach().double()
        return self.folded_back(replace(value, scale=value.scale * scale, shift=value.shift * scale + shift))

    def _convolution(self, name: str, layer: layers.Conv | layers.Linear, value: _Value, module: nn.Module) -> _Value:
        assert isinstance(module, nn.Conv2d | nn.Linear)
        window = layer if isinstance(layer, layers.Conv) else layers.Conv(1, layer.out)
        padding = _padding(value) if window.pad else None
        if window.pad and padding is None and bool((value.shift != 0).any()):
            value = self.settled(value, name)  # zeros around the image are not zeros before scale and shift
        weight = module.weight.detach().double()
        weight = weight.view(*weight.shape[:2], *weight.shape[2:] or (1, 1))
        rounding = self.roundings.get(name)
        if rounding is not None and not _is_even(value.scale, window.groups, weight.shape[1]):
            signs = self.with_signs(value)
            if signs is None and rounding.bits == INNER_BITS:  # 8 bits are rounded again: there it costs little
                signs, padding = self.settled(value, name), None
            value, rounding = (signs, rounding) if signs is not None else (value, None)
        bias = torch.zeros(window.out, dtype=torch.float64) if module.bias is None else module.bias.detach().double()
        seen = weight.shape[1]
        scale = value.scale.view(window.groups, 1, seen).repeat(1, window.out // window.groups, 1).view(-1, seen)
        steps = None
        if rounding is not None:  # 0 for a channel whose weights are all 0
            steps = rounding.steps(weight).flatten() * scale.abs().amax(1) * weight.flatten(1).any(1)
        return self._append(
            graph.Conv(
                name=name,
                sources=(value.source,),
                input=value.shape,
                output=_image_shape(window.output(value.shape)),
                weight=weight * scale[:, :, None, None],
                bias=bias + graph.sums_by_output(weight, value.shift, window.groups),
                stride=window.stride,
                pad=window.pad,
                dilation=window.dilation,
                groups=window.groups,
                padding=padding,
                bits=OUTER_BITS if rounding is None else rounding.bits,
                steps=steps,
            )
        )

    def _mean(self, name: str, value: _Value) -> _Value:
        channels, height, width = value.shape
        if height * width == 1:
            return value
        value = self.folded_back(value)
        node = None if value.source == IMAGE else self.nodes[value.source]
        pooled = graph.Mean(name=name, sources=(value.source,), input=value.shape, output=(channels, 1, 1))
        if isinstance(node, graph.Conv) and value.owned and _is_pointwise(node):
            # The mean of a 1x1 convolution is the convolution of the means, which is less work.
            before = replace(pooled, sources=node.sources, input=node.input, output=(node.input[0], 1, 1))
            self.nodes[value.source] = before
            moved = replace(node, sources=(value.source,), input=before.output, output=pooled.output)
            return replace(self._append(moved), scale=value.scale, shift=value.shift)
        return replace(self._append(pooled), scale=value.scale, shift=value.shift)

    def _pool(
        self, name: str, layer: layers.MaxPool | layers.AvgPool | layers.BlurPool, value: _Value, placed: PlacedLayer
    ) -> _Value:
        value = self.folded_back(value)
        shifted = bool((value.shift != 0).any())
        if isinstance(layer, layers.MaxPool):
            passes = bool((value.scale > 0).all())
        else:
            passes = not (isinstance(layer, layers.AvgPool) and layer.pad and shifted)
        if not passes:
            value = self.settled(value, name)
        kind = {layers.MaxPool: graph.MaxPool, layers.AvgPool: graph.AvgPool, layers.BlurPool: graph.BlurPool}
        node = kind[type(layer)](
            name=name,
            sources=(value.source,),
            input=value.shape,
            output=_image_shape(placed.output),
            size=layer.size,
            stride=layer.stride,
            pad=layer.window.pad,
        )
        return replace(self._append(node), scale=value.scale, shift=value.shift)

    def _flatten(self, name: str, value: _Value) -> _Value:
        channels, height, width = value.shape
        if height * width == 1:
            return value
        value = self.folded_back(value)
        output = (channels * height * width, 1, 1)
        flat = self._append(graph.Flatten(name=name, sources=(value.source,), input=value.shape, output=output))
        scale, shift = (item.repeat_interleave(height * width) for item in (value.scale, value.shift))
        return replace(flat, scale=scale, shift=shift)

    def _activation(self, name: str, layer: Layer, value: _Value, module: nn.Module) -> _Value:
        function, slope = _function(name, layer, module)
        node = None if value.source == IMAGE else self.nodes[value.source]
        if function == "relu" and value.owned and isinstance(node, graph.Conv | graph.Add):
            self.nodes[value.source] = replace(node, relu=True)
            return value
        return self._append(
            graph.Activation(
                name=name, sources=(value.source,), input=value.shape, output=value.shape, function=function,
                slope=slope,
            )
        )  # fmt: skip

    def _whole(self, name: str, value: _Value, module: nn.Module) -> _Value:
        tensors: Mapping[str, torch.Tensor] = {
            key: tensor.detach().double() for key, tensor in module.state_dict().items()
        }
        if isinstance(module, nn.GroupNorm):
            return self._append(
                graph.GroupNorm(
                    name=name, sources=(value.source,), input=value.shape, output=value.shape,
                    groups=module.num_groups, epsilon=module.eps, weight=tensors["weight"], bias=tensors["bias"],
                )
            )  # fmt: skip
        return self._append(
            graph.Excitation(
                name=name, sources=(value.source,), input=value.shape, output=value.shape,
                squeeze=tensors["squeeze.weight"], squeeze_bias=tensors["squeeze.bias"],
                excite=tensors["excite.weight"], excite_bias=tensors["excite.bias"],
            )
        )  # fmt: skip


def _padding(value: _Value) -> torch.Tensor | None:
    """The pixel that becomes 0 by scale and shift, (channels,); None where the value is no image, or no pixel does."""
    pixel = -value.shift / value.scale
    return pixel if value.source == IMAGE and bool(((pixel >= 0) & (pixel <= 255)).all()) else None


def _is_even(scale: torch.Tensor, groups: int, seen: int) -> bool:
    """Whether the channels that an output sees have scales of one size, or of 0."""
    sizes = scale.abs().view(groups, -1)
    largest = sizes.amax(1, keepdim=True)
    return seen == 1 or bool(((sizes == largest) | (sizes == 0)).all())


def _plain(source: int, shape: Shape) -> _Value:
    """A node's output with nothing to apply."""
    channels = shape[0]
    ones = torch.ones(channels, dtype=torch.float64)
    return _Value(source, shape, ones, torch.zeros_like(ones), owned=True)


def _is_pointwise(node: graph.Conv) -> bool:
    """Whether each pixel of the output depends on the same pixel of the input, in the same linear way."""
    return node.kernel == node.stride == 1 and not node.pad and not node.relu


def _function(name: str, layer: Layer, module: nn.Module) -> tuple[str, float]:
    """The name of an activation, and the slope of `leaky`; raises DrilldownError where it is not known."""
    match layer:
        case layers.LeakyReLU():
            return "leaky", layer.slope
        case layers.PReLU():
            assert isinstance(module, nn.PReLU)
            return "leaky", module.weight.item()
        case layers.ReLU() | layers.SiLU() | layers.GELU() | layers.Hardswish():
            return layer.word, 0.0
    raise DrilldownError(Problem(place=f"network: {name}", found=f'the export does not know the layer "{layer.word}"'))
