"""The places of rows and sums in the network's memory, as C."""

from __future__ import annotations

from collections.abc import Sequence

from drilldown.export.c.operations import Operation
from drilldown.export.names import ScheduleName
from drilldown.export.schedule import Buffer, Memory
from drilldown.network.layout import IMAGE


class Places:
    """The addresses of all tensors, and of the sums that operations ask for."""

    def __init__(
        self, image: tuple[int, int, int], operations: Sequence[Operation], memory: Memory, schedule: ScheduleName,
        *, is_float: bool,
    ) -> None:  # fmt: skip
        self._image, self._operations, self._memory = image, operations, memory
        self._is_elsewhere = schedule == "layers" and not is_float
        """Whether the image stays in the memory of the caller."""
        self.is_tight = schedule == "tight"
        self.kept: dict[int, int] = {}
        """The tensors whose newest row is kept later, each with the position of its counter in `done`."""
        for source, buffer in enumerate((memory.image, *memory.buffers), start=IMAGE):
            if buffer.fresh is not None and buffer.capacity:
                self.kept[source] = len(operations) + 1 + len(self.kept)
        self._sums: dict[int, int] = {}
        self.sum_count = 0
        """The number of sums."""

    def base(self, source: int) -> str:
        """The address of a tensor.

        *Arguments*: `source`: the index of an operation, or IMAGE.
        """
        if source == IMAGE and self._is_elsewhere:
            return "net->image"
        return f"net->memory + {self._buffer(source).offset}"

    def fresh(self, source: int) -> str | None:
        """The address of a tensor's newest row, where it is kept later."""
        offset = self._buffer(source).fresh
        return None if offset is None else f"net->memory + {offset}"

    def capacity(self, source: int) -> int:
        """The number of rows of a tensor that are kept; 1 where none is."""
        return max(1, self._buffer(source).capacity)

    def row_size(self, source: int) -> int:
        """The number of elements of one row of a tensor."""
        channels, _, width = self._shape(source)
        return channels * width

    def row(self, source: int, y: str) -> str:
        """The address of row `y` of a tensor that exists."""
        fresh = self.fresh(source)
        if fresh is not None:
            return (
                f"({y} < {self.kept_rows(source)} ? {self._kept_row(source, y)} : {fresh})"
                if source in self.kept
                else fresh
            )
        return self._kept_row(source, y)

    def new_row(self, source: int, y: str) -> str:
        """The address at which row `y` of a tensor is written."""
        return self.fresh(source) or self._kept_row(source, y)

    def kept_rows(self, source: int) -> str:
        """The number of rows of a tensor that are kept, as C; the others are fresh."""
        if self.fresh(source) is None:
            return str(self._shape(source)[1])
        return f"net->done[{self.kept[source]}]" if source in self.kept else "0"

    def _kept_row(self, source: int, y: str) -> str:
        capacity, height = self.capacity(source), self._shape(source)[1]
        if height == 1 or capacity == 1:
            return self.base(source)
        kept = y if capacity >= height else f"{y} % {capacity}"
        return f"{self.base(source)} + {kept} * {self.row_size(source)}"

    def add_sums(self, index: int, count: int) -> str:
        """The address of new sums for an operation."""
        self._sums[index] = self.sum_count
        self.sum_count += count
        return self.sums(index)

    def sums(self, index: int) -> str:
        """The address of an operation's sums."""
        return f"net->sums + {self._sums[index]}"

    def _buffer(self, source: int) -> Buffer:
        return self._memory.image if source == IMAGE else self._memory.buffers[source]

    def _shape(self, source: int) -> tuple[int, int, int]:
        return self._image if source == IMAGE else self._operations[source].output
