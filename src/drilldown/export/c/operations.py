"""The operations of the C code: nodes, with activations and poolings that the convolution before them does itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from drilldown.export.graph import Graph
from drilldown.export.integer import IntegerConv, IntegerGraph
from drilldown.export.names import ScheduleName
from drilldown.export.schedule import Memory, Step, plan
from drilldown.network.layout import IMAGE


@dataclass(frozen=True, slots=True)
class Operation:
    """A step of the C code; it makes one row after another."""

    name: str
    """A name that is valid in C, and that no other operation has."""
    node: Any
    """The first of its nodes, in floating point or in integers."""
    sources: tuple[int, ...]
    """The indices of the operations whose outputs it takes, IMAGE for the image."""
    activation: Any = None
    """The node of the activation that a convolution applies to its output."""
    pool: int = 1
    """The side of the windows whose maxima a convolution writes."""
    is_summed: bool = False
    """Whether a convolution only adds its sums to those of its channels."""
    output: tuple[int, int, int] = (0, 0, 0)
    """(channels, height, width), after activation and pooling."""

    @property
    def kind(self) -> str:
        """The kind of its node."""
        return str(self.node.kind)

    @property
    def span(self) -> int:
        """The number of input rows from the first to the last that one output row depends on."""
        match self.kind:
            case "conv":
                return int(self.node.dilation * (self.node.kernel - 1) + 1)
            case "maxpool" | "avgpool" | "blurpool":
                return int(self.node.size)
        return 1

    @property
    def step(self) -> Step:
        """The operation for the schedule."""
        height, rows, node = self.node.input[1], self.output[1], self.node
        turns = node.output[1] if self.is_summed else rows * self.pool
        match self.kind:
            case "conv" | "maxpool" | "avgpool" | "blurpool":
                return Step(
                    sources=self.sources, height=height, turns=turns, rows=rows, stride=node.stride,
                    first=-node.pad, reach=self.span,
                )  # fmt: skip
            case "gap" | "flatten":  # they take one row after another, and have their output after the last
                return Step(sources=self.sources, height=height, turns=height, rows=1)
            case "gn" | "se":
                return Step(sources=self.sources, height=height, turns=rows, rows=rows, keeps=True)
        return Step(sources=self.sources, height=height, turns=rows, rows=rows)


def operations_of(network: Graph | IntegerGraph) -> list[Operation]:
    """The operations of a network, in the order of their calculation."""
    return list(_fused(network))


def _fused(network: Graph | IntegerGraph) -> Iterator[Operation]:
    nodes: Sequence[Any] = network.nodes
    names, index, count, place = Counter[str](), 0, 0, {IMAGE: IMAGE}
    while index < len(nodes):
        node, last = nodes[index], index

        def follower(last: int) -> Any:
            """The node that alone takes the output of another, if it is the next one."""
            alone = network.takers[last] == 1 and last + 1 < len(nodes) and nodes[last + 1].sources == (last,)
            return nodes[last + 1] if alone else None

        activation, pool = None, 1
        after = follower(last)
        is_summed = _gives_sums(node) and after is not None
        last += is_summed  # the mean behind it
        if node.kind == "conv" and not _gives_sums(node):
            after = follower(last)
            if after is not None and after.kind in ("activation", "table"):
                activation, last = after, last + 1
            after = follower(last)
            if after is not None and after.kind == "maxpool" and after.size == after.stride and not after.pad:
                pool, last = after.size, last + 1
        name = re.sub(r"\W", "_", node.name)
        names[name] += 1
        name = name if names[name] == 1 else f"{name}_{names[name]}"
        yield Operation(
            name,
            node,
            tuple(place[source] for source in node.sources),
            activation,
            pool,
            is_summed,
            nodes[last].output,
        )
        for inner in range(index, last + 1):
            place[inner] = count
        index, count = last + 1, count + 1


def _gives_sums(node: Any) -> bool:
    return isinstance(node, IntegerConv) and node.multiplier is None


def plan_memory(
    schedule: ScheduleName, image: tuple[int, int, int], operations: Sequence[Operation], *, is_float: bool
) -> Memory:
    """The places of all tensors, in elements.

    Logits that are sums are written to the caller's array, and sums of channels lie in an array of their own.
    """
    channels, height, width = image
    sizes = []
    for operation in operations:
        out, _, columns = operation.output
        elsewhere = not is_float and (_gives_sums(operation.node) or getattr(operation.node, "is_sum", False))
        sizes.append(0 if elsewhere else out * columns)
    steps = [operation.step for operation in operations]
    return plan(schedule, steps, (height, width * channels), sizes, keep_image=is_float)
