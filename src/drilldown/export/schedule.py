"""The order of the calculation on a chip, and the memory that it takes.

The C code calculates each tensor row by row, with one function for each step. Two schedules call these functions:

- `rows`: whenever enough rows of its input exist, a step makes its next row. Only the rows that a later step still
  needs are kept, in a ring. The image arrives row by row, as from a camera.
- `tight`: as `rows`, with less memory and some copying. The newest row of a tensor lies in a place that several tensors
  share; when all steps have read it, it is copied into the ring, in place of a row that nobody needs any more.
- `layers`: each step makes all its rows, then the next step follows. A tensor is kept whole until its last use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from drilldown.export.names import ScheduleName
from drilldown.network.layout import IMAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A node as the schedule sees it."""

    sources: tuple[int, ...]
    height: int
    """The number of rows of its input."""
    turns: int
    """The number of times that its function is called for an image."""
    rows: int
    """The number of rows of its output."""
    stride: int = 1
    """The number of input rows between two turns."""
    first: int = 0
    """The first input row of the first turn; negative where it lies before the image."""
    reach: int = 1
    """The number of input rows of one turn, with those outside of the image; the height where it needs all."""
    keeps: bool = False
    """Whether a turn needs all input rows from its own on; else only its window."""

    def needed(self, turn: int) -> int:
        """The number of input rows that exist before a turn."""
        if self.keeps or self.height == 1:
            return self.height
        return min(self.height, turn * self.stride + self.first + self.reach)

    def oldest(self, turn: int) -> int:
        """The first input row that a turn, or a later one, needs."""
        if turn >= self.turns:
            return self.height
        return max(0, turn * self.stride + self.first)

    def made(self, turns: int) -> int:
        """The number of output rows after a number of turns: 4 turns make 2 rows where a turn makes half a row."""
        return turns * self.rows // self.turns


@dataclass(frozen=True, slots=True)
class Buffer:
    """The rows of a tensor in the memory of the network."""

    offset: int
    """In elements."""
    capacity: int
    """The number of rows that are kept; row y lies at y modulo it."""
    fresh: int | None = None
    """The place of its newest row, in elements, until the row is kept; None where rows are written where they stay."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The buffers of the image and of all steps."""

    image: Buffer
    buffers: tuple[Buffer, ...]
    size: int
    """The number of elements."""


def plan(
    schedule: ScheduleName, steps: Sequence[Step], image: tuple[int, int], row_sizes: Sequence[int], *, keep_image: bool
) -> Memory:
    """Finds a place for each tensor.

    *Arguments*: `image`: the number of rows of the image, and the number of elements of one. `row_sizes`: the number of
    elements of one output row of each step; 0 for an output that lies elsewhere. `keep_image`: whether the whole image
    is in this memory too, with the schedule `layers`.
    """
    if schedule == "rows":
        return _side_by_side(_capacities(steps, image[0]), [image[1], *row_sizes])
    if schedule == "tight":
        return _tight(steps, image[0], [image[1], *row_sizes])
    return _one_after_another(steps, image if keep_image else (image[0], 0), row_sizes)


def _tight(steps: Sequence[Step], height: int, row_sizes: Sequence[int]) -> Memory:
    """The rings side by side, and behind them the place that newest rows share."""
    last, whole = last_uses(steps), _capacities(steps, height)
    fresh = {
        source
        for source in last
        if row_sizes[source + 1]
        and (source == IMAGE or steps[source].turns == steps[source].rows)  # others write a row in several turns
        and not any(step.keeps for step in steps if source in step.sources)
    }
    kept = _capacities(steps, height, fresh)
    fresh = {source for source in fresh if kept[source + 1] < whole[source + 1]}
    capacities = [kept[i] if i - 1 in fresh else whole[i] for i in range(len(whole))]
    rings = _side_by_side(capacities, row_sizes)
    places, size = _pack({source: (source, last[source]) for source in fresh}, {s: row_sizes[s + 1] for s in fresh})
    buffers = [
        replace(buffer, fresh=rings.size + places[index - 1]) if index - 1 in fresh else buffer
        for index, buffer in enumerate((rings.image, *rings.buffers))
    ]
    return Memory(buffers[0], tuple(buffers[1:]), rings.size + size)


def last_uses(steps: Sequence[Step]) -> dict[int, int]:
    """The last step that takes each tensor."""
    return {source: index for index, step in enumerate(steps) for source in step.sources}


def _capacities(steps: Sequence[Step], height: int, fresh: Set[int] = frozenset()) -> list[int]:
    """The largest number of rows that are kept at the same time, of the image and of each step, by a rehearsal.

    *Arguments*: `fresh`: the tensors whose newest row does not count before all steps have read it.
    """
    turns, last = [0] * len(steps), last_uses(steps)
    most = [int(source not in fresh) for source in range(IMAGE, len(steps))]

    def made(source: int) -> int:
        return arrived if source == IMAGE else steps[source].made(turns[source])

    def watch(source: int, begun: int) -> None:
        """Counts the rows from the oldest that is needed to the one that was begun last."""
        ends = [step.oldest(turns[index]) for index, step in enumerate(steps) if source in step.sources]
        most[source + 1] = max(most[source + 1], begun - min(ends, default=0))

    for arrived in range(1, height + 1):
        if IMAGE not in fresh:
            watch(IMAGE, arrived)
        moved = True
        while moved:
            moved = False
            for index, step in enumerate(steps):
                if turns[index] < step.turns and all(made(s) >= step.needed(turns[index]) for s in step.sources):
                    if index not in fresh:
                        watch(index, step.made(turns[index]) + 1 if step.rows else 0)
                    turns[index] += 1
                    moved = True
                for source in fresh:
                    if last[source] == index:
                        watch(source, made(source))
    assert all(count == step.turns for count, step in zip(turns, steps, strict=True))
    return most


def _side_by_side(capacities: Sequence[int], row_sizes: Sequence[int]) -> Memory:
    buffers, offset = [], 0
    for capacity, size in zip(capacities, row_sizes, strict=True):
        buffers.append(Buffer(offset, capacity))
        offset += capacity * size
    return Memory(buffers[0], tuple(buffers[1:]), offset)


def _one_after_another(steps: Sequence[Step], image: tuple[int, int], row_sizes: Sequence[int]) -> Memory:
    """Places tensors that are needed at the same time side by side, the largest first."""
    last = last_uses(steps)
    sizes = {IMAGE: image[0] * image[1], **{i: steps[i].rows * size for i, size in enumerate(row_sizes)}}
    lives = {index: (index, last.get(index, len(steps))) for index in sizes}
    places, size = _pack(lives, sizes)
    heights = {IMAGE: image[0], **{index: step.rows for index, step in enumerate(steps)}}
    buffers = {index: Buffer(places[index], heights[index]) for index in sizes}
    return Memory(buffers[IMAGE], tuple(buffers[index] for index in range(len(steps))), size)


def _pack(lives: Mapping[int, tuple[int, int]], sizes: Mapping[int, int]) -> tuple[dict[int, int], int]:
    """Places for what is needed from one step to another, and their whole size; the largest are placed first."""
    places: dict[int, int] = {}
    for index in sorted(sizes, key=lambda index: (-sizes[index], index)):
        born, dies = lives[index]
        rivals = sorted(
            (places[other], sizes[other])
            for other in places
            if lives[other][0] <= dies and born <= lives[other][1] and sizes[other]
        )
        offset = 0
        for begin, size in rivals:
            if offset + sizes[index] <= begin:
                break
            offset = max(offset, begin + size)
        places[index] = offset
    return places, max((places[index] + sizes[index] for index in sizes), default=0)
