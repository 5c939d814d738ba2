"""The figures of a network's int8 code on a chip, which a budget may limit, and the function that measures them.

The code that generates and compiles C lies above the verdict, and must not be imported here. So
`drilldown/__init__.py` says where the function lies; it is imported at the first use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from drilldown.experiment.chip import TargetName
    from drilldown.experiment.experiment import Experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipFigures:
    """The int8 code of a network on a chip, in bytes."""

    chip: str
    """The name of the chip, as in the budget."""
    flash: int | None = None
    """Code and constants; None where it is not known."""
    ram: int | None = None
    """`struct net` and variables, without the stack; None where it is not known."""
    stack: int | None = None
    """The deepest chain of calls; None where it is not known."""
    missing: str = ""
    """Why the figures are not known, and what helps."""

    @property
    def ram_with_stack(self) -> int | None:
        """What a limit of RAM is about."""
        return None if self.ram is None or self.stack is None else self.ram + self.stack


class Measure(Protocol):
    """Measures the int8 code of a network on a chip."""

    def __call__(
        self,
        experiment: Experiment,
        network: torch.nn.Module,
        normalisation: tuple[tuple[float, ...], tuple[float, ...]],
        images: torch.Tensor,
        chip: TargetName,
    ) -> ChipFigures:
        """The figures, or the reason why there are none.

        *Arguments*: `experiment`: its layers, and the precision of its weights. `network`: as it is judged, in
        evaluation mode. `normalisation`: mean and standard deviation of each channel. `images`: the training images,
        (N, channels, height, width), uint8.
        """


_load: Callable[[], Measure] | None = None


def set_measure(load: Callable[[], Measure]) -> None:
    """Sets what imports the function that measures."""
    global _load
    _load = load


def measure() -> Measure:
    """The function that measures."""
    assert _load is not None, "import drilldown sets it"
    return _load()
